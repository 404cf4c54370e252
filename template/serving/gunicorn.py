"""gunicorn's hooks: uvicorn's settings in the worker, and a reload that works."""

import logging
import os
import signal
import sys
import threading
from pathlib import Path

from gunicorn.arbiter import Arbiter
from uvicorn_worker import UvicornWorker

from .connection import Connection
from .settings import ServingSettings, load

logger = logging.getLogger("gunicorn.error")

HERE = Path.cwd()


def when_ready(server: Arbiter) -> None:
    """In development, replace the workers on every save, and let a breakpoint stop one."""
    if server.cfg.reload:
        server.timeout = 0
        server.handle_usr1 = lambda: _replace_workers(server)
        threading.Thread(target=_watch, daemon=True).start()


def post_fork(server: Arbiter, worker: UvicornWorker) -> None:
    """Configure uvicorn, which gunicorn knows nothing of, before the worker loads the application."""
    worker.init_signals()  # until now the master's are in force, and a worker told to stop while it starts would not
    settings = load(ServingSettings)
    worker.config.http = Connection
    worker.config.lifespan = "on"
    worker.config.access_log = False
    worker.config.server_header = False
    worker.config.timeout_graceful_shutdown = settings.drain_seconds
    if worker.cfg.reload:
        worker.config.timeout_graceful_shutdown = 1
        worker.cfg.set("reload", False)  # gunicorn's own reloader sees an edit, but this kind of worker never obeys it
        sys.dont_write_bytecode = True  # byte code does not notice an edit of the same second and length
    _forget_own_modules()


def worker_exit(server: Arbiter, worker: UvicornWorker) -> None:
    """In development, a worker that failed to start stays until the next save replaces it."""
    error = sys.exc_info()[1]
    if server.timeout == 0 and isinstance(error, SystemExit) and error.code:
        logger.info("Waiting for the next save")
        signal.pause()


def _watch() -> None:
    from watchfiles import PythonFilter, watch

    for changes in watch(HERE, watch_filter=PythonFilter(extra_extensions=(".env",)), debounce=50, step=10):
        logger.info("Reloading: %s", ", ".join(sorted(str(Path(path).relative_to(HERE)) for _, path in changes)))
        os.kill(os.getpid(), signal.SIGUSR1)


def _replace_workers(server: Arbiter) -> None:
    """Start new workers, then end the old ones: somebody listens all the time, and no request is lost."""
    for _ in range(server.num_workers):
        server.spawn_worker()
    server.manage_workers()


def _forget_own_modules() -> None:
    """Import the service's own modules again: the master's may be older than the files."""
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "/")
        if file.is_relative_to(HERE) and "site-packages" not in file.parts:
            del sys.modules[name]
