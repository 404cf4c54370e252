"""The client, scheme and host that trusted proxies forward."""

from collections.abc import Awaitable, Collection
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

# :: if telemetry == "full"
from serving.metrics import Metrics

# :: endif
from .hosts import HOST


class Proxies:
    """ASGI middleware that applies X-Forwarded-For, -Proto and -Host if the connection comes from one of `trusted`.

    These are addresses, networks, or `unix` for Unix socket connections. The client is the last address that is not
    trusted itself; the host is the last one listed, because a proxy may pass on what it received before its own.
    """

    def __init__(self, app: ASGIApp, trusted: Collection[str]) -> None:
        # :: if telemetry == "full"
        app = Metrics(app)  # outside of Serving, so that rejected requests count too
        # :: endif
        self.app = app
        self.trusted = trusted
        self.uvicorn = cast(Any, ProxyHeadersMiddleware)(app, list(trusted))  # for the client and the scheme

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "lifespan":
            scope["client"] = client = peer(scope)
            if not self.trusted or client[0] not in self.uvicorn.trusted_hosts:
                return self.app(scope, receive, send)
            scope["headers"] = with_forwarded_host(scope["headers"])
        return cast(Awaitable[None], self.uvicorn(scope, receive, send))


def peer(scope: Scope) -> tuple[str, int]:
    """Where the connection comes from: `unix` for a Unix socket, "" if unknown."""
    address, port = scope.get("client") or ("", 0)
    _, server_port = scope.get("server") or ("", None)
    if not address and not isinstance(server_port, int):  # a TCP client that has left has no address either
        return "unix", 0
    return address.removeprefix("::ffff:"), port  # an IPv4 address, as an IPv6 socket has it


def with_forwarded_host(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers with the forwarded host as Host, if it is valid."""
    forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-host").rpartition(b",")[2].strip()
    if not HOST.fullmatch(forwarded):
        return headers
    if b"host" not in dict(headers):  # HTTP/1.0
        headers = [*headers, (b"host", b"")]
    return [(name, forwarded if name == b"host" else value) for name, value in headers]
