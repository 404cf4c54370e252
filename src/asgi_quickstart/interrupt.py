"""Ctrl-C while modules are imported: some of them lose the exception, and the command would go on."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def at_once() -> Iterator[None]:
    """Meanwhile Ctrl-C ends the process with status 130 and one line, and nothing is cleaned up; not where it is ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def stop(*_: int | FrameType | None) -> None:
    """End the process."""
    print("asgi-quickstart: stopped", file=sys.stderr, flush=True)
    os._exit(130)
