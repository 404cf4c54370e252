"""What pages of other origins may do: as Starlette has it, and only for requests that come from one."""

from collections.abc import Awaitable

from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

VARY = (b"vary", b"Origin")  # or a cache would give a page what was answered to somebody who is none


class Cors(CORSMiddleware):
    """`CORSMiddleware` that is not in the way of a request without Origin; `Serving` adds what a cache must know."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        if scope["type"] == "http" and b"origin" in dict(scope["headers"]):
            return super().__call__(scope, receive, send)
        return self.app(scope, receive, send)
