"""Who is compared: the same three endpoints without a framework under gunicorn, and in a service of asgi-quickstart."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.service import Service, write_service

from .asgi_endpoints import ENDPOINTS

HERE = Path(__file__).parent
PROCESSES = 2
PLENTY = 2100  # more than there are clients: nobody is refused by a limit that could have been set higher
COMMON = (f"--workers={PROCESSES}", "--graceful-timeout=1", "--worker-tmp-dir=/dev/shm", "--no-control-socket")


@dataclass(frozen=True)
class Contestant:
    """A way to serve the endpoints: gunicorn with these words and this application, or without them a service."""

    name: str
    words: tuple[str, ...] = ()
    source: Path = HERE / "wsgi_app.py"

    @contextmanager
    def started(self, folder: Path) -> Iterator[Service]:
        """Its server, in a new folder, until it is left."""
        with self._gunicorn(folder) if self.words else _service(folder) as server:
            yield server

    @contextmanager
    def _gunicorn(self, folder: Path) -> Iterator[Service]:
        folder.mkdir()
        shutil.copy(self.source, folder)
        (folder / ".venv").symlink_to(sys.prefix)
        service = Service(folder, ready="/quick")
        bind = f"--bind=127.0.0.1:{service.port}"
        with service.started("gunicorn", f"{self.source.stem}:app", *self.words, bind, *COMMON):
            yield service


@contextmanager
def _service(folder: Path) -> Iterator[Service]:
    """A service with the default choices and the endpoints, started by its own `make run`."""
    service = write_service(folder)
    main = service.folder / "main.py"
    main.write_text(main.read_text() + ENDPOINTS)
    settings = {"WEB_CONCURRENCY": str(PROCESSES), "MAX_CONCURRENCY": str(PLENTY), "DRAIN_SECONDS": "1"}
    with service.started("run", HOST="127.0.0.1", **settings):
        yield service


CONTESTANTS = (
    Contestant("WSGI, sync", ("--worker-class=sync",)),
    Contestant(
        "WSGI, gthread, 8 threads", ("--worker-class=gthread", "--threads=8")
    ),  # "2-4 x $(NUM_CORES)", says gunicorn
    Contestant(
        "WSGI, gthread, a thread a client",
        ("--worker-class=gthread", f"--threads={PLENTY}", f"--worker-connections={PLENTY}"),
    ),
    Contestant("ASGI, uvicorn", ("--worker-class=uvicorn_worker.UvicornWorker",), HERE / "asgi_app.py"),
    Contestant("ASGI, the service"),
)
