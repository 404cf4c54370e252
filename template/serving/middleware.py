"""What happens to a request on its way to the application, and to the response on its way back."""

import asyncio
import re
from collections.abc import Awaitable, Collection
from functools import partial
from random import getrandbits
from time import perf_counter
from typing import Any

from asgi_correlation_id import correlation_id
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .access_log import Request, log_json, log_readable
from .draining import Draining
from .endings import websocket
from .hosts import Hosts
from .recycling import Recycling
from .refusals import OTHER_HOST, OVERLOAD, STOPPING, refusal_of
from .security_headers import security_headers
from .settings import ServingSettings
from .whole_body import WholeBody

REQUEST_ID = re.compile(rb"[0-9A-Za-z-]{16,64}")  # accepted from a proxy or caller; others could forge log entries
STARTS = frozenset(("http.response.start", "websocket.http.response.start"))
STATUS = {"websocket.accept": 101, "websocket.close": 403}  # 403: closed before it was accepted


class Serving:
    """ASGI middleware that identifies, limits, rejects, ends and logs requests and WebSockets, according to the settings.

    All in one, because each middleware costs a request microseconds; the modules it imports describe each part.
    The paths in `always` are answered under overload too, because restarting a busy worker makes it worse, and for any host,
    because load balancers check by address. Cross-origin requests are answered by `CORSMiddleware` with the options `cors`.
    """

    def __init__(
        self, app: ASGIApp, settings: ServingSettings, draining: Draining, always: Collection[str], cors: dict[str, Any]
    ) -> None:
        self.app = app
        self.cors = CORSMiddleware(app, settings.cors_origins, **cors) if settings.cors_origins else None
        self.whole_body = WholeBody(settings.header_seconds, settings.max_body_bytes)
        self.draining = draining
        self.always = {settings.root_path + path for path in always}
        self.hosts = Hosts(settings.allowed_hosts)
        self.limit = settings.max_concurrency
        self.added = security_headers(settings.hsts_seconds)
        self.added_without_origin = [*self.added, (b"vary", b"Origin")] if self.cors else self.added  # for caches
        self.names = frozenset(name for name, _ in self.added)
        self.recycling = Recycling(settings.max_requests)
        self.log = log_readable if settings.development else log_json
        self.ended: list[Request] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        draining = self.draining
        task = asyncio.current_task(draining.loop) or asyncio.current_task()  # faster with the loop given
        assert task
        if task in draining.open:  # the application calls itself, in process: part of the same request
            return await self.app(scope, receive, send)
        start, status = perf_counter(), 0
        asked: dict[bytes, bytes] = dict(scope["headers"])
        accepted = b"x-request-id" in asked and REQUEST_ID.fullmatch(asked[b"x-request-id"])
        request_id = accepted[0].decode() if accepted else getrandbits(128).to_bytes(16).hex()
        correlation_id.set(request_id)
        draining.open[task] = False

        def answer(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] in STARTS:
                status = message["status"]
                headers = message.get("headers", ())
                added = self.added if b"origin" in asked else self.added_without_origin
                for name, value in headers:
                    if name == b"content-type":
                        if b"event-stream" in value:
                            draining.open[task] = True
                    elif name in self.names:
                        added = [header for header in added if header[0] != name]
                message["headers"] = [*headers, *added, (b"x-request-id", request_id.encode())]
            elif not status:
                status = message.get("status") or STATUS.get(message["type"], 0)
            return self._send_and_end(scope, send, message) if draining.begun else send(message)

        app, reply = self.app, answer
        if self.cors and b"origin" in asked and scope["type"] == "http":
            if b"access-control-request-method" in asked:
                app = self.cors
            else:  # also for what is rejected here, or the page would not learn why
                reply = partial(self.cors.send, send=answer, request_headers=Headers(scope=scope))
        try:
            if refusal := refusal_of(scope, asked):
                await refusal(scope, receive, reply)
            elif not self.hosts.allow(asked.get(b"host", b"")) and scope["path"] not in self.always:
                await OTHER_HOST(scope, receive, reply)
            elif len(draining.open) > self.limit and scope["path"] not in self.always:
                await OVERLOAD(scope, receive, reply)
            elif scope["type"] == "websocket":
                await websocket(app, draining, task, scope, receive, reply)
            # :: if server in ("gunicorn", "uvicorn")
            elif "complete" in scope.get("extensions", ()):  # from connection.py: there is no body to wait for
                await app(scope, receive, reply)
            # :: else
            elif b"content-length" not in asked and b"transfer-encoding" not in asked and scope["http_version"] != "2":
                await app(scope, receive, reply)
            # :: endif
            else:
                await self.whole_body(app, scope, receive, reply)
        except asyncio.CancelledError:
            answered = status and not draining.open[task]  # in part, and with a length: it can only be cut
            if task not in draining.cancelled or answered or scope["type"] == "websocket":
                raise
            task.uncancel()
            if status:
                await send({"type": "http.response.body", "body": b""})
            else:
                await STOPPING(scope, receive, reply)
        finally:
            del draining.open[task]
            if not self.ended:
                task.get_loop().call_soon(self._end_turn)
            method, path, client = scope.get("method", "WEBSOCKET"), scope["path"], scope.get("client")
            self.ended.append((method, path, client, status or 500, perf_counter() - start, request_id))

    async def _send_and_end(self, scope: Scope, send: Send, message: Message) -> None:
        if message["type"] == "http.response.start" and scope["http_version"].startswith("1"):
            message["headers"].append((b"connection", b"close"))
        await send(message)
        if message["type"] == "http.response.start":  # possibly a stream, which would not end by itself
            self.draining.cancel(streams=True)

    def _end_turn(self) -> None:
        """Log and count the requests that ended in one event loop iteration; one by one, it takes twice as long."""
        ended, self.ended = self.ended, []
        if not self.draining.begun:
            self.recycling.ended(len(ended))
        self.log(ended)
