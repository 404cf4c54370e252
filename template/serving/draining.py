"""Draining: from the signal that asks the process to stop until its last request is answered."""

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

SAME = 1.0  # seconds; signals within it are one request to stop: systemd and a terminal send it to every process
LINGER = 0.5  # seconds in which requests on their way are still answered after the process was told to stop


class Draining:
    """From the first signal on: readiness is red, streams end, and after `seconds` whatever is left is cancelled.

    A second signal cancels at once. The lifespan enters it; the server's own handler of the signal is called too. It closes
    idle connections and the listening socket, so below a master of `serving` it is called later.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.linger = LINGER if MASTER in os.environ else 0
        self.begun = False
        self.loop: asyncio.AbstractEventLoop | None = None  # that of the lifespan
        self.open: dict[asyncio.Task[Any], bool] = {}  # every request; whether it would not end by itself
        self.cancelled: set[asyncio.Task[Any]] = set()
        self._polls: set[asyncio.Timeout] = set()
        self._previous: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Self:
        self.begun = False
        self.loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():  # signals reach no other
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

    def cancel(self, *, streams: bool) -> None:
        """Cancel every request, or only new streams, which would not end by themselves; `Serving` ends them politely."""
        for task, stream in self.open.items():
            if not streams or (stream and task not in self.cancelled):
                self.cancelled.add(task)
                task.cancel()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        for poll in self._polls:
            if not poll.expired():  # what it has to clean up may take a while, and it cannot be changed any more
                poll.reschedule(loop.time())
        self.cancel(streams=True)
        loop.call_later(self.seconds, lambda: self.cancel(streams=False))

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        assert self.loop
        if not self.begun:
            self._first = monotonic()  # first of all: another signal may interrupt this
            self.begun = True
            self.loop.call_soon_threadsafe(self._begin)
        elif monotonic() - self._first > SAME:
            self.loop.call_soon_threadsafe(lambda: self.cancel(streams=False))
        if not self.linger:  # nor would it be called in a test whose loop stands still
            return self._pass_on(number)
        # Twice half of it, so that the loop looks for requests in between, even if all has stood still for so long.
        later, half = self.loop.call_later, self.linger / 2
        self.loop.call_soon_threadsafe(later, half, later, half, self._pass_on, number)

    def _pass_on(self, number: int) -> None:
        previous = self._previous.get(number)
        if callable(previous):
            previous(number, None)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
