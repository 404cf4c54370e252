"""Throughput and latency: every contestant on every endpoint, in turn, round by round."""

import os
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import load, processes
from .contest import CORES, Contestant, Running, contestants, on, started
from .endpoints import ENDPOINTS, Endpoint, exchange, faults
from .load import Dead, Wrong

CONNECTIONS = 64
ROUNDS_OF_A_PROCESS = 3  # then a new one: where a process lies in memory makes it 4% faster or slower than the next
FOUNDING = "founding"


@dataclass
class Cell:
    """A contestant on an endpoint: a figure a round; the latencies of all rounds, each at half of the rate of its own."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # the server's processor seconds a request
    latencies: list[float] = field(default_factory=list)  # seconds


class Race:
    """Contestants that are up, checked, and asked in turn, started again and again; those that fail are out, with the reason."""

    def __init__(self, entrants: Iterable[Contestant], folder: Path) -> None:
        self.entrants = list(entrants)
        self.folder = folder
        self.cells: dict[str, dict[str, Cell]] = {}
        self.out: dict[str, str] = {}
        self._up = ExitStack()

    def __enter__(self) -> "Race":
        self._start()
        return self

    def _start(self) -> None:
        self._up.close()
        self.up: list[Running] = []
        for contestant in self.entrants:
            if contestant.key in self.out:
                continue
            try:
                running = self._up.enter_context(started(contestant, self.folder))
                if wrong := list(faults(running.port)):
                    raise Wrong("; ".join(wrong))
                self.up.append(running)
            except (Dead, Wrong) as error:
                self._drop(contestant, error)

    def __exit__(self, *_: object) -> None:
        self._up.close()

    def _drop(self, contestant: Contestant, error: Dead | Wrong) -> None:
        verdict = "disqualified" if isinstance(error, Wrong) else "dead"
        self.out[contestant.key] = f"{verdict}: {error}"
        self.cells.pop(contestant.key, None)
        print(f"{contestant.title}: {verdict}: {error}", flush=True)

    def run(self, endpoints: Sequence[Endpoint], rounds: int, seconds: float, latency: bool = True) -> None:
        """So many rounds; within one, all contestants answer an endpoint before it is the next one's turn."""
        for number in range(rounds):
            if number and number % ROUNDS_OF_A_PROCESS == 0:
                self._start()
            for endpoint in endpoints:
                turn = number % max(1, len(self.up))  # another one begins each round
                for running in self.up[turn:] + self.up[:turn]:
                    try:
                        self._turn(running, endpoint, seconds, latency)
                    except (Dead, Wrong) as error:
                        self.up.remove(running)
                        self._drop(running.contestant, error)
            print(f"round {number + 1} of {rounds}", flush=True)

    def _turn(self, running: Running, endpoint: Endpoint, seconds: float, latency: bool) -> None:
        running.assert_alive()
        exchanged = exchange(running.port, endpoint)
        with on(CORES[-1:]):
            before = processes.seconds(running.process.pid)
            most = load.saturate(running.port, exchanged, CONNECTIONS, seconds)
            cell = self.cells.setdefault(running.contestant.key, {}).setdefault(endpoint.name, Cell())
            cell.rates.append(most.rate)
            cell.cpu.append((processes.seconds(running.process.pid) - before) / most.answers)
            lost = most.lost
            if latency:
                half = load.at_rate(running.port, exchanged, CONNECTIONS, seconds, most.rate / 2)
                cell.latencies += half.latencies
                lost += half.lost
            if lost:
                raise Wrong(f"{endpoint.name}: {lost} requests were closed without an answer")
        os.truncate(running.log, 0)  # the access logs


def summary(race: Race) -> dict[str, Any]:
    """The medians, the spread, and the ratio to the founding set-up, each round with its own."""
    rows = []
    for contestant in race.entrants:
        for endpoint, cell in race.cells.get(contestant.key, {}).items():
            base = race.cells.get(FOUNDING, {}).get(endpoint)
            rows.append(
                {
                    "contestant": contestant.key,
                    "title": contestant.title,
                    "endpoint": endpoint,
                    "rate": round(statistics.median(cell.rates)),
                    "least": round(min(cell.rates)),
                    "most": round(max(cell.rates)),
                    "ratio": ratio(cell.rates, base.rates) if base else None,
                    "spread": spread(cell.rates, base.rates) if base else None,
                    "cpu_us": round(statistics.median(cell.cpu) * 1e6, 1),
                    "cpu_ratio": ratio(base.cpu, cell.cpu) if base and all(cell.cpu) else None,
                    "p50_ms": percentile(cell.latencies, 50),
                    "p99_ms": percentile(cell.latencies, 99),
                }
            )
    titles = {contestant.key: contestant.title for contestant in race.entrants}
    return {"rows": rows, "out": [{"title": titles[key], "reason": reason} for key, reason in race.out.items()]}


def ratio(rates: Sequence[float], base: Sequence[float]) -> float:
    """The median of the rounds' ratios, each with its own base: a slow minute of the machine hits both sides of one."""
    return round(statistics.median(one / other for one, other in zip(rates, base, strict=True)), 3)


def spread(rates: Sequence[float], base: Sequence[float]) -> float:
    """Half of the range that the middle half of the rounds' ratios lies in."""
    ratios = sorted(one / other for one, other in zip(rates, base, strict=True))
    quarter = len(ratios) // 4
    return round((ratios[-1 - quarter] - ratios[quarter]) / 2, 3)


def percentile(seconds: Sequence[float], percent: float) -> float | None:
    """Milliseconds within which so many percent of the requests of all rounds were answered."""
    return round(load.Load(0, 0, list(seconds)).percentile(percent) * 1000, 3) if seconds else None


def measure(quick: bool, chosen: Callable[[Path], list[Contestant]] = contestants) -> dict[str, Any]:
    """The section `throughput` of the results."""
    endpoints = [one for one in ENDPOINTS if one.name in ("json", "items")] if quick else ENDPOINTS
    rounds, seconds = (2, 0.4) if quick else (9, 0.3)  # short: they see the same machine
    with tempfile.TemporaryDirectory() as folder, Race(chosen(Path(folder)), Path(folder)) as race:
        race.run(endpoints, rounds, seconds)
    return {"rounds": rounds, "seconds": seconds, "connections": CONNECTIONS} | summary(race)
