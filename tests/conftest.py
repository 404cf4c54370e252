"""What the tests share: the installed command, and services written by it."""

import os
import subprocess
from collections.abc import Callable, Generator
from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock
from pathlib import Path

import pytest

from . import made_history, matrix, promises
from .service import BIN, Service, clean_environment, write_service

LOCKS = Path(__file__).parents[1] / ".cache" / "locks"


@pytest.fixture
def service(tmp_path: Path, request: pytest.FixtureRequest) -> Service:
    """A service with the default choices, or those of an indirect parameter, on the shared environment."""
    return write_service(tmp_path / "service", **getattr(request, "param", {}))


@pytest.fixture
def quickstart(tmp_path: Path) -> "Quickstart":
    """Runs the installed command in an empty folder, without a terminal."""
    return Quickstart(tmp_path)


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> made_history.History:
    """Three made releases of the command."""
    return made_history.make(tmp_path_factory.mktemp("history"))


@pytest.fixture
def written(history: made_history.History, tmp_path: Path) -> Callable[..., Path]:
    """Writes a service with one of the releases, and commits it."""

    def write(version: str = "1.0.0", *flags: str, path: str = "orders") -> Path:
        folder = tmp_path / path
        made_history.git(tmp_path, "init", "--quiet")
        result = history[version]("new", folder, "--no-install", *flags, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        made_history.commit(tmp_path)
        return folder

    return write


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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test that measures time while no other worker runs a test."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / "turn").open("w") as turn, (LOCKS / "alone").open("w") as alone:
        flock(turn, LOCK_EX)  # who waits here waits for the one that is waiting to be alone
        flock(alone, LOCK_EX if item.get_closest_marker("alone") else LOCK_SH)
        flock(turn, LOCK_UN)
        return (yield)


@pytest.hookimpl(trylast=True)  # when those that are not wanted are gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    promises.label(items)
    items[:] = alone_first(items, workers=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def alone_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests that must be alone come first on every worker, each of which begins with an equal part of the list.

    In the midst of others each would wait for a long test of another worker, which waits for it in turn.
    """
    alone = [item for item in items if item.get_closest_marker("alone")]
    others = [item for item in items if not item.get_closest_marker("alone")]
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        share = (len(items) - len(ordered)) // (workers - worker)
        first = alone[worker::workers]
        others, now = others[max(0, share - len(first)) :], others[: max(0, share - len(first))]
        ordered += [*first, *now]
    return ordered


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the tables of what was tested, and print what was measured and what was skipped in the last lines."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    outcomes = {report.nodeid: "yes" if report.passed else "no" for report in reports if report.when == "call"}
    if matrix.write(outcomes):
        terminalreporter.write_line("docs/tested.md was rewritten")
    for outcome in ("xfailed", "xpassed", "skipped"):
        reports += terminalreporter.stats.get(outcome, [])
    verdicts, figures = promises.summary(reports)
    for (name, server), measured in sorted(figures.items()):
        for figure in measured:
            terminalreporter.write_line(f"{name}, {server}: {figure}")
    if promises.write(verdicts, figures):
        terminalreporter.write_line("docs/servers.md was rewritten")
    for report in terminalreporter.stats.get("skipped", []):
        terminalreporter.write_line(f"not tested: {report.nodeid}: {report.longrepr[2]}")
