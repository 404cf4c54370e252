"""A limit for WebSocket messages, which granian has no setting for."""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .settings import CANNOT_START, ServingSettings, load

logger = logging.getLogger("_granian")


def application() -> ASGIApp:
    """The service, with the limit; where it cannot be loaded, another worker could not load it either."""
    try:
        from main import app  # in the worker, so that a reload has the new one
    except Exception:
        logger.exception("Error loading the application")
        raise SystemExit(CANNOT_START) from None

    return MessageSize(app, load(ServingSettings).max_message_bytes)


class MessageSize:
    """ASGI middleware that closes a WebSocket with 1009 (too big) at a message of more than `limit` bytes."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            return await self.app(scope, receive, send)

        async def receive_within_limit() -> Message:
            message = await receive()
            data = message.get("bytes") or (message.get("text") or "").encode()
            if len(data) <= self.limit:
                return message
            await send({"type": "websocket.close", "code": 1009})
            return {"type": "websocket.disconnect", "code": 1009}

        await self.app(scope, receive_within_limit, send)
