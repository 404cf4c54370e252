"""gunicorn's hooks: settings for its workers, lossless restarts, and a reload that works."""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

# :: if telemetry == "full"
from serving import exporter

# :: endif
from . import logs
from .listening import close
from .open_files import raise_limit
from .recycling import MASTER

logger = logging.getLogger("gunicorn.error")
HERE = Path.cwd()


def on_starting(server: Arbiter) -> None:
    """Hide systemd's notify socket from gunicorn's master, which would report ready before any worker is."""
    raise_limit()
    if "NOTIFY_SOCKET" in os.environ:
        os.environ["SERVICE_NOTIFY_SOCKET"] = os.environ.pop("NOTIFY_SOCKET")


def when_ready(server: Arbiter) -> None:
    """Forward a second SIGTERM to the workers, and replace one on SIGUSR1; in development, all of them on every save."""

    def terminate(number: int, frame: FrameType | None) -> None:
        if server.LISTENERS:
            server.signal(number, frame)
        else:  # already stopping, when gunicorn handles no signal until the workers have ended
            for pid in list(server.WORKERS):
                Arbiter.kill_worker(server, pid, number)

    signal.signal(signal.SIGTERM, terminate)
    server.handle_term = server.handle_int = server.handle_quit = lambda: _stop(server)  # INT and QUIT would not drain
    server.handle_hup = lambda: _restart(server)  # an invalid setting would end the master
    signal.signal(signal.SIGALRM, lambda *_: server.signal(signal.SIGHUP, None))
    # :: if telemetry == "full"
    exporter.start()
    # :: endif
    if not server.cfg.reload:
        server.kill_worker = lambda pid, number: _tell_once(server, pid, number)
        server.handle_usr1 = lambda: _recycle(server)
        os.environ[MASTER] = str(os.getpid())
    else:  # a reload waits neither for streams nor for requests on their way
        server.handle_usr1, server.handle_hup = server.handle_hup, server.handle_term  # a save; the terminal was closed
        server.timeout = 0  # a breakpoint may stop a worker for long
        logs.hold_while_forking()
        import watchfiles  # noqa: F401 # not in the thread: a worker forked during the import would wait for its lock for ever

        threading.Thread(target=_watch, daemon=True).start()


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Prepare the worker before it loads the application."""
    worker.init_signals()  # with the master's handlers, a worker told to stop while it starts would not
    # :: if server == "gunicorn"
    from .connection import UVICORN

    worker.sockets = [listener.sock for listener in worker.sockets]  # uvloop would close gunicorn's own twice
    for name, value in UVICORN.items():
        setattr(worker.config, name, value)
    # :: endif
    if worker.cfg.reload:
        worker.cfg.set("reload", False)  # gunicorn's reloader sees edits, but this worker class ignores it
        sys.dont_write_bytecode = True  # bytecode misses an edit within the same second that keeps the length
    _forget_own_modules()


def worker_exit(server: Arbiter, worker: Worker) -> None:
    """Let a worker that failed to start not stop those it was to replace; in development it waits for the next save."""
    error = sys.exc_info()[1]
    if isinstance(error, SystemExit) and error.code:
        if server.timeout == 0:
            logger.info("Waiting for the next save")
            signal.pause()
        elif len(server.WORKERS) >= server.num_workers:
            error.code = 1  # with CANNOT_START the master would give up


def _watch() -> None:
    from watchfiles import PythonFilter, watch

    own = PythonFilter(ignore_paths=[HERE / ".audit_cache"], extra_extensions=(".env",))
    for changes in watch(HERE, watch_filter=own, debounce=50, step=10):
        logger.info("Reloading: %s", ", ".join(sorted(os.path.relpath(path) for _, path in changes)))
        os.kill(os.getpid(), signal.SIGUSR1)


def _stop(server: Arbiter) -> None:
    """Like gunicorn's own, but stop accepting connections first."""
    if server.reexec_pid == server.master_pid == 0 and not server.systemd:  # nobody else uses the same sockets
        for listener in server.LISTENERS:
            close(listener.sock)
        server.LISTENERS = []
    raise StopIteration


def _tell_once(server: Arbiter, pid: int, number: int) -> None:
    """Tell a worker to end only once, and only when its successors are ready; gunicorn repeats it, which cuts requests."""
    worker = server.WORKERS[pid]
    if number != signal.SIGTERM:
        Arbiter.kill_worker(server, pid, number)
    elif not hasattr(worker, "told"):
        if not server.LISTENERS or not _starting(server):
            worker.told = time.monotonic()
            Arbiter.kill_worker(server, pid, number)
    elif time.monotonic() - worker.told < server.cfg.graceful_timeout:
        worker.tmp.notify()  # uvicorn sends no heartbeat while it drains


def _starting(server: Arbiter, seconds: float = float("inf")) -> bool:
    """Whether a worker that stays, and is no older, is not ready: its heartbeat file has wall-clock time, that of its start."""
    staying = sorted(server.WORKERS.values(), key=lambda worker: worker.age)[-server.num_workers :]
    return any(worker.tmp.last_update() > max(time.monotonic(), time.time() - seconds) for worker in staying)


def _recycle(server: Arbiter) -> None:
    """Replace the oldest worker, unless a new one is not ready yet; a worker that is due asks again."""
    if not _starting(server):
        server.manage_workers()  # end the previous one: when many ask, there is always a new one that is not ready
        server.spawn_worker()


def _restart(server: Arbiter) -> None:
    """Start new workers; gunicorn then ends the oldest, so that there is always one that accepts."""
    if _starting(server, server.timeout):  # many signals would pile up workers; one that hangs is not waited for
        signal.alarm(1)
    else:
        server.manage_workers()  # as above
        for _ in range(server.num_workers):
            server.spawn_worker()


def _forget_own_modules() -> None:
    """Make the service's own modules be imported again: the master's may be older than the files."""
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "/").resolve()  # gunicorn may be in a linked environment
        if file.is_relative_to(HERE) and "site-packages" not in file.parts:
            del sys.modules[name]
