"""Quick requests at a steady rate, each on a new connection, and how long each one waits."""

import asyncio
import json
from dataclasses import dataclass, field

from .exchange import Exchange

RATE = 50  # a second
BOUND = 2.0  # seconds; who has no answer by then has none


@dataclass
class Waits:
    """What became of the requests."""

    answered: list[float] = field(default_factory=list)  # seconds, from when each one was due
    unanswered: int = 0  # refused, cut off, or without an answer within the bound
    wrong: int = 0
    late: list[float] = field(default_factory=list)  # seconds by which the client itself was behind

    @property
    def asked(self) -> int:
        return len(self.answered) + self.unanswered + self.wrong

    def add(self, other: "Waits") -> None:
        self.answered += other.answered
        self.unanswered += other.unanswered
        self.wrong += other.wrong
        self.late += other.late

    def quantile(self, share: float) -> float | None:
        """The wait that this share of the requests stayed within; None if not so many were answered at all."""
        rank = max(0, round(share * self.asked) - 1)
        return sorted(self.answered)[rank] if rank < len(self.answered) else None


def ask(port: int, seconds: float) -> Waits:
    """Ask for so many seconds: whether the one before was answered or not, because other people's requests do not wait either."""
    return asyncio.run(_ask(port, round(seconds * RATE)))


async def _ask(port: int, count: int) -> Waits:
    waits = Waits()
    begin = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            due = begin + number / RATE
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            group.create_task(_ask_once(port, due, waits))
    return waits


async def _ask_once(port: int, due: float, waits: Waits) -> None:
    now = asyncio.get_running_loop().time
    waits.late.append(now() - due)
    exchange = None
    try:
        async with asyncio.timeout_at(due + BOUND):
            exchange = await Exchange.begin(port, "/quick")
            answer = await exchange.answer
    except (TimeoutError, OSError):
        waits.unanswered += 1
    else:
        if right(answer):
            waits.answered.append(now() - due)
        elif answer:
            waits.wrong += 1
        else:
            waits.unanswered += 1
    finally:
        if exchange:
            exchange.abort()


def right(answer: bytes) -> bool:
    """Whether it is the answer that was asked for."""
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        return head.startswith(b"HTTP/1.1 200 ") and json.loads(body) == {"status": "ok"}
    except ValueError:
        return False
