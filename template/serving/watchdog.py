"""A watch on the event loop: a worker that no longer answers is ended, and its stack is in the log."""

import asyncio
import faulthandler
import os
import signal
import threading
from typing import Self

from .recycling import MASTER


class Watchdog:
    """While entered and `on`, a loop that blocks for `seconds` ends the process with status 1, and its stack on stderr.

    The clock is not Python's: it goes on too while a regular expression keeps the interpreter to itself. And a worker whose
    master was killed drains and ends: nobody else would tell it to.
    """

    def __init__(self, seconds: float, *, on: bool = True) -> None:
        self.seconds = seconds
        self.on = on
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        if self.on and threading.current_thread() is threading.main_thread():  # a test client's loop is in another
            self._task = asyncio.create_task(self._wind_up())
        return self

    def __exit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            faulthandler.cancel_dump_traceback_later()

    async def _wind_up(self) -> None:
        below = os.environ.get(MASTER) == str(os.getppid())  # else its parent is a shell, say, which may end
        while True:
            faulthandler.dump_traceback_later(self.seconds, exit=True)
            await asyncio.sleep(min(1, self.seconds / 4))
            if below and os.environ[MASTER] != str(os.getppid()):
                below = False  # told once: a second signal would cut what is in flight
                signal.raise_signal(signal.SIGTERM)
