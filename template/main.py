"""The service: its wiring, to be read from top to bottom."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from starlette.middleware import Middleware

from app.health import router as health
from app.loans import router as loans
from app.settings import Settings
from app.state import State
from serving.access_log import AccessLog
from serving.draining import Draining
from serving.settings import load

settings = load(Settings)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    """Open what requests share (a pool, a client) before the first one; close it after the last."""
    with Draining() as draining:
        yield State(settings=settings, draining=draining)


app = FastAPI(
    title="<% name %>",
    lifespan=lifespan,
    openapi_url="/openapi.json" if settings.development else None,  # without it, no /docs either
    middleware=[Middleware(CorrelationIdMiddleware), Middleware(AccessLog)],
)
app.include_router(health)
app.include_router(loans)
