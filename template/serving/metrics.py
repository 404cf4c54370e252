"""Prometheus metrics of requests and WebSockets; `exporter` serves them."""

from functools import cache
from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .middleware import STATUS

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Metrics:
    """ASGI middleware that counts by method, route and status when the response starts.

    Durations end there too, so that streams, WebSockets and slow readers do not distort them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        labels = ["method", "route"]
        requests = Counter("http_requests", "Requests", [*labels, "status"], registry=None)
        seconds = Histogram("http_request_duration_seconds", "Until the answer began", labels, registry=None)
        active = Gauge("http_requests_in_progress", "Now", ["type"], registry=None, multiprocess_mode="livesum")
        self.active = {type: active.labels(type) for type in ("http", "websocket")}
        self.counters = cache(lambda method, route, status: requests.labels(method, route, status))
        self.histograms = cache(lambda method, route: seconds.labels(method, route))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        start, counted = perf_counter(), False

        def count(status: int) -> None:
            nonlocal counted
            counted = True
            method, route = method_of(scope), route_of(scope)
            self.counters(method, route, status).inc()
            self.histograms(method, route).observe(perf_counter() - start)

        async def note(message: Message) -> None:
            if not counted and (status := message.get("status") or STATUS.get(message["type"])):
                count(status)
            await send(message)

        active = self.active[scope["type"]]
        active.inc()
        try:
            await self.app(scope, receive, note)
        finally:
            active.dec()
            if not counted:
                count(500)  # the application raised


def method_of(scope: Scope) -> str:
    """The method; unknown ones share one label, because clients may invent any number of them."""
    method: str = scope.get("method", "WEBSOCKET")
    return method if method in METHODS or scope["type"] == "websocket" else "OTHER"


def route_of(scope: Scope) -> str:
    """The path template of the matched route, such as `/items/{id}`; never the path, of which there are too many."""
    included = scope.get("fastapi", {}).get("effective_route_context")
    template: str = getattr(included, "path_format", "") or getattr(scope.get("route"), "path_format", "")
    root: str = scope.get("root_path", "")
    prefix = root.removeprefix(scope.get("app_root_path", root))
    if prefix:  # a mount's, possibly with the values of its parameters
        mounts = (route for route in scope["router"].routes if isinstance(route, Mount))
        formats = (mount.path_format for mount in mounts if mount.path_regex.match(f"{prefix}/"))
        outer = next(formats, "").removesuffix("/{path}")
        prefix = outer if "{" in outer else prefix
    return prefix + template or "unmatched"
