"""What a user waits for: rendering, rendering again in one process, and from `new --run` to the first answer.

Run as `python -m bench.command`; it writes `bench/results/command.json` and the table in `docs/command.md`.
"""

import json
import platform
import statistics
import subprocess
import tempfile
import time
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path

from asgi_quickstart import rendering
from asgi_quickstart.answers import Answers
from tests.service import BIN, clean_environment, free_port
from tests.tables import DOCS, replace

RESULTS = Path(__file__).parent / "results" / "command.json"
ROUNDS = 7


def new_without_install(folder: Path) -> float:
    """Seconds of `new --no-install`, process start included."""
    started = time.perf_counter()
    subprocess.run(
        [BIN / "asgi-quickstart", "new", folder, "--no-install"],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - started


def render() -> float:
    """Seconds of one render in this process."""
    started = time.perf_counter()
    with rendering.rendered(Answers.complete({})):
        return time.perf_counter() - started


def new_and_run(folder: Path) -> float:
    """Seconds from `new --run` to the first HTTP 200 of the default service."""
    port = free_port()
    started = time.perf_counter()
    with subprocess.Popen(
        [BIN / "asgi-quickstart", "new", folder, "--run"],
        env=clean_environment() | {"PORT": str(port)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            while time.perf_counter() - started < 60:
                connection = HTTPConnection("127.0.0.1", port, timeout=10)
                try:
                    connection.request("GET", "/")
                    if connection.getresponse().status == 200:
                        return time.perf_counter() - started
                except (OSError, HTTPException):
                    time.sleep(0.005)
                finally:
                    connection.close()
            raise TimeoutError("no answer within 60 s")
        finally:
            process.terminate()


def table(results: dict[str, float]) -> str:
    """The results in Markdown."""
    rows = [f"| {name} | {seconds:.2f} s |" for name, seconds in results.items()]
    return "\n".join(["| what | median |", "|---|---|", *rows]) + "\n"


def main() -> None:
    render()  # imports copier
    with tempfile.TemporaryDirectory() as folder:
        new_and_run(Path(folder, "warm"))  # fills the manager's cache
        results = {
            "`new --no-install`, process start included": [
                new_without_install(Path(folder, f"new-{number}")) for number in range(ROUNDS)
            ],
            "rendering again in one process": [render() for _ in range(ROUNDS)],
            "`new --run`, to the first HTTP 200": [new_and_run(Path(folder, f"run-{n}")) for n in range(ROUNDS)],
        }
    medians = {name: round(statistics.median(seconds), 3) for name, seconds in results.items()}
    machine = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    versions = {name: version(name) for name in ("copier", "uv", "fastapi")}
    RESULTS.write_text(json.dumps({"machine": machine, "versions": versions, "results": medians}, indent=2) + "\n")
    replace(DOCS / "command.md", "figures", table(medians))
    print(table(medians))


if __name__ == "__main__":
    main()
