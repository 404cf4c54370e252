"""All contestants at all levels, in rounds."""

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from . import quick
from .contestants import CONTESTANTS, PROCESSES, Contestant
from .crowd import SECONDS
from .measurement import Disqualified, Level, measure

LEVELS = (1, 10, 100, 1000, 2000)
ASKING = 3.0  # seconds at each level


def compare(
    contestants: Sequence[Contestant] = CONTESTANTS,
    levels: Sequence[int] = LEVELS,
    rounds: int = 3,
    seconds: float = ASKING,
) -> dict[str, Any]:
    """The figures; the contestants take turns, so that a slow moment of the machine hits all of them.

    Who answers wrongly or ends is out, with the reason, and has no figures.
    """
    figures = {contestant.name: [Level(clients) for clients in levels] for contestant in contestants}
    disqualified: dict[str, str] = {}
    for number in range(rounds):
        first = number % len(contestants)
        for contestant in [*contestants[first:], *contestants[:first]]:
            if contestant.name in disqualified:
                continue
            print(f"round {number + 1} of {rounds}: {contestant.name}", file=sys.stderr, flush=True)
            try:
                measure(contestant, figures[contestant.name], seconds)
            except Disqualified as reason:
                print(f"disqualified: {reason}", file=sys.stderr, flush=True)
                disqualified[contestant.name] = str(reason)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("gunicorn", "uvicorn", "uvicorn-worker", "fastapi")},
        "processes": PROCESSES,
        "rounds": rounds,
        "requests a second": quick.RATE,
        "bound": quick.BOUND,
        "long poll": SECONDS,
        "disqualified": disqualified,
        "contestants": {
            name: [row(level) for level in reached] for name, reached in figures.items() if name not in disqualified
        },
    }


def row(level: Level) -> dict[str, Any]:
    """The figures of one level; times in milliseconds, None for one that lies beyond the bound."""
    waits = level.waits
    return {
        "clients": level.clients,
        "median": milliseconds(waits.quantile(0.5)),
        "p99": milliseconds(waits.quantile(0.99)),
        "asked": waits.asked,
        "unanswered": waits.unanswered,
        "wrong": waits.wrong,
        "streams": [round(statistics.median(counts)) for counts in zip(*level.streams, strict=True)],
        "megabytes": round(statistics.median(level.megabytes), 1),
        "threads": round(statistics.median(level.threads)),
        "processor": round(statistics.median(level.processor), 3),
        "client late": milliseconds(statistics.quantiles(waits.late, n=100)[98]),
    }


def milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
