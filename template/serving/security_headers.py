"""Response headers that tell a browser what it must not do."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
]


class SecurityHeaders:
    """ASGI middleware that adds HEADERS, and Strict-Transport-Security for `hsts_seconds`, where a response has none."""

    def __init__(self, app: ASGIApp, hsts_seconds: int) -> None:
        self.app = app
        hsts = [(b"strict-transport-security", b"max-age=%d" % hsts_seconds)] if hsts_seconds else []
        self.headers = HEADERS + hsts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def add_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                message["headers"] = given + [header for header in self.headers if header[0] not in names]
            await send(message)

        await self.app(scope, receive, add_headers)
