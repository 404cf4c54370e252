"""The routes of channels, added with one call in `main.py`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Body, FastAPI, Request
from pydantic import BaseModel, JsonValue
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Match, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from .events import Events
from .hub import Channels
from .polling import Polling
from .transport import Authorize, admit
from .websocket import Socket


def mount(app: FastAPI, channels: Channels, authorize: Authorize, *, origins: tuple[str, ...], page: bool) -> None:
    """Add `/channels/NAME` to publish, and `/channels/NAME/poll`, `/events` and `/socket` to subscribe.

    `authorize` is called each time, whatever the transport; `origins` may open WebSockets in addition to the service's own.
    `page` adds `/channels/page/`, which shows a channel in the browser. Channels run as long as the application does.
    """
    if page:
        app.add_api_route("/channels/page", lambda: RedirectResponse("page/"), include_in_schema=False)
        app.mount("/channels/page", StaticFiles(directory=Path(__file__).parent / "page", html=True))
    app.include_router(publishing(channels, authorize))
    app.user_middleware.append(Middleware(Subscribing, channels=channels, authorize=authorize, origins=origins))


class Subscribing:
    """The innermost ASGI middleware, for open connections: inside FastAPI each would take 8 KB more."""

    def __init__(self, app: ASGIApp, channels: Channels, authorize: Authorize, origins: tuple[str, ...]) -> None:
        self.app = app
        given = channels, authorize, origins
        polling = Route("/channels/{channel}/poll", Polling(*given))
        events = Route("/channels/{channel}/events", Events(*given))
        polling.methods = events.methods = {"GET"}  # not HEAD, which Starlette adds and which must not stay open
        self.routes = polling, events, WebSocketRoute("/channels/{channel}/socket", Socket(*given))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or "/channels/" not in scope["path"]:  # it may begin with a root_path
            return await self.app(scope, receive, send)
        for route in self.routes:
            match, found = route.matches(scope)
            if match is not Match.NONE:
                scope.update(found, route=route)
                try:
                    return await route.handle(scope, receive, send)  # 405 for other methods
                except HTTPException as refusal:
                    answer = JSONResponse({"detail": refusal.detail}, refusal.status_code, refusal.headers)
                    return await answer(scope, receive, send)
        await self.app(scope, receive, send)


class Published(BaseModel):
    """The message's id, the same for all subscribers."""

    id: str


def publishing(channels: Channels, authorize: Authorize) -> APIRouter:
    """Publishing, an ordinary FastAPI route."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with channels:
            yield

    router = APIRouter(lifespan=lifespan)

    @router.post("/channels/{channel}", tags=["channels"])
    async def publish(channel: str, data: Annotated[JsonValue, Body()], request: Request) -> Published:
        """Send any JSON to all subscribers; responds once it is accepted."""
        await admit(authorize, request, channel, "publish")
        try:
            return Published(id=await channels.publish(channel, data))
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    return router
