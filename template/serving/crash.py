"""What a client learns of a crash: the id of its request, with which the log tells the rest."""

from asgi_correlation_id import correlation_id
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send


class Crashed(PlainTextResponse):
    """Has the headers that other answers have; middleware outside of `Serving` sees no more of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply_by = scope.get("reply_by")
        await super().__call__(scope, receive, reply_by(send) if reply_by else send)


async def crashed(request: Request, error: Exception) -> Response:
    """The answer to a request that raised; the server logs the error."""
    if "request_id" in request.scope:  # else it was middleware outside of `Serving` that raised
        correlation_id.set(request.scope["request_id"])  # maybe set in another task: BaseHTTPMiddleware's
    return Crashed("Internal Server Error", 500)
