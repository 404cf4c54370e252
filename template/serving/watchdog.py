"""A watchdog for the event loop: ends a worker that no longer responds, and logs its stack."""

import asyncio
import faulthandler
import os
import signal
import threading
from typing import Self

from .recycling import MASTER


class Watchdog:
    """While entered and `on`, a loop that blocks for `seconds` ends the process with status 1 and its stack on stderr.

    The timer is not Python's: it works even while a regular expression holds the interpreter. And a worker whose master was
    killed drains and ends, because nobody else would tell it to.
    """

    def __init__(self, seconds: float, *, on: bool = True) -> None:
        self.seconds = seconds
        self.on = on
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        if self.on and threading.current_thread() is threading.main_thread():  # not in a test client
            self._task = asyncio.create_task(self._wind_up())
        return self

    def __exit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            faulthandler.cancel_dump_traceback_later()

    async def _wind_up(self) -> None:
        below = os.environ.get(MASTER) == str(os.getppid())  # otherwise the parent is, say, a shell, which may end
        while True:
            faulthandler.dump_traceback_later(self.seconds, exit=True)
            await asyncio.sleep(min(1, self.seconds / 4))
            if below and os.environ[MASTER] != str(os.getppid()):
                below = False  # once: a second signal would cut requests in flight
                signal.raise_signal(signal.SIGTERM)
