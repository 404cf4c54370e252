"""The contestants: how each is started, on one core, with one worker, and how it is stopped."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from time import monotonic, sleep

from asgi_quickstart.options import document
from tests.service import clean_environment, free_port, write_service

from .endpoints import ask
from .load import Dead

HERE = Path(__file__).parent
APPS = HERE / "contestants"
BENCH = HERE.parent / ".cache" / "managers" / "bench"  # the environment, see requirements/bench.in
SERVERS: dict[str, dict[str, str]] = document()["servers"]["default"]
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
ASGI = "uvicorn_worker.UvicornWorker"

# All on: what has no work to do by default is given some.
SETTINGS = {
    "HOST": "127.0.0.1",
    "WEB_CONCURRENCY": "1",
    "ALLOWED_HOSTS": "127.0.0.1,localhost",
    "CORS_ORIGINS": "https://example.org",
    "HSTS_SECONDS": "31536000",
}


@dataclass(frozen=True)
class Contestant:
    """An application on a server: the words that start it, in a folder; `{port}` is filled in."""

    key: str
    title: str
    command: str
    folder: Path = APPS
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The module that has the application."""
        return re.findall(r" ([\w.]+):app", self.command)[0] if ":app" in self.command else "main"


@dataclass
class Running:
    """A started contestant."""

    contestant: Contestant
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def assert_alive(self) -> None:
        if self.process.poll() is not None:
            raise Dead(f"it ended with status {self.process.returncode}: {self.log.read_text()[-500:].strip()}")

    def answers(self) -> bool:
        try:
            return ask(self.port, "/plain", None)[0].status == 200
        except (OSError, HTTPException):
            return False


def gunicorn(key: str, title: str, module: str, worker: str = ASGI, more: str = "") -> Contestant:
    """An application under gunicorn with one worker and gunicorn's defaults."""
    return Contestant(key, title, f"gunicorn {module}:app -k {worker} -b 127.0.0.1:{{port}} --workers 1 {more}".strip())


FOUNDING = Contestant(
    "founding",
    "FastAPI, founding set-up",
    "gunicorn founding:app -k uvicorn.workers.UvicornWorker -c uvicorn.conf.py -b 127.0.0.1:{port}",
)
AGAIN = replace(FOUNDING, key="again", title="the same once more, for the noise")
ANNOTATED = Contestant(
    "annotated",
    "FastAPI, responses annotated",
    FOUNDING.command.replace("founding:app", "contestants.annotated:app").replace("-c ", f"-c {APPS.name}/"),
    HERE,
)
OTHERS = [
    gunicorn("bare", "bare ASGI", "bare"),
    gunicorn("starlette", "Starlette", "starlette_app"),
    gunicorn("litestar", "Litestar", "litestar_app"),
    gunicorn("blacksheep", "BlackSheep", "blacksheep_app"),
    gunicorn("falcon", "Falcon", "falcon_app"),
    gunicorn("quart", "Quart", "quart_app"),
    gunicorn("django", "Django", "django_app"),
    gunicorn("flask", "Flask (WSGI, 8 threads)", "flask_app", "gthread", "--threads 8"),
]


def quickstart(server: str, folder: Path) -> Contestant:
    """A new service on that server, with the endpoints in the place of its example, all its middleware on."""
    service = write_service(folder / server, server=server)
    (service.folder / ".venv").unlink()
    (service.folder / ".venv").symlink_to(BENCH)
    for name in ("data.py", "models.py"):
        (service.folder / "app" / name).write_text((APPS / name).read_text())
    (service.folder / "app" / "measured.py").write_text((APPS / "quickstart.py").read_text())
    service.edit("main.py", "from app.loans import router as loans", "from app.measured import add")
    service.edit("main.py", "app.include_router(loans)", "add(app)")
    return Contestant(f"ours-{server}", f"this service on {server}", SERVERS[server]["run"], service.folder, SETTINGS)


def contestants(folder: Path) -> list[Contestant]:
    """All of them, the founding set-up first."""
    return [FOUNDING, AGAIN, ANNOTATED, *(quickstart(server, folder) for server in SERVERS), *OTHERS]


@contextmanager
def on(cores: list[int]) -> Iterator[None]:
    """Run on these cores, and what is started meanwhile too, where the system can."""
    if len(CORES) < 2:
        yield
        return
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


def environment(contestant: Contestant | None, home: Path, port: int) -> dict[str, str]:
    """The contestant's environment: of the bench environment's programs, and with a home of its own.

    gunicorn keeps a socket there, and two masters would take each other's away.
    """
    path = f"{BENCH / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return (
        clean_environment()
        | {"PATH": path, "HOME": str(home), "PORT": str(port)}
        | dict(contestant.environment if contestant else {})
    )


@contextmanager
def started(contestant: Contestant, folder: Path, cores: list[int] | None = None) -> Iterator[Running]:
    """The contestant, on the first core, until its first answer; `Dead` if none comes."""
    home = folder / f"home-{contestant.key}"
    home.mkdir(exist_ok=True)
    log = home / "log"
    port = free_port()
    program, *words = contestant.command.format(port=port).split()
    with log.open("ab") as output, on(cores or CORES[:1]):  # appended to, so that it can be emptied
        process = subprocess.Popen(
            [BENCH / "bin" / program, *words],
            cwd=contestant.folder,
            env=environment(contestant, home, port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Running(contestant, process, port, log)
    try:
        wait(running)
        yield running
    finally:
        stop(process)


def wait(running: Running, seconds: float = 30) -> None:
    """Until the first answer."""
    deadline = monotonic() + seconds
    while not running.answers():
        running.assert_alive()
        if monotonic() > deadline:
            raise Dead(f"no answer within {seconds:.0f} s: {running.log.read_text()[-500:].strip()}")
        sleep(0.005)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it politely, and whatever of it is left then."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        print(f"process {process.pid} did not end within 20 s: killed", file=sys.stderr)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
