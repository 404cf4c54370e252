"""How requests end while the worker drains: streams too, which would not end by themselves."""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .draining import Draining

STOPPING = PlainTextResponse("stopping", 503, headers={"connection": "close", "retry-after": "1"})


class Endings:
    """ASGI middleware that closes kept connections and ends streams while the worker drains.

    An event stream gets its regular end, a WebSocket 1012 (service restart), a request that took too long 503.
    """

    def __init__(self, app: ASGIApp, draining: Draining) -> None:
        self.app = app
        self.draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        task = asyncio.current_task()
        assert task
        self.draining.open[task] = False
        try:
            await (self._websocket if scope["type"] == "websocket" else self._http)(task, scope, receive, send)
        finally:
            del self.draining.open[task]
            self.draining.cancelled.discard(task)

    async def _http(self, task: asyncio.Task[Any], scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            if not started:
                headers = list(message.get("headers", ()))
                if self.draining.begun and scope["http_version"].startswith("1"):
                    message["headers"] = [*headers, (b"connection", b"close")]
                stream = any(name.lower() == b"content-type" and b"event-stream" in value for name, value in headers)
                self.draining.open[task] = stream
            await send(message)
            if not started and self.draining.begun:
                self.draining.cancel(streams=True)
            started = True

        try:
            await self.app(scope, receive, note)
        except asyncio.CancelledError:
            if task not in self.draining.cancelled or (started and not self.draining.open[task]):
                raise
            task.uncancel()
            if started:
                await send({"type": "http.response.body", "body": b""})
            else:
                await STOPPING(scope, receive, send)

    async def _websocket(self, task: asyncio.Task[Any], scope: Scope, receive: Receive, send: Send) -> None:
        closed = False

        async def receive_or_end() -> Message:
            nonlocal closed
            try:
                return await receive()
            except asyncio.CancelledError:
                if closed or task not in self.draining.cancelled:
                    raise
                task.uncancel()
                closed = True
                await close(send)
                return {"type": "websocket.disconnect", "code": 1012}

        if self.draining.begun:
            return await STOPPING(scope, receive, send)
        self.draining.open[task] = True
        try:
            await self.app(scope, receive_or_end, send)
        except asyncio.CancelledError:
            if task not in self.draining.cancelled:
                raise
            task.uncancel()
            if not closed:
                await close(send)


async def close(send: Send) -> None:
    """Close a WebSocket with 1012, unless its server was quicker."""
    with suppress(OSError):
        await send({"type": "websocket.close", "code": 1012})
