"""What the tests share: the installed command, and services written by it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .service import BIN, Service, clean_environment, write_service


@pytest.fixture(scope="session")
def shared_environment() -> Path:
    """An environment with the dependencies of every option: the one the tests run in."""
    return Path(sys.prefix)


@pytest.fixture
def service(tmp_path: Path, request: pytest.FixtureRequest) -> Service:
    """A service with the default choices, or those of an indirect parameter, on the shared environment."""
    return write_service(tmp_path / "service", **getattr(request, "param", {}))


@pytest.fixture
def quickstart(tmp_path: Path) -> "Quickstart":
    """Runs the installed command in an empty folder, without a terminal."""
    return Quickstart(tmp_path)


class Quickstart:
    """The command as a user without a terminal runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "asgi-quickstart", *arguments],
            cwd=self.folder,
            env=clean_environment() | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was skipped, in the last lines."""
    for report in terminalreporter.stats.get("skipped", []):
        terminalreporter.write_line(f"not tested: {report.nodeid}: {report.longrepr[2]}")


os.environ.pop("MAKEFLAGS", None)
