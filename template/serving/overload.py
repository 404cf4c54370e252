"""A cap on what a worker does at once: beyond it, a client is told to come back instead of waiting for ever."""

from collections.abc import Collection

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Overload:
    """ASGI middleware that answers 503 with Retry-After to requests and WebSockets beyond `limit` in one worker.

    The paths in `always` are answered all the same: whoever restarts a worker for being busy makes it worse.
    """

    def __init__(self, app: ASGIApp, limit: int, always: Collection[str] = ()) -> None:
        self.app = app
        self.limit = limit
        self.always = always
        self.active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in self.always:
            await self.app(scope, receive, send)
        elif self.active >= self.limit:
            refusal = PlainTextResponse("too many requests at once", 503, headers={"retry-after": "1"})
            await refusal(scope, receive, send)
        else:
            self.active += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.active -= 1
