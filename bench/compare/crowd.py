"""The long-lived clients: half of them poll, half of them read a stream, each again as soon as it has its answer."""

import asyncio
import random
from types import TracebackType
from typing import Self

from .exchange import Exchange

SECONDS = 10  # of a long poll, and of a stream with a tick a second
PACE = 1000  # new clients a second
RETRY = 1.0  # seconds before a client comes back that was refused


class Crowd:
    """Clients that stay until it is left; `grow` adds to them.

    The first request of each is of a random length, so that they are spread out and come back one by one.
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        self.port = port
        self.random = random.Random(seed)
        self.tasks: list[asyncio.Task[None]] = []
        self.streams: dict[int, Exchange] = {}  # by client
        self.connected: set[int] = set()  # those that have been connected once

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def grow(self, size: int, patience: float = 5) -> None:
        """Be `size` clients, all of which have been connected, as far as the server lets them within `patience` seconds."""
        while len(self.tasks) < size:
            self.tasks.append(asyncio.create_task(self._stay(len(self.tasks))))
            await asyncio.sleep(1 / PACE)
        try:
            async with asyncio.timeout(patience):
                while len(self.connected) < size:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.5)  # until the last ones are served, if they will be
        except TimeoutError:
            pass

    @property
    def served(self) -> tuple[int, int]:
        """How many streams run, of how many that were asked for."""
        return sum(stream.begun for stream in self.streams.values()), len(self.tasks) // 2

    async def _stay(self, number: int) -> None:
        seconds = self.random.randint(1, SECONDS)
        streams = bool(number % 2)
        while True:
            path = f"/stream?ticks={seconds + 1}&pause=1" if streams else f"/poll?seconds={seconds}"
            try:
                exchange = await Exchange.begin(self.port, path)
            except OSError:
                await asyncio.sleep(RETRY)
                continue
            self.connected.add(number)
            if streams:
                self.streams[number] = exchange
            try:
                await exchange.answer
            finally:
                exchange.abort()
                self.streams.pop(number, None)
            if not exchange.begun:
                await asyncio.sleep(RETRY)
            seconds = SECONDS
