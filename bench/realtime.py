"""What an idle subscriber of a channel takes, and how fast a message reaches all of them, in one worker.

Run as `python -m bench.realtime`; it writes `bench/results/realtime.json`, and the table and the chart in `docs/realtime.md`.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.service import Service, eventually, write_service
from tests.tables import DOCS, replace
from tests.template.processes import workers
from tests.template.subscribers import TOKEN, publish

from . import processes
from .chart import chart

RESULTS = Path(__file__).parent / "results" / "realtime.json"
CHART = DOCS / "pictures" / "realtime.svg"
TRANSPORTS = {"websocket": "WebSocket", "sse": "server-sent events", "poll": "long poll"}
SIZES = (100, 1_000, 10_000)
LOAD = 25_000  # deliveries a second: half of what is aimed at
PUBLISHERS = 16
SECONDS = 5
IDLE = 2_000


class Crowd:
    """Subscribers in a process of their own."""

    def __init__(self, service: Service) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.subscribers", str(service.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, do: str, **what: Any) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        print(json.dumps({"do": do, **what}), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


@contextmanager
def serving() -> Iterator[Service]:
    """The default service with one worker and room for everybody."""
    room = {"MAX_CONCURRENCY": "20000", "MAX_SUBSCRIBERS": "15000", "LOG_LEVEL": "WARNING"}
    with tempfile.TemporaryDirectory() as folder:
        service = write_service(Path(folder) / "service", realtime="full")
        with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1", PUBLISH_TOKEN=TOKEN, **room):
            yield service


def worker(service: Service) -> Path:
    """What the kernel tells of the one worker."""
    (pid,) = workers(service)
    return Path(f"/proc/{pid}")


def connections(process: Path) -> int:
    return len(list((process / "fd").iterdir()))


def join(crowd: Crowd, service: Service, transport: str, count: int) -> None:
    """Let subscribers join, and wait until the worker has them all."""
    process = worker(service)
    before = connections(process)
    crowd("join", transport=transport, count=count, after=publish(service, "bench", 0).accepted())
    eventually(lambda: connections(process) >= before + count, 60)


def idle_memory(transport: str) -> float:
    """Kilobytes that an idle subscriber takes; what all share is there after the first ones."""
    with serving() as service, Crowd(service) as first, Crowd(service) as rest:
        process = worker(service)
        join(first, service, transport, 100)
        time.sleep(1)  # what is collected later counts too
        before = processes.pss(process)
        join(rest, service, transport, IDLE)
        time.sleep(2)
        return (processes.pss(process) - before) * 1024 / IDLE


def quick_requests(service: Service, seconds: float) -> dict[str, float]:
    """Milliseconds that an unrelated JSON request takes, one after the other on a kept connection."""
    body = json.dumps({"amount": "12000.00", "rate": "4.5", "months": 24})
    took = []
    connection = HTTPConnection("127.0.0.1", service.port, timeout=30)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.perf_counter()
        connection.request("POST", "/loans/quote", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        took.append((time.perf_counter() - started) * 1000)
    connection.close()
    return {"p50": statistics.median(took), "p99": statistics.quantiles(took, n=100)[98]}


class Publisher(threading.Thread):
    """Publishes over a kept connection, one message after the other: as fast as they are accepted, or at a rate."""

    def __init__(self, service: Service, first: float, period: float, end: float) -> None:
        super().__init__()
        self.service, self.first, self.period, self.end = service, first, period, end
        self.count = 0

    def run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.service.port, timeout=60)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        due = self.first
        while due < self.end and time.monotonic() < self.end:
            time.sleep(max(0, due - time.monotonic()))
            due += self.period
            data = {"text": "x" * 100, "sent": time.monotonic_ns()}
            connection.request("POST", "/channels/bench", json.dumps(data), headers)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            response.read()
            self.count += 1
        connection.close()


def fan_out(service: Service, crowd: Crowd, size: int, publishers: int, rate: float = 0) -> dict[str, float]:
    """Deliveries a second and their delay in milliseconds; `rate` is in messages a second, 0 as fast as it goes."""
    process = worker(service)
    crowd("reset")
    start, used = time.monotonic(), processes.busy(process)
    period = publishers / rate if rate else 0
    threads = [
        Publisher(service, start + (number / rate if rate else 0), period, start + SECONDS)
        for number in range(publishers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = sum(thread.count for thread in threads) * size
    eventually(lambda: crowd("report")["count"] >= expected, 60, lambda: service.log)
    told = crowd("report")
    assert (told["count"], told["lost"]) == (expected, 0), told
    seconds = told["last"] - start
    return {
        "deliveries": expected / seconds,
        "frames": told["frames"] / seconds,
        "p50": told["p50"],
        "p99": told["p99"],
        "worker_busy": (processes.busy(process) - used) / (time.monotonic() - start),
        "clients_busy": told["busy"],
    }


def measure() -> dict[str, Any]:
    """All figures."""
    results: dict[str, Any] = {"memory": {transport: idle_memory(transport) for transport in TRANSPORTS}}
    print(results, flush=True)
    with serving() as service, Crowd(service) as crowd:
        results["alone"] = quick_requests(service, SECONDS)
        join(crowd, service, "websocket", 10_000)
        results["idle"] = quick_requests(service, 25)  # longer than it takes until each has had a sign of life
    print(results, flush=True)
    results["fan_out"] = {}
    for size in SIZES:
        with serving() as service, Crowd(service) as crowd:
            join(crowd, service, "websocket", size)
            results["fan_out"][str(size)] = row = {
                "single": fan_out(service, crowd, size, 1),
                "most": fan_out(service, crowd, size, PUBLISHERS),
                "load": fan_out(service, crowd, size, PUBLISHERS, LOAD / size),
            }
            print(size, row, flush=True)
    return results


def table(results: Mapping[str, Any]) -> str:
    """The results in Markdown."""
    rows = ["| an idle subscriber takes | |", "|---|---:|"]
    rows += [f"| {name} | {results['memory'][key]:.0f} KB |" for key, name in TRANSPORTS.items()]
    alone, idle = results["alone"], results["idle"]
    rows += [
        "",
        "| an unrelated JSON request | median | p99 |",
        "|---|---:|---:|",
        f"| nobody subscribed | {alone['p50']:.1f} ms | {alone['p99']:.1f} ms |",
        f"| 10,000 idle WebSockets | {idle['p50']:.1f} ms | {idle['p99']:.1f} ms |",
        "",
        f"| WebSocket subscribers | most deliveries a second | with one publisher | p99 at {LOAD:,} deliveries a second |",
        "|---:|---:|---:|---:|",
    ]
    for size, row in results["fan_out"].items():
        most, single, load = row["most"], row["single"], row["load"]
        rows.append(
            f"| {int(size):,} | {most['deliveries']:,.0f} | {single['deliveries']:,.0f} | {load['p99']:.0f} ms |"
        )
    chart = "![Deliveries a second and their delay, by number of subscribers](pictures/realtime.svg)"
    return "\n".join([*rows, "", chart]) + "\n"


def draw(results: Mapping[str, Any]) -> None:
    """The chart: how it grows with the number of subscribers."""
    sizes = [f"{int(size):,}" for size in results["fan_out"]]
    rows = results["fan_out"].values()
    words = "Deliveries a second, and their delay at half of what is aimed at, by number of WebSocket subscribers."
    with chart(CHART, 9, 3.4, words) as figure:
        speed, delay = figure.subplots(1, 2)
        for label, key in ((f"{PUBLISHERS} publishers", "most"), ("one publisher", "single")):
            speed.plot(sizes, [row[key]["deliveries"] for row in rows], label=label)
        speed.set(title="Deliveries a second, most", xlabel="WebSocket subscribers", ylim=(0, None))
        speed.yaxis.set_major_formatter("{x:,.0f}")
        speed.legend()
        delay.bar(sizes, [row["load"]["p99"] for row in rows], width=0.5)
        delay.set(title=f"p99 in ms at {LOAD:,} deliveries a second", xlabel="WebSocket subscribers")


def main() -> None:
    results = measure()
    versions = {name: version(name) for name in ("gunicorn", "uvicorn", "fastapi", "wsproto", "uvloop")}
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, "versions": versions, "results": results}, indent=2) + "\n")
    replace(DOCS / "realtime.md", "figures", table(results))
    draw(results)
    print(table(results))


if __name__ == "__main__":
    main()
