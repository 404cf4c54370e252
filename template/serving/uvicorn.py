"""Starts uvicorn with the settings: `python -m serving.uvicorn [--reload]`."""

import logging
import os
import signal
import sys
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Any

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload, Multiprocess, multiprocess

# :: if telemetry == "full"
from serving import exporter

# :: endif
from . import logs
from .connection import UVICORN
from .listening import close, handed_over
from .open_files import raise_limit
from .recycling import MASTER
from .settings import ServingSettings, load

logger = logging.getLogger("uvicorn.error")


class Service(Config):
    """Loads the application; if that fails, gives up, because another worker could not load it either."""

    def load_app(self) -> Any:
        try:
            return super().load_app()
        except Exception:
            logger.exception("Error loading the application")
            sys.exit(STARTUP_FAILURE)


class Worker(Server):
    """uvicorn's server, but a lifespan that hangs does not keep it from stopping: its master would wait for ever."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:  # otherwise the alarm is already set
            signal.alarm(load(ServingSettings).drain_seconds + 5)  # SIGALRM is not handled, so it ends the process
        super().handle_exit(sig, frame)


multiprocess.Server = Worker  # type: ignore[attr-defined] # there is no setting for it


class Master(Multiprocess):
    """uvicorn's master, used for one worker too, because it replaces workers that die."""

    stopping = False

    def init_processes(self) -> None:
        """Start the workers and wait until each is ready or has failed to start."""
        super().init_processes()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._terminate)
        signal.signal(signal.SIGHUP, self._restart)
        for process in self.processes:
            process.wait_until_ready(self.config.timeout_worker_healthcheck, self.should_exit)

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that died, without waiting for one that dies during its health check."""
        for process in self.processes:
            process.child_conn.close()  # the worker's end: while it is open here too, its death goes unnoticed
        super().keep_subprocess_alive()

    def terminate_all(self) -> None:
        """Stop accepting connections, then tell the workers to stop."""
        if not handed_over():
            for listening in self.sockets:
                close(listening)
        super().terminate_all()

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        if not self.stopping:  # only once: the event's lock is not reentrant
            self.stopping = True
            return self.should_exit.set()
        for process in self.processes:  # already waiting for them: end them
            if process.exitcode is None and process.pid:
                os.kill(process.pid, number)

    def _restart(self, number: int, frame: FrameType | None) -> None:
        if number not in self.signal_queue:  # once, even if several workers ask
            self.signal_queue.append(number)


def listening(config: Config) -> list[socket]:
    """The sockets that systemd passes, or else a new one."""
    if handed_over():
        return [socket(fileno=3 + number) for number in range(int(os.environ["LISTEN_FDS"]))]
    if config.uds and Path(config.uds).is_socket():
        Path(config.uds).unlink()  # left behind by a service that was killed
    return [config.bind_socket()]


if __name__ == "__main__":
    settings = load(ServingSettings)
    raise_limit()
    # :: if telemetry == "full"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # until uvicorn handles it; otherwise the folder would stay
    exporter.start()
    # :: endif
    reload = "--reload" in sys.argv[1:]
    config = Service(
        "main:app",
        host=settings.host,
        port=settings.port,
        uds=str(settings.unix_socket) if settings.unix_socket else None,
        workers=settings.web_concurrency,
        log_config=logs.config(development=settings.development, level=settings.log_level),
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_worker_healthcheck=settings.worker_timeout + 5,  # the watchdog comes first, and logs why
        reload=reload,
        reload_includes=[".env"] if reload else None,
        **UVICORN,
    )
    sockets = listening(config)
    if reload:
        ChangeReload(config, target=Worker(config).run, sockets=sockets).run()
    else:
        os.environ[MASTER] = str(os.getpid())
        master = Master(config, sockets)
        master.run()
        sys.exit(STARTUP_FAILURE if any(p.exitcode == STARTUP_FAILURE for p in master.processes) else 0)
