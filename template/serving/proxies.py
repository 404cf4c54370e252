"""The client, scheme and host that trusted proxies forward, and the path that they serve this service below."""

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
    Every path is taken to be below `root_path`, whether or not the proxy strips it.
    """

    def __init__(self, app: ASGIApp, trusted: Collection[str], root_path: str) -> None:
        # :: if telemetry == "full"
        app = Metrics(app)  # outside of Serving, so that rejected requests count too
        # :: endif
        self.app = app
        self.trusted = trusted
        self.root = root_path
        self.uvicorn = cast(Any, ProxyHeadersMiddleware)(app, list(trusted))  # for the client and the scheme

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "lifespan":
            if root := self.root:
                scope["root_path"] = root
                if not f"{scope['path']}/".startswith(f"{root}/"):
                    scope["path"], scope["raw_path"] = root + scope["path"], root.encode() + scope["raw_path"]
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
    """The headers with the forwarded host as Host, if it is valid; two Hosts stay, to be rejected."""
    forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-host").rpartition(b",")[2].strip()
    others = [header for header in headers if header[0] != b"host"]
    if not HOST.fullmatch(forwarded) or len(others) < len(headers) - 1:
        return headers
    return [*others, (b"host", forwarded)]
