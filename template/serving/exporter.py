"""One sum of what all workers count, those that died too, for Prometheus to ask on a port of its own."""

import atexit
import os
import shutil
import sys
import tempfile
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import cache

from prometheus_client import CollectorRegistry, start_http_server, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from .settings import ServingSettings, load

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def start() -> None:
    """Called by the master before it starts workers: make the folder they count in, and serve its sum."""
    settings = load(ServingSettings)
    folder = tempfile.mkdtemp(prefix="metrics-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    master = os.getpid()

    @atexit.register
    def remove() -> None:
        if os.getpid() == master:  # a forked worker comes by here too
            shutil.rmtree(folder, ignore_errors=True)

    os.environ[FOLDER] = folder
    share()
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)
    try:
        start_http_server(settings.metrics_port, settings.host, registry)
    except OSError as error:
        sys.exit(f"METRICS_PORT: {error}")


def share() -> None:
    """Let every metric of this process, and of those forked from it, count in files named after the process's slot."""
    values.ValueClass = values.MultiProcessValue(lambda: slot(os.getpid()))


@cache
def slot(pid: int) -> int:
    """The lowest number that no living process has; who replaces a dead worker goes on with its counts.

    By default the files have the process's id, and there would be more of them with every worker replaced.
    """
    number = 0
    while True:
        file = os.open(f"{os.environ[FOLDER]}/{number}.slot", os.O_CREAT | os.O_WRONLY)
        try:
            flock(file, LOCK_EX | LOCK_NB)  # until the process ends, however it does
        except BlockingIOError:
            os.close(file)
            number += 1
        else:
            mark_process_dead(number)  # what it had in progress
            return number


if os.path.exists(f"{os.environ.get(FOLDER)}/0.slot"):  # the master's: this is a worker that was not forked
    share()
