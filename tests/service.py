"""A generated service: written, started, asked, edited, stopped."""

import atexit
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar

import httpx2

from asgi_quickstart import rendering
from asgi_quickstart.answers import Answers
from asgi_quickstart.options import Option, Value, options

T = TypeVar("T")
BIN = Path(sys.executable).parent


# The options that change no Python and no pyproject.toml: what checks the code need not be repeated for their choices.
NO_CODE = {"image", "deploy"}


def combinations() -> list[dict[str, str]]:
    """Every combination of the options that change the code; the others keep their defaults."""
    closed = [option for option in options() if option.choices and option.name not in NO_CODE]
    values = itertools.product(*(option.choices for option in closed))
    return [dict(zip((option.name for option in closed), chosen, strict=True)) for chosen in values]


def every_combination() -> Iterator[dict[str, Value]]:
    """Every combination of the options that change the code; and for every manager and server every one of the others.

    Not all with all, which would be thousands: the others meet another choice of what changes the code each time.
    """
    others = [option for option in options() if option.name in NO_CODE]
    rest = [
        dict(zip((option.name for option in others), chosen, strict=True))
        for chosen in itertools.product(*map(answers, others))
    ]
    for one, code in enumerate(combinations()):
        yield {**code, **{option.name: option.default for option in others}}
        for another, chosen in enumerate(rest):
            if (one + one // 4 + one // 16 + another + another // 8) % 4 == 0:
                yield {**code, **chosen}


def answers(option: Option) -> list[Value]:
    """Everything that can be answered to a question with choices."""
    if not option.several:
        return list(option.choices)
    sizes = range(len(option.choices) + 1)
    return [chosen for size in sizes for chosen in itertools.combinations(option.choices, size)]


def clean_environment() -> dict[str, str]:
    """What a user's shell would pass on: nothing of the test runner's, and no setting of a service."""
    ours = {"VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "UV_CACHE_DIR", "UV_EXCLUDE_NEWER"}
    return {key: value for key, value in os.environ.items() if key not in ours and not key.startswith("PYTHON")}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def eventually(what: Callable[[], T], seconds: float = 20, message: Callable[[], str] = lambda: "") -> T:
    """The first true answer of `what`, asked again and again until the deadline; errors of a connection count as no."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := what():
                return answer
        except httpx2.TransportError:
            pass
        assert time.monotonic() < deadline, f"not within {seconds} s: {message()[-5000:]}"
        time.sleep(0.01)


@dataclass
class Service:
    """The folder of a service, and while it is started, how to ask it."""

    folder: Path
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    ready: str = "/health/ready"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder.parent / f"{self.folder.name}.log").read_text()

    def edit(self, file: str, old: str, new: str) -> None:
        """Save a file with a change, as an editor does."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new))

    def get(self, path: str = "/", **options: object) -> httpx2.Response:
        """Ask on a new connection; there is no TLS, whose certificates take 50 ms to load."""
        return httpx2.get(self.url + path, timeout=10, verify=False, **options)  # type: ignore[arg-type]

    def _is_ready(self) -> bool:
        assert self.process and self.process.poll() is None, f"ended before it was ready: {self.log[-5000:]}"
        return self.get(self.ready).is_success

    def says(self, text: str) -> Callable[[], bool]:
        return lambda: text in self.get().text

    @contextmanager
    def started(self, *words: str, **environment: str) -> Iterator["Service"]:
        """The service, started by `make WORDS` or by a program of its environment, until it is ready."""
        command = ["make", "--silent", *words] if words[0] in ("dev", "run") else [f".venv/bin/{words[0]}", *words[1:]]
        with (self.folder.parent / f"{self.folder.name}.log").open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=clean_environment()
                | {"PORT": str(self.port), "METRICS_PORT": str(self.metrics_port)}
                | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            eventually(self._is_ready, 30, lambda: self.log)
            yield self
        finally:
            self.process.terminate()
            try:
                self.process.wait(40)
            finally:
                with suppress(ProcessLookupError):  # nothing may outlive the test, whatever it has shown
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@cache  # most tests want one of a few, and it takes half a second
def rendered_once(**given: Value) -> Path:
    """The files of a service, until this process ends."""
    files = rendering.rendered(Answers.complete(given))
    atexit.register(files.__exit__, None, None, None)
    return files.__enter__()


def write_service(folder: Path, **given: Value) -> Service:
    """A service on the shared environment, which has the dependencies of every option."""
    folder.mkdir(parents=True)
    rendering.write(rendered_once(**{"name": "service", **given}), folder)
    (folder / ".venv").symlink_to(sys.prefix)
    return Service(folder)
