"""Requests that no server may let through, refused alike on every server."""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

MAX_TARGET = 8 * 1024
MAX_HEADERS = 64 * 1024


class WellFormed:
    """ASGI middleware that answers as RFC 9110 and 9112 ask, and closes the connection.

    400 for HTTP/1.1 without exactly one Host, and for Content-Length beside Transfer-Encoding (request smuggling),
    414 for a target over 8 KB, 431 for headers over 64 KB.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not (refusal := refusal_of(scope)):
            return await self.app(scope, receive, send)
        status, reason = refusal
        await PlainTextResponse(reason, status, headers={"connection": "close"})(scope, receive, send)


def refusal_of(scope: Scope) -> tuple[int, str] | None:
    """Status and reason to refuse a request with; None if it is well formed."""
    hosts = size = 0
    length = chunked = False
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name == b"host":
            hosts += 1 if value else 2  # an empty one names nothing; granian makes it up where there is none
        elif name == b"content-length":
            length = True
        elif name == b"transfer-encoding":
            chunked = True
    if hosts != 1 and scope.get("http_version", "1.1") == "1.1":
        return 400, "exactly one Host header is needed"
    if length and chunked:
        return 400, "Content-Length and Transfer-Encoding exclude each other"
    if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > MAX_TARGET:
        return 414, f"the target has more than {MAX_TARGET} bytes"
    if size > MAX_HEADERS:
        return 431, f"the headers have more than {MAX_HEADERS} bytes"
    return None
