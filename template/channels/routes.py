"""The paths of channels, for `main.py` to include."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Body, FastAPI, HTTPException, Request
from pydantic import BaseModel, JsonValue
from starlette.routing import Route, WebSocketRoute

from .events import Events
from .hub import Channels
from .polling import Polling
from .transport import Authorize, check_name
from .websocket import Socket


class Published(BaseModel):
    """The id under which all subscribers see the message."""

    id: str


def routes(channels: Channels, authorize: Authorize, origins: tuple[str, ...]) -> APIRouter:
    """Publishing to `/channels/NAME`, and subscribing to `/channels/NAME/poll`, `/events` and `/socket`.

    `authorize` is asked each time, whatever the transport; `origins` may open WebSockets besides the service's own.
    `channels` run while the application does.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with channels:
            yield

    router = APIRouter(prefix="/channels", tags=["channels"], lifespan=lifespan)
    subscribing = channels, authorize, origins
    router.routes += [
        Route("/channels/{channel}/poll", Polling(*subscribing), methods=["GET"]),
        Route("/channels/{channel}/events", Events(*subscribing), methods=["GET"]),
        WebSocketRoute("/channels/{channel}/socket", Socket(*subscribing)),
    ]

    @router.post("/{channel}")
    async def publish(channel: str, data: Annotated[JsonValue, Body()], request: Request) -> Published:
        """Send any JSON to all subscribers; answered once it is accepted."""
        check_name(channel)
        await authorize(request, channel, "publish")
        try:
            return Published(id=await channels.publish(channel, data))
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    return router
