"""What the three transports share: subscribing, with its checks."""

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
    """An ASGI application that sends the messages of the channel in its path."""

    channels: Channels
    authorize: Authorize
    origins: tuple[str, ...]

    async def subscribe(self, scope: Scope, *, beat: bool = True) -> Subscription:
        """Create the subscription that a client requests; raises HTTPException to reject it."""
        connection = HTTPConnection(scope)
        channel: str = scope["path_params"]["channel"]
        if scope["type"] == "websocket":
            self._check_origin(connection)
        await admit(self.authorize, connection, channel, "subscribe")
        return self.channels.subscribe(channel, came_back(connection), beat=beat)

    def _check_origin(self, connection: HTTPConnection) -> None:
        """Reject pages of other origins, for which browsers would open WebSockets with the user's cookies."""
        origin = connection.headers.get("origin", "")
        scheme = "https" if connection.scope["scheme"] in ("wss", "https") else "http"
        own = f"{scheme}://{connection.headers.get('host', '')}".lower()
        anywhere = "*" in self.origins and "cookie" not in connection.headers  # in CORS too, * excludes cookies
        if origin and origin.lower() != own and origin not in self.origins and not anywhere:
            raise HTTPException(403, "the page's origin is not in CORS_ORIGINS, where * applies only without cookies")


async def admit(authorize: Authorize, connection: HTTPConnection, channel: str, action: Action) -> None:
    """Reject invalid names, and whatever `authorize` rejects."""
    try:
        check_name(channel)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    await authorize(connection, channel, action)


def came_back(connection: HTTPConnection) -> Position | None:
    """The last id that the client has; EventSource sends it in a header when it reconnects."""
    sent = connection.headers.get("last-event-id")
    id = sent or connection.query_params.get("after")
    try:
        return Position.parse(id) if id else None
    except ValueError as error:
        raise HTTPException(400, f"{'Last-Event-ID' if sent else 'after'}: {error}") from None
