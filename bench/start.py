"""Starting: seconds to the first answer, import time, memory of an idle service, and from an edit to its answer."""

import os
import statistics
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from . import processes, reload
from .contest import BENCH, CORES, Contestant, contestants, environment, on, started
from .load import Dead

RELOADERS = reload.CONTESTANTS | {
    "`make dev` (uvicorn)": reload.Contestant("uvicorn", ["dev"]),
    "`make dev` (granian)": reload.Contestant("granian", ["dev"]),
    "`make dev` (hypercorn)": reload.Contestant("hypercorn", ["dev"]),
    "`granian main:app --reload`": reload.Contestant(
        "granian", "granian main:app --interface asgi --reload --port {port}".split()
    ),
    "`hypercorn main:app --reload`": reload.Contestant(
        "hypercorn", "hypercorn main:app --reload --bind 127.0.0.1:{port}".split()
    ),
}


def importing(contestant: Contestant | None, home: Path) -> float:
    """Seconds of a process that imports the application; of one that imports nothing, if there is none."""
    words = f"import {contestant.module}" if contestant else "pass"
    folder = contestant.folder if contestant else home
    start = perf_counter()
    with on(CORES[:1]):
        result = subprocess.run(
            [BENCH / "bin" / "python", "-c", words],
            cwd=folder,
            env=environment(contestant, home, 8000),
            capture_output=True,
            text=True,
        )
    if result.returncode:
        raise Dead(f"it cannot be imported: {result.stderr.strip()[-500:]}")
    return perf_counter() - start


def with_two_workers(contestant: Contestant) -> Contestant:
    """The same with another worker."""
    given = dict(contestant.environment)
    ours = "WEB_CONCURRENCY" in given
    return replace(
        contestant,
        key=f"{contestant.key}-2",
        command=contestant.command if ours else f"{contestant.command} --workers 2",
        environment=given | {"WEB_CONCURRENCY": "2"} if ours else given,
    )


def starting(contestant: Contestant, folder: Path, memory: dict[str, list[float]]) -> float:
    """Seconds from the start of the process to its first answer; its memory is noted, in all and of its largest part."""
    start = perf_counter()
    with started(contestant, folder) as running:
        taken = perf_counter() - start
        if os.path.exists("/proc/self/smaps_rollup"):
            each = processes.megabytes(running.process.pid)
            memory[contestant.key].append(sum(each))
            memory[f"{contestant.key} worker"].append(each[0])
        return taken


def measure(quick: bool, chosen: Callable[[Path], list[Contestant]] = contestants) -> dict[str, Any]:
    """The section `start` of the results; contestants take turns."""
    rounds = 1 if quick else 7
    warm_up = not quick  # a round that compiles byte code
    first: dict[str, list[float]] = defaultdict(list)
    imports: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, list[float]] = defaultdict(list)
    out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        entrants = [one for one in chosen(folder) if not quick or one.key == "founding" or one.key.startswith("ours")]
        for number in range(1 - warm_up, rounds + 1):
            nothing = importing(None, folder)
            for contestant in entrants:
                if contestant.key in out:
                    continue
                try:
                    imported = importing(contestant, folder) - nothing
                    seconds = starting(contestant, folder, memory)
                    starting(with_two_workers(contestant), folder, memory)
                except Dead as error:
                    out[contestant.key] = f"dead: {error}"
                    continue
                if number:
                    imports[contestant.key].append(imported)
                    first[contestant.key].append(seconds)
            print(f"start, round {number} of {rounds}", flush=True)
    rows = [
        {
            "contestant": contestant.key,
            "title": contestant.title,
            "first_answer_s": round(statistics.median(first[contestant.key]), 3),
            "import_s": round(statistics.median(imports[contestant.key]), 3),
            "one_mb": middle(memory[contestant.key]),
            "worker_mb": middle(memory[f"{contestant.key} worker"]),
            "two_mb": middle(memory[f"{contestant.key}-2"]),
        }
        for contestant in entrants
        if contestant.key not in out
    ]
    titles = {contestant.key: contestant.title for contestant in entrants}
    return {
        "rounds": rounds,
        "rows": rows,
        "out": [{"title": titles[key], "reason": reason} for key, reason in out.items()],
        "reload": [] if quick else reloading(rounds),
    }


def middle(megabytes: list[float]) -> float | None:
    """The median."""
    return round(statistics.median(megabytes), 1) if megabytes else None


def reloading(rounds: int) -> list[dict[str, Any]]:
    """Seconds from an edit to its answer, by reloader."""
    figures = reload.measure(rounds, RELOADERS)
    return [{"title": name, "seconds": round(one.median, 3), "lost": one.lost} for name, one in figures.items()]
