"""Draining: from the signal that stops the process until its last request is answered."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from types import FrameType
from typing import Any, Self

from .recycling import MASTER

SAME = 1.0  # seconds within which signals count as one: systemd and terminals send them to every process
LINGER = 0.5  # seconds after the signal in which requests already on their way are still accepted


class Draining:
    """On the first signal readiness turns red and streams end; after `seconds` remaining requests are cancelled.

    A second signal cancels at once. The lifespan enters it. The server's own signal handler is called too; since that closes
    idle connections and the listening socket, it is delayed in workers whose master is one of `serving`.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.linger = LINGER if MASTER in os.environ else 0
        self.begun = False
        self.loop: asyncio.AbstractEventLoop | None = None  # the lifespan's
        self.open: dict[asyncio.Task[Any], bool] = {}  # every request, and whether it is a stream
        self.cancelled: set[asyncio.Task[Any]] = set()
        self._polls: set[asyncio.Timeout] = set()
        self._previous: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Self:
        self.begun = False
        self.loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():  # others get no signals
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        """Like `asyncio.timeout`, for long polls: expires as soon as draining begins."""
        async with asyncio.timeout(0 if self.begun else seconds) as poll:
            self._polls.add(poll)
            try:
                yield
            finally:
                self._polls.discard(poll)

    def cancel(self, *, streams: bool) -> None:
        """Cancel every request, or only streams, which would not end by themselves; `Serving` ends them cleanly."""
        for task, stream in self.open.items():
            if not streams or (stream and task not in self.cancelled):
                self.cancelled.add(task)
                task.cancel()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        for poll in self._polls:
            if not poll.expired():  # one that is already cleaning up cannot be rescheduled
                poll.reschedule(loop.time())
        self.cancel(streams=True)
        loop.call_later(self.seconds, lambda: self.cancel(streams=False))

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        assert self.loop
        if not self.begun:
            self._first = monotonic()  # before anything else: another signal may interrupt this
            self.begun = True
            self.loop.call_soon_threadsafe(self._begin)
        elif monotonic() - self._first > SAME:
            self.loop.call_soon_threadsafe(lambda: self.cancel(streams=False))
        if not self.linger:  # a test's loop may not be running to call it later
            return self._pass_on(number)
        # In two steps, so that the loop polls for requests in between even if the process was suspended for that long.
        later, half = self.loop.call_later, self.linger / 2
        self.loop.call_soon_threadsafe(later, half, later, half, self._pass_on, number)

    def _pass_on(self, number: int) -> None:
        previous = self._previous.get(number)
        if callable(previous):
            previous(number, None)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
