"""From saving an edit to serving it: `make dev`, the founding command, and `uvicorn --reload`, round by round in turn.

Run as `python -m bench.reload`; it writes `bench/results/reload.json` and the table in `docs/hot-reload.md`.
"""

import json
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path

from tests.service import Service, write_service
from tests.tables import DOCS, replace

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "reload.json"


@dataclass(frozen=True)
class Contestant:
    """A new service with that server, and the words that start it; `{port}` is filled in."""

    server: str
    words: list[str]


CONTESTANTS = {
    "`make dev` (gunicorn)": Contestant("gunicorn", ["dev"]),
    "the founding command": Contestant(
        "gunicorn", "gunicorn main:app -k uvicorn.workers.UvicornWorker -c uvicorn.conf.py --reload".split()
    ),
    "`uvicorn main:app --reload`": Contestant("gunicorn", "uvicorn main:app --reload --port {port}".split()),
}


@dataclass
class Figures:
    """What one contestant took, in seconds, and the connections that were refused or reset meanwhile."""

    seconds: list[float] = field(default_factory=list)
    lost: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def edit(service: Service, word: str) -> Iterator[Exception | None]:
    """Save an edit in `app/`, and ask on new connections until it is served: an error, or None for an answer."""
    path = service.folder / "app/health.py"
    path.write_text(re.sub(r'status="(ok|edited!*\.)"', f'status="{word}"', path.read_text()))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", service.port, timeout=30)
        try:
            connection.request("GET", "/")
            if word in connection.getresponse().read().decode():
                return
            yield None
        except (OSError, HTTPException) as error:
            yield error
        finally:
            connection.close()
    raise TimeoutError(f"{word} is not served after 30 s:\n{service.log[-3000:]}")


def measure(rounds: int, contestants: Mapping[str, Contestant] = CONTESTANTS) -> dict[str, Figures]:
    """Every contestant edited `rounds` times, in turn, so that a slow moment of the machine hits all of them."""
    figures = {name: Figures() for name in contestants}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        services = {}
        for index, (name, contestant) in enumerate(contestants.items()):
            service = write_service(Path(folder) / str(index), server=contestant.server)
            words = [word.format(port=service.port) for word in contestant.words]
            # One worker each: `make dev` has one by itself.
            services[name] = running.enter_context(service.started(*words, WEB_CONCURRENCY="1"))
        for number in range(rounds + 1):
            for name, service in services.items():
                started = time.perf_counter()
                # Each edit has another length: byte code does not notice one of the same second and length.
                lost = sum(error is not None for error in edit(service, f"edited{number * '!'}."))
                if number:  # the first one compiles what was never imported before
                    figures[name].seconds.append(time.perf_counter() - started)
                    figures[name].lost += lost
    return figures


def table(results: dict[str, dict[str, float]]) -> str:
    """The results in Markdown."""
    base = results["`uvicorn main:app --reload`"]["median"]
    rows = [
        "| started by | edit saved to edit served, median | of `uvicorn --reload` | connections lost |",
        "|---|---|---|---|",
    ]
    for name, row in results.items():
        rows.append(f"| {name} | {row['median']:.2f} s | {row['median'] / base:.2f} | {row['lost']:.0f} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    figures = measure(rounds=int(sys.argv[1]) if sys.argv[1:] else 15)
    results = {name: {"median": round(figure.median, 3), "lost": figure.lost} for name, figure in figures.items()}
    versions = {name: version(name) for name in ("gunicorn", "uvicorn", "fastapi", "watchfiles")}
    machine = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, "versions": versions, "results": results}, indent=2) + "\n")
    replace(DOCS / "hot-reload.md", "figures", table(results))
    print(table(results))


if __name__ == "__main__":
    main()
