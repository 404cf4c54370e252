"""Draining: from the signal that asks the process to stop until its last request is answered."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from types import FrameType
from typing import Any, Self

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAME = 1.0  # seconds; signals within it are one request to stop: systemd and a terminal send it to every process
STOPPING = PlainTextResponse("stopping", 503, headers={"connection": "close", "retry-after": "1"})


class Draining:
    """From the first signal on: readiness is red, streams end, and after `seconds` whatever is left is cancelled.

    A second signal cancels at once. The lifespan enters it; the server's own handler of the signal is called too.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun = False
        self.requests: set[asyncio.Task[Any]] = set()
        self.streams: set[asyncio.Task[Any]] = set()
        self.cancelled: set[asyncio.Task[Any]] = set()
        self._polls: set[asyncio.Timeout] = set()
        self._previous: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Self:
        self.begun = False
        if threading.current_thread() is threading.main_thread():  # signals reach no other
            self._loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        """As `asyncio.timeout`, for a long poll: it is over as soon as draining begins."""
        async with asyncio.timeout(0 if self.begun else seconds) as poll:
            self._polls.add(poll)
            try:
                yield
            finally:
                self._polls.discard(poll)

    def begin(self) -> None:
        """End what would not end by itself, and give the rest `seconds`."""
        loop = asyncio.get_running_loop()
        for poll in self._polls:
            poll.reschedule(loop.time())
        self.cancel(self.streams)
        loop.call_later(self.seconds, self.cancel, self.requests)

    def cancel(self, tasks: set[asyncio.Task[Any]]) -> None:
        """Cancel them, so that `Drain` knows why."""
        for task in tasks:
            self.cancelled.add(task)
            task.cancel()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if not self.begun:
            self.begun = True
            self._first = monotonic()
            self._loop.call_soon_threadsafe(self.begin)
        elif monotonic() - self._first > SAME:
            self._loop.call_soon_threadsafe(self.cancel, self.requests)
        previous = self._previous[number]
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


class Drain:
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
        self.draining.requests.add(task)
        try:
            await (self._websocket if scope["type"] == "websocket" else self._http)(task, scope, receive, send)
        finally:
            for tasks in (self.draining.requests, self.draining.streams, self.draining.cancelled):
                tasks.discard(task)

    async def _http(self, task: asyncio.Task[Any], scope: Scope, receive: Receive, send: Send) -> None:
        started = stream = False

        async def note(message: Message) -> None:
            nonlocal started, stream
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if self.draining.begun and scope["http_version"].startswith("1"):
                    message["headers"] = [*headers, (b"connection", b"close")]
                stream = any(name.lower() == b"content-type" and b"event-stream" in value for name, value in headers)
            await send(message)
            if stream and not started:
                self.draining.streams.add(task)
                if self.draining.begun:
                    self.draining.cancel({task})
            started = True

        try:
            await self.app(scope, receive, note)
        except asyncio.CancelledError:
            if task not in self.draining.cancelled or (started and not stream):
                raise
            task.uncancel()
            if stream:
                await send({"type": "http.response.body", "body": b""})
            else:
                await STOPPING(scope, receive, send)

    async def _websocket(self, task: asyncio.Task[Any], scope: Scope, receive: Receive, send: Send) -> None:
        if self.draining.begun:
            return await STOPPING(scope, receive, send)
        closed = False

        async def close() -> None:
            nonlocal closed
            task.uncancel()
            if not closed:
                closed = True
                await send({"type": "websocket.close", "code": 1012})

        async def receive_or_end() -> Message:
            try:
                return await receive()
            except asyncio.CancelledError:
                if closed or task not in self.draining.cancelled:
                    raise
                await close()
                return {"type": "websocket.disconnect", "code": 1012}

        self.draining.streams.add(task)
        try:
            await self.app(scope, receive_or_end, send)
        except asyncio.CancelledError:
            if task not in self.draining.cancelled:
                raise
            await close()
