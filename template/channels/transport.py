"""What the three transports share: who is admitted, and how to refuse."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from fastapi import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from .hub import Channels
from .message import Position
from .subscription import Subscription

NAME = re.compile(r"[A-Za-z0-9._:-]{1,100}")

Action = Literal["subscribe", "publish"]
Authorize = Callable[[HTTPConnection, str, Action], Awaitable[None]]


@dataclass(frozen=True)
class Transport:
    """What an ASGI application needs that sends the messages of the channel that its path names."""

    channels: Channels
    authorize: Authorize
    origins: tuple[str, ...]

    async def subscribe(self, scope: Scope, *, beat: bool = True) -> Subscription:
        """The subscription that a client asks for; raises HTTPException if it does not get it."""
        connection = HTTPConnection(scope)
        channel: str = scope["path_params"]["channel"]
        check_name(channel)
        if scope["type"] == "websocket":
            self._check_origin(connection)
        await self.authorize(connection, channel, "subscribe")
        return self.channels.subscribe(channel, came_back(connection), beat=beat)

    def _check_origin(self, connection: HTTPConnection) -> None:
        """Refuse the page of another origin, which a browser lets open a WebSocket in its user's name."""
        origin = connection.headers.get("origin", "")
        scheme = "https" if connection.scope["scheme"] in ("wss", "https") else "http"
        own = f"{scheme}://{connection.headers.get('host', '')}".lower()
        anywhere = "*" in self.origins and "cookie" not in connection.headers  # as over HTTP, where * means no cookies
        if origin and origin.lower() != own and origin not in self.origins and not anywhere:
            raise HTTPException(403, "the page's origin is not in CORS_ORIGINS, where * counts only without cookies")


def check_name(channel: str) -> None:
    """Refuse a name that is none."""
    if not NAME.fullmatch(channel):
        raise HTTPException(400, "channel: a name is 1 to 100 letters, digits, '.', '_', ':' or '-'")


def came_back(connection: HTTPConnection) -> Position | None:
    """The last id that the client has; EventSource sends a header when it comes back by itself."""
    for source, id in (
        ("Last-Event-ID", connection.headers.get("last-event-id")),
        ("after", connection.query_params.get("after")),
    ):
        if id:
            try:
                return Position.parse(id)
            except ValueError as error:
                raise HTTPException(400, f"{source}: {error}") from None
    return None
