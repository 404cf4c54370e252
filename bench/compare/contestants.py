"""Who is compared: the same three endpoints under gunicorn's WSGI workers, and in a service of asgi-quickstart."""

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


@dataclass(frozen=True)
class Contestant:
    """A way to serve the endpoints; `words` start a WSGI application, the ASGI service has its own."""

    name: str
    words: tuple[str, ...] = ()
    source: Path = HERE / "wsgi_app.py"

    @contextmanager
    def started(self, folder: Path) -> Iterator[Service]:
        """Its server, in a new folder, until the first answer."""
        with self.wsgi(folder) if self.words else asgi(folder) as server:
            yield server

    @contextmanager
    def wsgi(self, folder: Path) -> Iterator[Service]:
        folder.mkdir()
        shutil.copy(self.source, folder / "wsgi_app.py")
        (folder / ".venv").symlink_to(sys.prefix)
        service = Service(folder, ready="/quick")
        bind = f"--bind=127.0.0.1:{service.port}"
        with service.started("gunicorn", "wsgi_app:app", *self.words, bind, *COMMON):
            yield service


@contextmanager
def asgi(folder: Path) -> Iterator[Service]:
    """A service with the default choices and the endpoints, started by its own `make run`."""
    service = write_service(folder)
    main = service.folder / "main.py"
    main.write_text(main.read_text() + ENDPOINTS)
    settings = {"WEB_CONCURRENCY": str(PROCESSES), "MAX_CONCURRENCY": str(PLENTY), "DRAIN_SECONDS": "1"}
    with service.started("run", HOST="127.0.0.1", **settings):
        yield service


COMMON = (f"--workers={PROCESSES}", "--graceful-timeout=1", "--worker-tmp-dir=/dev/shm", "--no-control-socket")
CONTESTANTS = (
    Contestant("WSGI, sync", ("--worker-class=sync",)),
    Contestant(
        "WSGI, gthread, 8 threads", ("--worker-class=gthread", "--threads=8")
    ),  # "2-4 x $(NUM_CORES)", says gunicorn
    Contestant(
        "WSGI, gthread, a thread a client",
        ("--worker-class=gthread", f"--threads={PLENTY}", f"--worker-connections={PLENTY}"),
    ),
    Contestant("ASGI, `make run`"),
)
