"""The command beside other generators: seconds to the files, seconds to the first answer, files, packages.

Each runs as a user would run it, without a terminal, in an empty folder, with a cache that an earlier run has filled.
Those that cannot run are named with the reason, such as those that fetch their template from a site that is not reached.
"""

import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any

from tests.service import BIN, clean_environment, free_port

from .contest import BENCH

PATIENCE = 240.0  # seconds for one command
PYTHON = os.environ.get("PEER_PYTHON", sys.executable)


@dataclass(frozen=True)
class Generator:
    """How a generator is called: its files, then what makes them serve; `{port}` is filled in, `shop` is the project."""

    title: str
    files: str
    prepare: str
    serve: str
    path: str = "/"
    answers: str = ""  # what is typed where it asks although no terminal is there
    environment: str = BENCH.name  # of its program; see requirements/


OURS = Generator(
    "asgi-quickstart",
    "asgi-quickstart new shop --yes",
    "",
    "make -C shop dev",
)
GENERATORS = [
    OURS,
    Generator(
        "fastapi-new",
        "fastapi-new shop",
        "",
        "uv --directory shop run fastapi dev --port {port}",
        environment="fastapi-new",
    ),
    Generator(
        "fastapi-template (s3rius)",
        "fastapi_template --name shop --quiet --api-type rest --db none --orm none --ci none",
        "",
        "uv --directory shop run -m shop",
        "/api/health",
        environment="fastapi-template",
    ),
    Generator(
        "FastAPI-fastkit",
        "fastkit startdemo fastapi-default --project-name shop --author Me --author-email me@example.org"
        " --description Shop --package-manager uv",
        "",
        "uv --directory shop run uvicorn src.main:app --reload --port {port}",
        "/health",
        answers="y\ny\n",
        environment="fastapi-fastkit",
    ),
    Generator(
        "cookiecutter-django",
        "cookiecutter --no-input https://github.com/cookiecutter/cookiecutter-django.git project_slug=shop",
        "uv --directory shop sync",
        "uv --directory shop run python manage.py runserver {port}",
        environment="cookiecutter",
    ),
    Generator(
        "copier-uv",
        "uvx --with copier-template-extensions copier copy --trust --defaults https://github.com/pawamoy/copier-uv.git shop",
        "uv --directory shop sync",
        "",  # a library: nothing serves
    ),
]


class DidNotRun(Exception):
    """A command failed; the reason is its last word."""


class Trial:
    """A generator in an empty folder."""

    def __init__(self, generator: Generator, folder: Path, cache: Path) -> None:
        self.generator = generator
        self.folder = folder
        self.port = free_port()
        programs = folder / "programs"
        programs.mkdir(parents=True)
        for name in ("uv", "uvx", "asgi-quickstart"):
            (programs / name).symlink_to(BIN / name)
        path = f"{programs}{os.pathsep}{BENCH.parent / generator.environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.environment = clean_environment() | {
            "PATH": path,
            "PORT": str(self.port),
            "SHOP_PORT": str(self.port),
            "UV_CACHE_DIR": str(cache),
            "UV_PYTHON": PYTHON,
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_LINK_MODE": "hardlink",
        }

    def run(self, command: str) -> None:
        """Run a command to its end, or raise `DidNotRun`."""
        try:
            result = subprocess.run(
                shlex.split(command),
                cwd=self.folder,
                env=self.environment,
                input=self.generator.answers,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        except FileNotFoundError:
            raise DidNotRun(f"`{command.split()[0]}` is not installed: `make bench` says why") from None
        except subprocess.TimeoutExpired:
            raise DidNotRun(f"`{command.split()[0]}` did not end within {PATIENCE:.0f} s") from None
        if result.returncode or not (self.folder / "shop").exists():
            said = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
            errors = [line for line in said if "fatal" in line or "rror:" in line] or said or ["it said nothing"]
            raise DidNotRun(f"`{command.split()[0]}` failed: {errors[0][:160].replace(str(self.folder), '.')}")

    def measure(self) -> dict[str, Any]:
        """Seconds to the files and to the first answer, both from the first command on; files; packages."""
        one = self.generator
        start = perf_counter()
        self.run(one.files)
        figures: dict[str, Any] = {
            "files_s": perf_counter() - start,
            "files": len(self.files()),
            "first_answer_s": None,
        }
        if one.prepare:
            self.run(one.prepare)
        if one.serve:
            self.serve()
            figures["first_answer_s"] = perf_counter() - start
            self.stop()
        return figures | {"packages": len(list(self.folder.glob("shop/.venv/lib/*/site-packages/*.dist-info")))}

    def files(self) -> list[Path]:
        """What it has written, without the environment and the history."""
        shop = self.folder / "shop"
        every = (path.relative_to(shop) for path in shop.rglob("*") if path.is_file())
        return [path for path in every if not {".venv", ".git", "__pycache__"} & set(path.parts)]

    def serve(self) -> None:
        """Until the first answer with 200."""
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                shlex.split(self.generator.serve.format(port=self.port)),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = monotonic() + 60
        while not self.answers():
            if self.process.poll() is not None or monotonic() > deadline:
                self.stop()
                raise DidNotRun(f"it does not start: {(self.folder / 'log').read_text().strip()[-160:]}")
            sleep(0.005)

    def answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", self.generator.path)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def measure(quick: bool, generators: list[Generator] = GENERATORS) -> dict[str, Any]:
    """The section `tool` of the results; generators take turns."""
    rounds = 1 if quick else 5
    trials: dict[str, list[dict[str, Any]]] = {one.title: [] for one in generators}
    out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(rounds + 1):  # the first one fills the cache
            for one in generators:
                if one.title in out:
                    continue
                trial = Trial(one, Path(temporary, f"{number}-{generators.index(one)}"), Path(temporary, "cache"))
                try:
                    figures = trial.measure()
                except DidNotRun as error:
                    out[one.title] = f"did not run: {error}"
                    trials[one.title].clear()
                    continue
                print(one.title, figures, flush=True)
                if number:
                    trials[one.title].append(figures)
    rows = [
        {
            "title": title,
            "files_s": middle(figures, "files_s"),
            "first_answer_s": middle(figures, "first_answer_s"),
            "files": figures[0]["files"],
            "packages": figures[0]["packages"],
        }
        for title, figures in trials.items()
        if figures
    ]
    python = subprocess.run([PYTHON, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    return {
        "rounds": rounds,
        "python": python,
        "rows": rows,
        "out": [{"title": key, "reason": reason} for key, reason in out.items()],
    }


def middle(trials: list[dict[str, Any]], name: str) -> float | None:
    """The median of a figure, if there is one."""
    seconds = [trial[name] for trial in trials]
    return None if None in seconds else round(statistics.median(seconds), 3)
