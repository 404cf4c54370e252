"""What one contestant is asked, level by level, and what comes of it."""

import asyncio
import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import processes
from tests.service import Service

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
                session, begin = alive(server), loop.time()
                computed = processes.seconds(session)
                waits = await loop.run_in_executor(other, ask, server.port, seconds)
                alive(server)
                level.processor.append((processes.seconds(session) - computed) / (loop.time() - begin))
                level.waits.add(waits)
                level.streams.append(crowd.served)
                level.megabytes.append(sum(processes.megabytes(session)))
                level.threads.append(threads(session))


def alive(server: Service) -> int:
    """The session of a server that runs; Disqualified if it does no longer."""
    assert server.process
    if server.process.poll() is not None:
        raise Disqualified(f"ended while it was measured: {server.log[-500:]}")
    return server.process.pid


def threads(session: int) -> int:
    return sum(len(list((process / "task").iterdir())) for process in processes.of(session))
