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
        asyncio.run(_raise(server, levels, seconds))


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
                pid = alive(server)
                computed, begin = processor(pid), loop.time()
                waits = await loop.run_in_executor(other, ask, server.port, seconds)
                alive(server)
                level.processor.append((processor(pid) - computed) / (loop.time() - begin))
                level.waits.add(waits)
                level.streams.append(crowd.served)
                level.megabytes.append(megabytes(pid))


def alive(server: Service) -> int:
    """The process id of a server that runs; Disqualified if it does no longer."""
    assert server.process
    if server.process.poll() is not None:
        raise Disqualified(f"ended while it was measured: {server.log[-500:]}")
    return server.process.pid


def processor(pid: int) -> float:
    """Seconds that a process and all its descendants have computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])  # in user mode and in the kernel
    return ticks / os.sysconf("SC_CLK_TCK") + sum(processor(child) for child in children(pid))


def megabytes(pid: int) -> float:
    """Of a process and all its descendants; what they share counts once."""
    return memory(pid) / 1024 + sum(megabytes(child) for child in children(pid))
