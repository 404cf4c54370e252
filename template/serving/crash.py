"""What a client learns of a crash: the id of its request, with which the log tells the rest."""

from asgi_correlation_id import correlation_id
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response


async def crashed(request: Request, error: Exception) -> Response:
    """The answer to a request that raised; the server logs the error."""
    return PlainTextResponse("Internal Server Error", 500, headers={"x-request-id": correlation_id.get() or "-"})
