"""What a client learns of a crash: the id of its request, with which the log tells the rest."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send


class Crashed(PlainTextResponse):
    """Goes out by the way of other answers, and has the headers that they have."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, scope.get("reply", send))


async def crashed(request: Request, error: Exception) -> Response:
    """The answer to a request that raised; the server logs the error."""
    return Crashed("Internal Server Error", 500)
