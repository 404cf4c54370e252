"""Growth: throughput against the number of routes, of middlewares, of connections and of workers."""

import os
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import load
from .contest import CORES, FOUNDING, OTHERS, SERVERS, Contestant, gunicorn, on, quickstart, started
from .endpoints import ENDPOINTS, Endpoint, exchange
from .load import Dead, Wrong
from .start import with_two_workers

JSON = next(one for one in ENDPOINTS if one.name == "json")
BARE = next(one for one in OTHERS if one.key == "bare")


@dataclass(frozen=True, eq=False)
class Point:
    """One measurement: a line of a chart, how far along it, who is asked what, and by how many connections."""

    line: str
    x: int
    contestant: Contestant
    endpoint: Endpoint = JSON
    connections: int = 64
    cores: tuple[int, ...] = ()


def growing(module: str, **settings: int) -> Contestant:
    """`contestants/growing_*.py` of that size."""
    key = "-".join([module, *(f"{name}{number}" for name, number in settings.items())])
    return replace(
        gunicorn(key, key, f"growing_{module}"),
        environment={name.upper(): str(number) for name, number in settings.items()},
    )


def routes(counts: Iterable[int]) -> Iterator[Point]:
    """The last of so many routes."""
    for count in counts:
        last = replace(JSON, target=f"/route{count - 1}/1", answer={"id": 1})
        for module in ("fastapi", "starlette"):
            yield Point(module, count, growing(module, routes=count), last)


def middlewares(counts: Iterable[int]) -> Iterator[Point]:
    """So many middlewares that do nothing."""
    only = replace(JSON, target="/route0/1", answer={"id": 1})
    for count in counts:
        yield Point("pure ASGI", count, growing("starlette", pure=count), only)
        yield Point("BaseHTTPMiddleware", count, growing("starlette", base=count), only)


def connections(counts: Iterable[int], folder: Path) -> Iterator[Point]:
    """So many connections, each with a request on its way."""
    ours = quickstart("gunicorn", folder / "connections")
    ours = replace(ours, environment=dict(ours.environment) | {"MAX_CONCURRENCY": "10000"})
    for count in counts:
        for contestant in (FOUNDING, ours, BARE):
            yield Point(contestant.title, count, contestant, connections=count)


def workers(folder: Path) -> Iterator[Point]:
    """One worker, and two on two cores; where there are only two, the load has to share one of them."""
    for contestant in (FOUNDING, *(quickstart(server, folder / "workers") for server in SERVERS)):
        yield Point(contestant.title, 1, contestant, cores=tuple(CORES[:2]))
        yield Point(contestant.title, 2, with_two_workers(contestant), cores=tuple(CORES[:2]))


def measure(quick: bool) -> dict[str, Any]:
    """The section `growth` of the results."""
    rounds, seconds = (1, 0.3) if quick else (3, 1.0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        charts = {
            "routes": list(routes([1, 100] if quick else [1, 10, 100, 1000])),
            "middlewares": list(middlewares([0, 5] if quick else [0, 1, 2, 5, 10, 20])),
            "connections": list(connections([1, 500] if quick else [1, 8, 64, 512, 5000], folder)),
            "workers": list(workers(folder)),
        }
        points = [point for line in charts.values() for point in line]
        rates: dict[Point, list[float]] = {point: [] for point in points}
        failed: dict[Point, str] = {}
        for number in range(rounds):
            for point in points:
                if point not in failed:
                    try:
                        rates[point].append(rate(point, folder, seconds))
                    except (Dead, Wrong) as error:
                        failed[point] = str(error)
            print(f"growth, round {number + 1} of {rounds}", flush=True)
    return {
        "rounds": rounds,
        "seconds": seconds,
        "out": [{"title": f"{point.line}, {point.x}", "reason": reason} for point, reason in failed.items()],
        **{name: [row(point, rates[point]) for point in line if point not in failed] for name, line in charts.items()},
    }


def row(point: Point, rates: list[float]) -> dict[str, Any]:
    """The median of the rounds, the least and the most."""
    figures = {"rate": round(statistics.median(rates)), "least": round(min(rates)), "most": round(max(rates))}
    return {"line": point.line, "x": point.x} | figures


def rate(point: Point, folder: Path, seconds: float) -> float:
    """Answers a second, of a server that is started for it."""
    with started(point.contestant, folder, list(point.cores) or None) as running:
        exchanged = exchange(running.port, point.endpoint)
        with on(CORES[-1:]):
            measured = load.saturate(running.port, exchanged, point.connections, seconds)
        os.truncate(running.log, 0)  # the access log
        if measured.lost:
            raise Wrong(f"{measured.lost} requests were closed without an answer")
        return measured.rate
