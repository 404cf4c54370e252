"""The event loop of a granian worker, which delays the signal to stop until no client would be lost."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVarTuple

import uvloop
from granian import loops

from .draining import LINGER
from .settings import ServingSettings, load

Args = TypeVarTuple("Args")


class Loop(uvloop.Loop):
    """uvloop, but only the first signal's handler is called: told twice to stop, granian may deadlock.

    It is called `linger` seconds after the worker stops accepting, because granian closes connections it has not read from.
    And uvloop loses signals that arrive while it is not running, such as between the lifespan's start-up and serving.
    """

    listening: socket.socket
    ready: Connection  # to the master
    runs = 0
    linger = 0.0
    told = False

    def __init__(self) -> None:
        super().__init__()
        self.unknown = socket.socket()  # opened now: later there may be no file descriptor left

    def run_until_complete(self, future: Any) -> Any:
        """Called for the lifespan's start-up, then to serve, then for the lifespan's shutdown."""
        self.runs += 1
        if self.runs == 2:
            self.ready.send_bytes(b"ready")
        return super().run_until_complete(future)

    def add_signal_handler(self, sig: int, callback: Callable[[*Args], object], *args: *Args) -> None:
        def once() -> None:
            if not self.told:
                self.told = True
                self.call_later(self.linger, callback, *args)
                if self.linger:
                    self._accept_no_more()

        signal.signal(sig, lambda number, frame: self.call_soon_threadsafe(once))

    def _accept_no_more(self) -> None:
        """Replace, in this worker only, the shared listening socket with one that nobody knows."""
        with self.unknown:
            self.unknown.bind(("127.0.0.1", 0))
            self.unknown.listen()
            self.unknown.setblocking(False)
            os.dup2(self.unknown.fileno(), self.listening.fileno())


@loops.register("uvloop")
def event_loop() -> asyncio.AbstractEventLoop:
    """The loop that granian creates in each worker."""
    loop = Loop()
    loop.linger = 0 if load(ServingSettings).development else LINGER / 2
    asyncio.set_event_loop(loop)
    return loop
