"""granian's master and workers: a worker is replaced once the new one is ready, and not if that one cannot start."""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from granian.log import logger
from granian.server.mp import MPServer

from . import logs
from .granian_loop import Loop
from .recycling import MASTER
from .settings import CANNOT_START


class Master(MPServer):
    """granian's master, which itself would give a new worker 3.5 seconds, ready or not."""

    status = 0
    served = False  # whether any worker was ever ready
    wrks: list[Any]  # granian's own types are incomplete

    def startup(self, *arguments: Any) -> None:
        """Start the workers, each watched by a thread that logs."""
        logs.hold_while_forking()
        super().startup(*arguments)  # type: ignore[no-untyped-call]

    def shutdown(self, exit_code: int = 0) -> None:
        """Tell the workers to stop, and wait for them."""
        self.interrupt_children.clear()  # one that died just before is no reason for an error status
        super().shutdown(exit_code or self.status)  # type: ignore[no-untyped-call]

    def _spawn_worker(self, idx: int, target: Callable[..., None], callback_loader: Any) -> Any:  # type: ignore[override]
        pipe = Pipe(duplex=False)
        worker: Any = super()._spawn_worker(idx, partial(target, pipe[1]), callback_loader)
        worker.ready = pipe  # both ends: with the other closed, a worker that died would count as ready
        return worker

    def _respawn_workers(self, workers: list[int], *arguments: Any, delay: float | None = None) -> None:
        """Replace workers: with a delay, as granian calls it, those that run, otherwise those that died."""
        if delay is not None:
            self._replace(workers, arguments)
        else:
            self._replace_dead(arguments)
        if self.interrupt_signal or self.reload_signal or self.interrupt_children:
            self.main_loop_interrupt.set()  # granian may have cleared it since

    def _replace(self, workers: list[int], arguments: tuple[Any, ...]) -> None:
        for number in workers:
            if self.interrupt_signal:
                break
            old = self.wrks[number]
            new = self._start(number, arguments)
            while new.is_alive() and not ready(new, 0.1) and not self.interrupt_signal:
                pass
            if old.is_alive() and not ready(new) and not self.interrupt_signal:
                self.wrks[number] = old
            else:
                logger.info("Stopping the old worker-%d", number + 1)
                old.terminate()
                old.join(self.workers_kill_timeout)
                old.kill()  # if it has not stopped by then

    def _replace_dead(self, arguments: tuple[Any, ...]) -> None:
        """Give up if one of them cannot start, or if no worker was ever ready."""
        dead = [number for number, worker in enumerate(self.wrks) if not worker.is_alive()]
        cannot_start = any(self.wrks[number].inner.exitcode == CANNOT_START for number in dead)
        self.served = self.served or any(map(ready, self.wrks))
        if cannot_start or not self.served:
            self.status, self.interrupt_signal = CANNOT_START, True
            return
        for number in dead:
            if not ready(self.wrks[number]):
                time.sleep(1)  # it died while it started, and the next one may too
            if not self.interrupt_signal:
                self._start(number, arguments)

    def _start(self, number: int, arguments: tuple[Any, ...]) -> Any:
        logger.info("Respawning worker-%d", number + 1)
        worker = self.wrks[number] = self._spawn_worker(number, *arguments)
        worker.start()
        return worker


def ready(worker: Any, seconds: float = 0) -> bool:
    """Whether the worker serves, or has served before it ended; waits up to so many seconds for that."""
    return bool(worker.ready[0].poll(seconds))


def work(told: Connection, *arguments: Any) -> None:
    """Run a worker. If start-up fails granian exits with 1, which is also the watchdog's status for "replace me"."""
    Loop.ready, (_, Loop.listening) = told, arguments[3]
    if MASTER not in os.environ and sys.stdin:  # in development
        sys.stdin = open(0)  # the terminal, for breakpoint(); multiprocessing has opened /dev/null instead
    try:
        MPServer._spawn_asgi_lifespan_worker(*arguments)
    except SystemExit as ended:
        sys.exit(CANNOT_START if ended.code == 1 else ended.code)
