"""Ctrl-C, SIGTERM and SIGHUP: each ends the command with one line, and with status 128 and its number."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Handler = Callable[[int, FrameType | None], None]


class Stopped(SystemExit):
    """What SIGTERM and SIGHUP raise, as Ctrl-C raises KeyboardInterrupt."""


def raised() -> None:
    """Make SIGTERM and SIGHUP raise, so that everything is cleaned up, unless they are ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _raise)


def _raise(number: int, _: FrameType | None) -> None:
    raise Stopped(128 + number)


def at_once() -> AbstractContextManager[None]:
    """Meanwhile the signals end the process at once, without cleaning up, unless they are ignored.

    For imports: some modules swallow the exception, and the command would continue.
    """
    return _meanwhile(stop)


@contextmanager
def held() -> Iterator[None]:
    """Meanwhile the signals wait: for what must not be interrupted."""
    came: list[int] = []
    try:
        with _meanwhile(lambda number, _: came.append(number)):
            yield
    finally:
        for number in came[:1]:
            signal.raise_signal(number)


@contextmanager
def _meanwhile(handler: Handler) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, was in before.items():
        if was is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


def stop(number: int = signal.SIGINT, _: FrameType | None = None) -> None:
    """End the process."""
    with suppress(OSError):  # the terminal may be gone
        print("asgi-quickstart: stopped", file=sys.stderr, flush=True)
    os._exit(128 + number)
