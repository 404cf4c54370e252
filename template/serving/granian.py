"""granian, started as the settings say: `python -m serving.granian [--reload]`."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TypeVarTuple

import uvloop
from granian import Granian, loops
from granian.constants import Interfaces, Loops

from . import logs
from .recycling import MASTER
from .settings import ServingSettings, load

Args = TypeVarTuple("Args")
LINGER = 0.5  # seconds in which requests on their way are still answered after the worker was told to stop


class LingeringLoop(uvloop.Loop):
    """uvloop, but a signal's handler is called LINGER later, because granian closes idle connections at once."""

    def add_signal_handler(self, sig: int, callback: Callable[[*Args], object], *args: *Args) -> None:
        super().add_signal_handler(sig, self.call_later, LINGER, callback, *args)


@loops.register("uvloop")
def lingering_loop() -> asyncio.AbstractEventLoop:
    """What granian makes in each worker."""
    loop = LingeringLoop()
    asyncio.set_event_loop(loop)
    return loop


if __name__ == "__main__":
    settings = load(ServingSettings)
    server = Granian(
        "main:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.web_concurrency,
        loop=Loops.asyncio if settings.development else Loops.uvloop,
        log_dictconfig=logs.config(development=settings.development, level=settings.log_level),
        respawn_failed_workers=True,
        workers_kill_timeout=settings.drain_seconds + 5,
        reload="--reload" in sys.argv[1:],
        reload_ignore_worker_failure=True,
    )

    def terminate(number: int, frame: FrameType | None) -> None:
        if server.interrupt_signal:  # it waits for the workers already: end them
            for worker in server.wrks:
                worker.terminate()  # type: ignore[no-untyped-call]
        server.signal_handler_interrupt()  # type: ignore[no-untyped-call]

    server.on_startup(lambda: signal.signal(signal.SIGTERM, terminate))
    os.environ[MASTER] = str(os.getpid())
    server.serve()
