"""How long each package manager takes to lock and to install the default service, and how much it installs.

Run as `python -m bench.install`; it writes `bench/results/install.json` and the table in
`docs/dependency-management.md`.
"""

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.service import BIN
from tests.tables import DOCS, replace
from tests.template.test_install import MANAGERS, user_environment

RESULTS = Path(__file__).parent / "results" / "install.json"
PAGE, MARK = DOCS / "dependency-management.md", "install figures"
ROUNDS = 3
STAGES = {
    "lock_empty": "lock, empty cache",
    "lock_warm": "lock, warm cache",
    "install_empty": "install, empty cache",
    "install_warm": "install, warm cache",
}


class Trial:
    """A new service in a folder of its own, with caches of its own, and the manager's words at work on it."""

    def __init__(self, manager: str, folder: Path) -> None:
        self.record: Mapping[str, str] = MANAGERS[manager]
        self.service = folder / "service"
        self.caches = folder / "caches"
        given = user_environment(manager, folder)
        self.environment = {
            key: str(self.caches / key) if key.endswith("_CACHE_DIR") else value for key, value in given.items()
        }
        # Pipenv takes the newest Python that it finds, the others the one that runs this.
        self.environment["PIPENV_PYTHON"] = ".".join(platform.python_version_tuple()[:2])
        self.run(BIN / "asgi-quickstart", "new", self.service, f"--manager={manager}", "--no-install", folder=folder)

    def run(self, *command: str | Path, folder: Path) -> str:
        result = subprocess.run(
            command, cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if result.returncode:
            raise RuntimeError(f"{command} failed\n{result.stdout}{result.stderr}")
        return result.stdout + result.stderr

    def seconds(self, words: str) -> float:
        """How long the manager's words took."""
        start = time.monotonic()
        self.run("sh", "-ec", self.record[words], folder=self.service)
        return time.monotonic() - start

    def without(self, *names: str) -> None:
        """Remove the lock, the environment or the caches."""
        lock = Path(self.record["lock_file"])
        for name in names:
            if name == "lock":
                for file in self.service.glob(f"{lock.stem}*{lock.suffix}"):  # pip's are two: requirements*.txt
                    file.unlink()
            else:
                shutil.rmtree(self.caches if name == "caches" else self.service / ".venv", ignore_errors=True)

    def stages(self) -> dict[str, float]:
        """The seconds of each stage, in this order: a warm cache is what the stage before has left."""
        lock_empty = self.seconds("lock")
        self.without("lock")
        lock_warm = self.seconds("lock")
        self.without("environment", "caches")
        install_empty = self.seconds("install")
        self.without("environment")
        install_warm = self.seconds("install")
        return dict(zip(STAGES, (lock_empty, lock_warm, install_empty, install_warm), strict=True))

    def packages(self) -> int:
        return len(list(self.service.glob(".venv/lib/*/site-packages/*.dist-info")))

    def megabytes(self) -> float:
        files = (path for path in (self.service / ".venv").rglob("*") if path.is_file() and not path.is_symlink())
        return sum(path.stat().st_size for path in files) / 1e6

    def version(self) -> str:
        """The version of the manager; for pip, of the one that `python3 -m venv` has put into the environment."""
        pip = [".venv/bin/python", "-m", "pip"]
        command = pip if self.record["program"] == "python3" else [self.record["program"]]
        found = re.search(r"\d+(\.\d+)+", self.run(*command, "--version", folder=self.service))
        assert found
        return found[0]


def measure() -> dict[str, Any]:
    """The figures of every manager; the rounds take turns, so that a slow minute hits all of them."""
    rounds: dict[str, list[dict[str, float]]] = {manager: [] for manager in MANAGERS}
    rows: dict[str, dict[str, Any]] = {}
    for number in range(1, ROUNDS + 1):
        for manager in MANAGERS:
            with tempfile.TemporaryDirectory(prefix="bench-install-") as folder:
                trial = Trial(manager, Path(folder))
                rounds[manager].append(trial.stages())
                rows[manager] = {
                    "manager": manager,
                    "version": trial.version(),
                    **{stage: round(statistics.median(one[stage] for one in rounds[manager]), 1) for stage in STAGES},
                    "packages": trial.packages(),
                    "megabytes": round(trial.megabytes()),
                }
                print(number, rows[manager], flush=True)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.freedesktop_os_release()['PRETTY_NAME']}",
        "python": platform.python_version(),
        "rounds": ROUNDS,
        "rows": list(rows.values()),
    }


def table(results: Mapping[str, Any]) -> str:
    """The figures in Markdown, with a line that says where they come from."""
    lines = [
        "| | version | " + " | ".join(STAGES.values()) + " | packages | `.venv` |",
        "|---|---|" + "---:|" * (len(STAGES) + 2),
    ]
    for row in results["rows"]:
        seconds = " | ".join(f"{row[stage]:.1f} s" for stage in STAGES)
        lines.append(f"| {row['manager']} | {row['version']} | {seconds} | {row['packages']} | {row['megabytes']} MB |")
    origin = f"Median of {results['rounds']}, {results['date']}, {results['machine']}, Python {results['python']}."
    return "\n".join([*lines, "", origin]) + "\n"


def write(results: Mapping[str, Any]) -> None:
    """Put the table into the page."""
    replace(PAGE, MARK, table(results))


def main() -> None:
    results = measure()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    write(results)
    print(table(results))


if __name__ == "__main__":
    main()
