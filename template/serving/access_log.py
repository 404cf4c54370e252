"""One line a request in the log: what was asked and answered, how long it took, by whom."""

import logging
from time import perf_counter
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# :: if telemetry == "full"
from .metrics import Metrics

# :: endif
logger = logging.getLogger("access")
STATUS = {"websocket.accept": 101, "websocket.close": 403}  # closed before it was accepted


class AccessLog:
    """ASGI middleware that logs each HTTP request and WebSocket when it has ended."""

    def __init__(self, app: ASGIApp) -> None:
        # :: if telemetry == "full"
        app = Metrics(app)
        # :: endif
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        start = perf_counter()
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            status = status or message.get("status") or STATUS.get(message["type"], 0)
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        finally:
            status = status or 500  # what the client gets when the application raises
            seconds = round(perf_counter() - start, 6)
            method = scope.get("method", "WEBSOCKET")
            path = quote(scope["path"])  # a line break in it must not begin a new line of the log
            client = scope["client"][0] if scope.get("client") else None
            logger.info(
                "%s %s %d %.1f ms",
                method,
                path,
                status,
                seconds * 1000,
                extra={"method": method, "path": path, "status": status, "seconds": seconds, "client": client},
            )
