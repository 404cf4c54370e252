"""uvicorn, started as the settings say: `python -m serving.uvicorn [--reload]`."""

import sys

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload, Multiprocess

from . import logs
from .connection import Connection
from .settings import ServingSettings, load

if __name__ == "__main__":
    settings = load(ServingSettings)
    reload = "--reload" in sys.argv[1:]
    config = Config(
        "main:app",
        host=settings.host,
        port=settings.port,
        workers=settings.web_concurrency,
        http=Connection,
        lifespan="on",
        log_config=logs.config(development=settings.development, level=settings.log_level),
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,  # seconds; longer than a load balancer's, which must be the one to close
        timeout_worker_healthcheck=3,  # seconds; a worker that failed to start is noticed after as many
        timeout_graceful_shutdown=1 if reload else settings.drain_seconds,
        reload=reload,
        reload_includes=[".env"] if reload else None,
    )
    sockets = [config.bind_socket()]
    if reload:
        ChangeReload(config, target=Server(config).run, sockets=sockets).run()
    else:
        # For one worker too: it replaces a worker that died, and tells of one that could not start.
        supervisor = Multiprocess(config, sockets)
        supervisor.run()
        sys.exit(STARTUP_FAILURE if any(p.exitcode == STARTUP_FAILURE for p in supervisor.processes) else 0)
