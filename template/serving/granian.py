"""granian, started as the settings say: `python -m serving.granian [--reload]`."""

import sys

from granian import Granian
from granian.constants import Interfaces

from . import logs
from .settings import ServingSettings, load

if __name__ == "__main__":
    settings = load(ServingSettings)
    Granian(
        "main:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.web_concurrency,
        log_dictconfig=logs.config(development=settings.development, level=settings.log_level),
        respawn_failed_workers=True,
        workers_kill_timeout=settings.drain_seconds,
        reload="--reload" in sys.argv[1:],
        reload_ignore_worker_failure=True,
    ).serve()
