"""gunicorn's settings: `<% servers[server].run %>`."""

import os

# Imported in the master, so that new workers start faster: add what is slow to import.
import fastapi  # noqa: F401
import uvloop  # noqa: F401

from app.settings import Settings
from serving import logs
from serving.gunicorn import on_starting, post_fork, when_ready, worker_exit  # noqa: F401
from serving.settings import load

settings = load(Settings)

host = f"[{settings.host}]" if ":" in settings.host else settings.host
bind = f"unix:{settings.unix_socket}" if settings.unix_socket else f"{host}:{settings.port}"
workers = settings.web_concurrency
# :: if server == "hypercorn"
worker_class = "serving.hypercorn.HypercornWorker"
# :: else
worker_class = "uvicorn_worker.UvicornWorker"
# :: endif
# In memory: a slow disk must not look like a dead worker.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
timeout = settings.worker_timeout + 5  # the watchdog comes first, and logs why
graceful_timeout = settings.drain_seconds + 5
keepalive = settings.keep_alive_seconds
control_socket_disable = True
logconfig_dict = logs.config(development=settings.development, level=settings.log_level)
