"""The event loop of a granian worker, which tells it to stop when nobody is lost by it any more."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from typing import TypeVarTuple

import uvloop
from granian import loops

from .draining import LINGER
from .settings import ServingSettings, load

Args = TypeVarTuple("Args")


class Loop(uvloop.Loop):
    """uvloop, but the first signal's handler alone is called: told twice to stop, granian may wait for itself for ever.

    It is called `linger` seconds after the worker has accepted its last connection: granian closes what it has not read.
    And uvloop forgets a signal that comes while it does not run, as between the lifespan's start-up and the first request.
    """

    listening: socket.socket
    linger = 0.0
    told = False

    def __init__(self) -> None:
        super().__init__()
        self.unknown = socket.socket()  # now: when it is needed, there may be no file left to open

    def add_signal_handler(self, sig: int, callback: Callable[[*Args], object], *args: *Args) -> None:
        def once() -> None:
            if not self.told:
                self.told = True
                self.call_later(self.linger, callback, *args)
                if self.linger:
                    self._accept_no_more()

        signal.signal(sig, lambda number, frame: self.call_soon_threadsafe(once))

    def _accept_no_more(self) -> None:
        """Put a socket that nobody knows in the place of the one that all workers listen on, in this worker alone."""
        with self.unknown:
            self.unknown.bind(("127.0.0.1", 0))
            self.unknown.listen()
            self.unknown.setblocking(False)
            os.dup2(self.unknown.fileno(), self.listening.fileno())


@loops.register("uvloop")
def event_loop() -> asyncio.AbstractEventLoop:
    """What granian makes in each worker."""
    loop = Loop()
    loop.linger = 0 if load(ServingSettings).development else LINGER / 2
    asyncio.set_event_loop(loop)
    return loop
