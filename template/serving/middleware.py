"""What happens to a request on its way to the application, and to the answer on its way back."""

import asyncio
import re
from collections.abc import Awaitable, Collection
from random import getrandbits
from time import perf_counter

from asgi_correlation_id import correlation_id
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .access_log import AccessLog
from .cors import VARY
from .draining import Draining
from .endings import websocket
from .hosts import Hosts
from .recycling import Recycling
from .refusals import OTHER_HOST, OVERLOAD, STOPPING, refusal_of
from .security_headers import security_headers
from .settings import ServingSettings
from .whole_body import WholeBody

REQUEST_ID = re.compile(rb"[0-9A-Za-z-]{16,64}")  # of a proxy or a caller; another could forge what is in the log
STATUS = {"websocket.accept": 101, "websocket.close": 403}  # closed before it was accepted


class Serving:
    """ASGI middleware that names, limits, refuses, ends and logs requests and WebSockets, as the settings say.

    It is one and not eight, because each costs a request microseconds; the modules that it imports say what each part does.
    The paths in `always` are answered in an overload too: whoever restarts a worker for being busy makes it worse.
    """

    def __init__(
        self, app: ASGIApp, settings: ServingSettings, draining: Draining, always: Collection[str] = ()
    ) -> None:
        self.app = app
        self.with_body = WholeBody(app, settings.header_seconds, settings.max_body_bytes)
        self.draining = draining
        self.always = always
        self.hosts = Hosts(settings.allowed_hosts)
        self.cors = bool(settings.cors_origins)
        self.limit = settings.max_concurrency
        self.active = 0
        self.security_headers = security_headers(settings.hsts_seconds)
        self.recycling = Recycling(settings.max_requests)
        self.log = AccessLog(readable=settings.development)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        start = perf_counter()
        status = 0
        headers: dict[bytes, bytes] = dict(scope["headers"])
        accepted = REQUEST_ID.fullmatch(headers.get(b"x-request-id", b""))
        request_id = accepted[0].decode() if accepted else getrandbits(128).to_bytes(16).hex()
        correlation_id.set(request_id)
        task = asyncio.current_task()
        assert task
        draining = self.draining
        draining.open[task] = False

        def answer(message: Message) -> Awaitable[None]:
            nonlocal status
            if status:
                return send(message)
            status = message.get("status") or STATUS.get(message["type"], 0)
            if message["type"] == "http.response.start":
                given = dict(message.get("headers", ()))
                added = [header for header in self.security_headers if header[0] not in given]
                added.append((b"x-request-id", request_id.encode()))
                if self.cors and b"origin" not in headers:
                    added.append(VARY)
                if draining.begun and scope["http_version"].startswith("1"):
                    added.append((b"connection", b"close"))
                message["headers"] = [*message.get("headers", ()), *added]
                draining.open[task] = b"event-stream" in given.get(b"content-type", b"")
            return send_and_end(message) if draining.begun else send(message)

        async def send_and_end(message: Message) -> None:
            await send(message)
            draining.cancel(streams=True)

        self.active += 1
        try:
            if refusal := refusal_of(scope, headers):
                await refusal(scope, receive, answer)
            elif not self.hosts.allow(headers.get(b"host", b"")):
                await OTHER_HOST(scope, receive, answer)
            elif self.active > self.limit and scope["path"] not in self.always:
                await OVERLOAD(scope, receive, answer)
            elif scope["type"] == "websocket":
                await websocket(self.app, draining, scope, receive, answer)
            elif b"content-length" in headers or b"transfer-encoding" in headers or scope["http_version"] == "2":
                await self.with_body(scope, receive, answer)
            else:
                await self.app(scope, receive, answer)
        except asyncio.CancelledError:
            answered = status and not draining.open[task]  # in part, and the rest has a length: it can only be cut
            if task not in draining.cancelled or answered or scope["type"] == "websocket":
                raise
            task.uncancel()
            if status:
                await send({"type": "http.response.body", "body": b""})
            else:
                await STOPPING(scope, receive, answer)
        finally:
            self.active -= 1
            del draining.open[task]
            draining.cancelled.discard(task)
            self.recycling.ended()
            self.log(scope, status or 500, perf_counter() - start, request_id)  # 500: it raised before it answered
