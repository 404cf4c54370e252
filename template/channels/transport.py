"""What the three transports share: who may subscribe to what, and how they notice that a client has gone."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope

from .hub import Channels
from .message import Position
from .subscription import Subscription

NAME = re.compile(r"[A-Za-z0-9._:-]{1,100}")

Action = Literal["subscribe", "publish"]
Authorize = Callable[[HTTPConnection, str, Action], Awaitable[None]]


@dataclass(frozen=True)
class Transport:
    """An ASGI application that sends a channel's messages; each of the three has its `__call__`."""

    channels: Channels
    authorize: Authorize
    origins: tuple[str, ...]

    async def admit(self, scope: Scope) -> tuple[str, Position | None]:
        """The channel and the id that a client comes back with; raises HTTPException for who is not admitted."""
        connection = HTTPConnection(scope)
        channel: str = scope["path_params"]["channel"]
        check_name(channel)
        if scope["type"] == "websocket":
            self.check_origin(connection)
        await self.authorize(connection, channel, "subscribe")
        for source, id in (
            ("Last-Event-ID", connection.headers.get("last-event-id")),
            ("after", connection.query_params.get("after")),
        ):
            if id:
                try:
                    return channel, Position.parse(id)
                except ValueError as error:
                    raise HTTPException(400, f"{source}: {error}") from None
        return channel, None

    def check_origin(self, connection: HTTPConnection) -> None:
        """Refuse the page of another origin, which a browser lets open a WebSocket in its user's name."""
        origin = connection.headers.get("origin")
        if origin and urlsplit(origin).netloc.lower() != connection.headers.get("host", "").lower():
            if origin not in self.origins and "*" not in self.origins:
                raise HTTPException(403, "the page's origin is not in CORS_ORIGINS")


def check_name(channel: str) -> None:
    """Refuse a name that is none."""
    if not NAME.fullmatch(channel):
        raise HTTPException(400, "channel: a name is 1 to 100 letters, digits, '.', '_', ':' or '-'")


@asynccontextmanager
async def watched(receive: Receive, subscription: Subscription) -> AsyncIterator[None]:
    """End the subscription as soon as the client has gone, or sends something."""
    watching = asyncio.create_task(watch(receive, subscription))
    try:
        yield
    finally:
        watching.cancel()


async def watch(receive: Receive, subscription: Subscription) -> None:
    while (message := await receive())["type"] == "http.request":
        pass
    if message["type"] == "websocket.receive":
        subscription.leave(1003, "nothing is taken here: publish with POST")
    else:
        subscription.leave()
