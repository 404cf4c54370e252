"""The metrics of all workers, summed, including those that died, for Prometheus to scrape on a separate port."""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import cache
from glob import glob

from prometheus_client import CollectorRegistry, Metric, start_http_server, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from .settings import ServingSettings, load

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def start() -> None:
    """Create the folder that workers count in and serve the sum; called by the master before it starts workers."""
    settings = load(ServingSettings)
    try:
        folder = tempfile.mkdtemp(prefix="metrics-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    except OSError as error:
        sys.exit(f"no folder for the metrics: {error}")
    master = os.getpid()

    @atexit.register
    def remove() -> None:
        if os.getpid() == master:  # forked workers run this too
            shutil.rmtree(folder, ignore_errors=True)

    os.environ[FOLDER] = folder
    share()
    registry = CollectorRegistry()
    registry.register(Total())
    try:
        start_http_server(settings.metrics_port, settings.host, registry)
    except OSError as error:
        sys.exit(f"HOST, METRICS_PORT: {error} (address {settings.host}:{settings.metrics_port})")


class Total(Collector):
    """The sum over the files of all workers, without requests that dead workers had in progress."""

    def collect(self) -> Iterable[Metric]:
        for number in range(len(glob(f"{os.environ[FOLDER]}/*.slot"))):
            if free := take(number):
                os.close(free)
        files = [file for file in glob(f"{os.environ[FOLDER]}/*.db") if os.path.getsize(file)]  # empty: just created
        total: Iterable[Metric] = MultiProcessCollector.merge(files)
        return total


def share() -> None:
    """Make the metrics of this process, and of processes forked from it, count in files named after the process's slot."""
    values.ValueClass = values.MultiProcessValue(lambda: slot(os.getpid()))


@cache
def slot(pid: int) -> int:
    """The lowest number that no living process holds, so that a new worker continues the counts of a dead one.

    By default files are named after the process id, and their number would grow with every replaced worker.
    """
    number = 0
    while not take(number):
        number += 1
    return number


def take(number: int) -> int | None:
    """Lock a slot unless a living process holds it; the lock ends when the returned file is closed or the process ends."""
    file = os.open(f"{os.environ[FOLDER]}/{number}.slot", os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    mark_process_dead(number)  # removes what its last owner had in progress
    return file


if os.path.exists(f"{os.environ.get(FOLDER)}/0.slot"):  # set by the master: this is a worker that was not forked
    share()
