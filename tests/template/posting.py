"""Clients that post without a pause, while a service is replaced under them."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event

import httpx2

from ..service import eventually

LOAN = {"amount": "12000.00", "rate": "4.5", "months": 24}
QUOTE = {"payment": "523.77", "interest": "570.59"}
CLIENTS = 32


@dataclass
class Posted:
    """What came of the requests: what else than the answer, and how long the longest took."""

    count: int = 0
    lost: list[str] = field(default_factory=list)
    longest: float = 0
    since: int = 0  # answered since `mark`

    def __str__(self) -> str:
        return f"{len(self.lost)} of {self.count:,} requests lost; the longest took {self.longest:.1f} s"


@contextmanager
def posting(where: Callable[[int], str]) -> Iterator[Posted]:
    """CLIENTS that post until the end, each where it is told to; every other one keeps its connection. Nobody tries again."""
    posted = Posted()
    stop = Event()

    once = partial(httpx2.post, verify=False)

    def post(number: int) -> None:
        with httpx2.Client(verify=False) as kept:
            while not stop.is_set():
                start = time.monotonic()
                try:
                    ask = kept.post if number % 2 else once
                    response = ask(f"{where(number)}/loans/quote", json=LOAN, timeout=60)
                    right = response.is_success and response.json() == QUOTE
                    answer = "" if right else f"{response.status_code} {response.text}"
                except (httpx2.TransportError, ValueError) as error:
                    answer = repr(error)
                posted.count += 1
                posted.since += 1
                posted.longest = max(posted.longest, time.monotonic() - start)
                if answer:
                    posted.lost.append(answer)
                stop.wait(0.1)  # or the clients would leave the service no time on the same processors

    with ThreadPoolExecutor(CLIENTS) as pool:
        try:
            asking = [pool.submit(post, number) for number in range(CLIENTS)]
            answered(posted)
            yield posted
            answered(posted)
        finally:
            stop.set()
        for each in asking:
            each.result(70)


def answered(posted: Posted) -> None:
    """Wait until every client has had an answer since now, and more than one."""
    posted.since = 0
    eventually(lambda: posted.since > 3 * CLIENTS, 60, lambda: str(posted.lost))
