"""What one contestant is asked, level by level, and what comes of it."""

import asyncio
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.service import Service
from tests.template.processes import children, memory

from .check import fault
from .contestants import Contestant
from .crowd import Crowd
from .quick import Waits, ask


@dataclass
class Level:
    """So many long-lived clients, in all rounds."""

    clients: int
    waits: Waits = field(default_factory=Waits)
    streams: list[tuple[int, int]] = field(default_factory=list)  # that ran, of those asked for; a round
    megabytes: list[float] = field(default_factory=list)  # of all processes of the server; a round
    threads: list[int] = field(default_factory=list)  # a round
    processor: list[float] = field(default_factory=list)  # seconds that they computed, a second; a round


class Disqualified(Exception):
    """The contestant is not measured, or no longer, and this is why."""


def measure(contestant: Contestant, levels: Sequence[Level], seconds: float) -> None:
    """Start a contestant, check it, and add to each level what quick requests wait there; Disqualified if it fails."""
    with (
        tempfile.TemporaryDirectory(prefix="compare-") as folder,
        started(contestant, Path(folder, "server")) as server,
    ):
        if wrong := fault(server):
            raise Disqualified(f"wrong answer: {wrong}")
        try:
            asyncio.run(_raise(server, levels, seconds))
        except (FileNotFoundError, ProcessLookupError) as error:
            raise Disqualified(f"a process ended while it was measured: {server.log[-500:]}") from error


@contextmanager
def started(contestant: Contestant, folder: Path) -> Iterator[Service]:
    try:
        with contestant.started(folder) as server:
            yield server
    except AssertionError as error:  # says what was in the log
        raise Disqualified(f"not started: {error}") from error


async def _raise(server: Service, levels: Sequence[Level], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as other:  # the quick requests, so that the many clients do not delay them
        async with Crowd(server.port) as crowd:
            for level in levels:
                await crowd.grow(level.clients)
                computed, begin = sum(map(processor, alive(server))), loop.time()
                waits = await loop.run_in_executor(other, ask, server.port, seconds)
                processes = alive(server)
                level.processor.append((sum(map(processor, processes)) - computed) / (loop.time() - begin))
                level.waits.add(waits)
                level.streams.append(crowd.served)
                level.megabytes.append(sum(map(memory, processes)) / 1024)
                level.threads.append(sum(map(threads, processes)))


def alive(server: Service) -> list[int]:
    """All processes of a server that runs; Disqualified if it does no longer."""
    assert server.process
    if server.process.poll() is not None:
        raise Disqualified(f"ended while it was measured: {server.log[-500:]}")
    return family(server.process.pid)


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    return [pid, *(one for child in children(pid) for one in family(child))]


def processor(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # in user mode and in the kernel


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
