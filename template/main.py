"""The service's wiring, to be read from top to bottom."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import Receive, Scope, Send

# :: filter replace("\n\n", "\n")
# :: if realtime == "full"
from app.channels import authorize, channels

# :: endif
from app.health import router as health
from app.loans import router as loans
from app.settings import Settings
from app.state import State

# :: if realtime == "full"
from channels.mount import mount

# :: endif
from serving.draining import Draining
from serving.middleware import Serving
from serving.proxies import Proxies
from serving.ready import ready
from serving.settings import load
from serving.slow_readers import SlowReaders

# :: if telemetry == "full"
from serving.traces import send_last_traces

# :: endif
# :: endfilter
from serving.watchdog import Watchdog

settings = load(Settings)
draining = Draining(settings.drain_seconds)

# :: if telemetry == "none"
# Otherwise FastAPI would check for each request whether it is traced, which takes 5 microseconds.
telemetry = TelemetryConfig(tracing=False, metrics=False, logs=False)


# :: endif
# :: if telemetry == "full"
# Traces, if OTEL_EXPORTER_OTLP_ENDPOINT is set. Metrics are for Prometheus, and logs go to standard output.
telemetry = TelemetryConfig(metrics=False, logs=False, auto_configure=True)


# :: endif
@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    """Open what requests share (a pool, a client) before the first one; close it after the last one."""
    watchdog = Watchdog(settings.worker_timeout, on=not settings.development)
    with draining, watchdog, SlowReaders(settings.header_seconds):
        ready()
        yield State(settings=settings, draining=draining)
    # All requests are answered.
    # :: if telemetry == "full"
    send_last_traces()
    # :: endif
    # Close here what you opened.


class Service(FastAPI):
    """FastAPI, wrapped in the service's own middleware: outside anything you add, it sees every request and response."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        serving = Serving(
            super().__call__,
            settings=settings,
            draining=draining,
            always=["/health/live", "/health/ready"],  # a busy worker stays in: without it the others would be busier
            cors={"allow_methods": ["*"], "allow_headers": ["*"]},
        )
        self.outside = Proxies(serving, trusted=settings.trusted_proxies, root_path=settings.root_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.outside(scope, receive, send)


app = Service(
    title="<% name %>",
    lifespan=lifespan,
    openapi_url="/openapi.json" if settings.development else None,  # without it, no /docs either
    telemetry=telemetry,
)
# :: if realtime == "full"
mount(app, channels, authorize, origins=settings.cors_origins, page=settings.development)
# :: endif
# FastAPI searches them in this order: put what is requested most first. An endpoint on `app` itself is found 6 microseconds
# sooner than one in a router.
app.include_router(loans)
app.include_router(health)
