"""hypercorn, started as the settings say: `python -m serving.hypercorn [--reload]`."""

import sys

from hypercorn.config import Config
from hypercorn.run import run

from . import logs
from .settings import ServingSettings, load

if __name__ == "__main__":
    settings = load(ServingSettings)
    config = Config()
    config.application_path = "main:app"
    config.bind = settings.bind
    config.workers = settings.web_concurrency
    config.worker_class = "uvloop"
    config.logconfig_dict = logs.config(development=settings.development, level=settings.log_level)
    config.include_server_header = False
    config.keep_alive_timeout = 75  # seconds; longer than a load balancer's, which must be the one to close
    config.graceful_timeout = settings.drain_seconds
    config.use_reloader = "--reload" in sys.argv[1:]
    sys.exit(run(config))
