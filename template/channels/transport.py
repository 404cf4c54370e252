"""What the three transports share: who is admitted, and how to refuse."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from fastapi import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from .channel import check_name
from .hub import Channels
from .message import Position
from .subscription import Subscription

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
        if scope["type"] == "websocket":
            self._check_origin(connection)
        await admit(self.authorize, connection, channel, "subscribe")
        return self.channels.subscribe(channel, came_back(connection), beat=beat)

    def _check_origin(self, connection: HTTPConnection) -> None:
        """Refuse the page of another origin, which a browser lets open a WebSocket in its user's name."""
        origin = connection.headers.get("origin", "")
        scheme = "https" if connection.scope["scheme"] in ("wss", "https") else "http"
        own = f"{scheme}://{connection.headers.get('host', '')}".lower()
        anywhere = "*" in self.origins and "cookie" not in connection.headers  # as over HTTP, where * means no cookies
        if origin and origin.lower() != own and origin not in self.origins and not anywhere:
            raise HTTPException(403, "the page's origin is not in CORS_ORIGINS, where * counts only without cookies")


async def admit(authorize: Authorize, connection: HTTPConnection, channel: str, action: Action) -> None:
    """Refuse a name that is none, and what the owner refuses."""
    try:
        check_name(channel)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    await authorize(connection, channel, action)


def came_back(connection: HTTPConnection) -> Position | None:
    """The last id that the client has; EventSource sends a header when it comes back by itself."""
    sent = connection.headers.get("last-event-id")
    id = sent or connection.query_params.get("after")
    try:
        return Position.parse(id) if id else None
    except ValueError as error:
        raise HTTPException(400, f"{'Last-Event-ID' if sent else 'after'}: {error}") from None
