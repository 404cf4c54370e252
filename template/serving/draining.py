"""Draining: from the signal that asks the process to stop until its last request is answered."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self


class Draining:
    """Knows from the signal on, before the server acts on it, that the process is to stop."""

    def __init__(self) -> None:
        self.begun = False
        self._previous: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # signals reach no other
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._begin)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _begin(self, number: int, frame: FrameType | None) -> None:
        self.begun = True
        previous = self._previous[signal.Signals(number)]
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
