"""uvicorn, started as the settings say: `python -m serving.uvicorn [--reload]`."""

import sys

import uvicorn

from . import logs
from .connection import Connection
from .settings import ServingSettings, load

if __name__ == "__main__":
    settings = load(ServingSettings)
    reload = "--reload" in sys.argv[1:]
    uvicorn.run(
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
        timeout_graceful_shutdown=1 if reload else settings.drain_seconds,
        reload=reload,
        reload_includes=[".env"],
    )
