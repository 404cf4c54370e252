"""Channels over real sockets: every message once and in order, or a reset, whatever breaks in between."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ..promises import promise
from ..redis_server import RedisServer, needs_redis, redis_server
from ..service import Service, eventually, write_service
from .processes import master, workers
from .subscribers import TOKEN, TRANSPORTS, Subscriber, publish

pytestmark = pytest.mark.slow

Record = Callable[[str, object], None]
SETTINGS = {"HOST": "127.0.0.1", "PUBLISH_TOKEN": TOKEN}
numbers = count()


def write(folder: Path, choices: dict[str, str]) -> Service:
    return write_service(folder, realtime="full", **choices)


@pytest.fixture(scope="module")
def alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker, its channels in memory, with little room."""
    little = {"CHANNEL_MESSAGE_BYTES": "1000", "CHANNEL_HISTORY": "50", "CHANNEL_QUEUE": "20", "MAX_CHANNELS": "30"}
    service = write(tmp_path_factory.mktemp("alone") / "service", request.param)
    with service.started("run", **SETTINGS, **little, WEB_CONCURRENCY="1", CHANNEL_HEARTBEAT_SECONDS="1"):
        yield service


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two workers, their channels in Redis."""
    folder = tmp_path_factory.mktemp("shared")
    with redis_server(folder / "redis") as redis:
        service = write(folder / "service", request.param)
        with service.started("run", **SETTINGS, WEB_CONCURRENCY="2", REDIS_URL=redis.url):
            yield service


@pytest.fixture(scope="module")
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A service to be started by the test."""
    return write(tmp_path_factory.mktemp("written") / "service", request.param)


@contextmanager
def in_redis(service: Service, redis: RedisServer, **environment: str) -> Iterator[Service]:
    with service.started("run", **SETTINGS, **{"WEB_CONCURRENCY": "2", "REDIS_URL": redis.url} | environment):
        yield service


def number(id: str) -> int:
    return int(id.partition("-")[2])


def assert_exact(subscriber: Subscriber, accepted: dict[str, Any]) -> None:
    """All that was accepted after the id at which it began, once, in order, and nothing that was not published."""
    got = [id for id, _ in subscriber.got]
    expected = sorted((id for id in accepted if number(id) > number(subscriber.first)), key=number)
    assert subscriber.resets == 0
    assert [id for id in got if id in accepted] == expected
    assert got == sorted(set(got), key=number)
    assert all(data == accepted[id] for id, data in subscriber.got if id in accepted)


Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["poll", "events", "socket"]), st.just(0)),  # somebody joins
        st.tuples(st.sampled_from(["cut", "leave", "return"]), st.integers(0, 9)),
        st.tuples(st.just("publish"), st.integers(1, 20)),
    ),
    min_size=5,
    max_size=25,
)


def play(service: Service, steps: list[Step]) -> None:
    """Join, lose the connection, leave, come back with the last id and publish, as told; everybody must have got all."""
    channel = f"play-{next(numbers)}"
    accepted: dict[str, Any] = {}
    present: list[Subscriber] = []
    absent: list[Subscriber] = []
    try:
        for what, amount in steps:
            if what in TRANSPORTS:
                present.append(TRANSPORTS[what](service, channel).begin())
            elif what == "publish":
                for _ in range(amount):
                    data = {"n": len(accepted), "text": "é\n\U0001f600"}
                    accepted[publish(service, channel, data).accepted()] = data
            elif what == "return" and absent:
                gone = absent.pop(amount % len(absent))
                back = random.Random(amount).choice(list(TRANSPORTS.values()))(service, channel, gone.last)
                back.first, back.got = gone.first, gone.got
                back.start()
                present.append(back)
            elif what in ("cut", "leave") and present:
                chosen = present[amount % len(present)]
                chosen.cut()
                if what == "leave":
                    present.remove(chosen)
                    chosen.stop()
                    absent.append(chosen)
        newest = max(map(number, accepted), default=0)
        eventually(lambda: all(number(one.last) >= newest for one in present), message=lambda: service.log)
    finally:
        for one in present:
            one.stop()
    for one in present:
        assert_exact(one, accepted)
    for one in absent:
        assert_exact(one, {id: data for id, data in accepted.items() if number(id) <= number(one.last)})


@needs_redis
@promise("Channels", fixture="shared")
def test_everybody_gets_every_message_once_and_in_order_whoever_comes_and_goes(shared: Service) -> None:
    # A failure prints its steps and how to play them again; to look for fewer steps takes too long with real servers.
    @settings(max_examples=30, deadline=None, database=None, print_blob=True, phases=[Phase.generate])
    @given(STEPS)
    def played(steps: list[Step]) -> None:
        play(shared, steps)

    played()


@promise("Channels", fixture="alone")
def test_in_memory_too(alone: Service) -> None:
    for transport in TRANSPORTS:
        play(
            alone,
            [
                ("socket", 0),
                (transport, 0),
                ("publish", 9),
                ("cut", 1),
                ("publish", 9),
                ("leave", 1),
                ("publish", 9),
                ("return", 0),
            ],
        )


class Publisher(threading.Thread):
    """Publishes until it is told to stop; what was answered with an id was accepted."""

    def __init__(self, service: Service, name: str, accepted: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.service = service
        self.name = name
        self.accepted = accepted
        self.statuses: list[int] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        for n in count():
            if self.stopping.wait(0.02):
                return
            data = [self.name, n]
            try:
                answer = publish(self.service, "busy", data)
            except (OSError, HTTPException):
                continue
            self.statuses.append(answer.status)
            if answer.status == 200:
                self.accepted[answer.accepted()] = data
            elif answer.status == 503:
                assert "retry-after" in answer.headers


@needs_redis
@promise("Channels", fixture="written")
def test_nothing_is_lost_doubled_or_out_of_order_when_a_worker_and_redis_are_killed_and_the_service_restarts(
    written: Service, tmp_path: Path, record_property: Record
) -> None:
    accepted: dict[str, Any] = {}
    with redis_server(tmp_path / "redis") as redis, in_redis(written, redis) as service:
        started = time.monotonic()
        subscribers = [TRANSPORTS[name](service, "busy").begin() for name in [*TRANSPORTS] * 4]
        publishers = [Publisher(service, f"p{n}", accepted) for n in range(3)]
        try:
            for publisher in publishers:
                publisher.start()

            def more() -> None:
                before = len(accepted)
                eventually(lambda: len(accepted) > before + 50, 30, message=lambda: service.log)

            more()
            redis.kill()
            eventually(lambda: any(503 in publisher.statuses for publisher in publishers))
            redis.start()
            more()
            eventually(lambda: time.monotonic() - started > 6)  # granian takes an earlier death for a loop
            victim = workers(service)[0]
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: victim not in workers(service) and len(workers(service)) == 2)
            more()
            before = set(workers(service))
            os.kill(master(service), signal.SIGHUP)
            eventually(lambda: not before & set(workers(service)), 30)
            more()
        finally:
            for publisher in publishers:
                publisher.stopping.set()
                publisher.join()
        newest = max(map(number, accepted))
        eventually(lambda: all(number(one.last) >= newest for one in subscribers), message=lambda: service.log)
        for one in subscribers:
            one.stop()
    for one in subscribers:
        assert_exact(one, accepted)
        contents = [json.dumps(data) for _, data in one.got]
        assert len(contents) == len(set(contents))
    total = sum(len(one.got) for one in subscribers)
    back = sum(one.connections for one in subscribers if not isinstance(one, TRANSPORTS["poll"])) - 8
    record_property(
        "figure",
        f"{len(accepted)} messages to {len(subscribers)} subscribers, {total} deliveries, {back} streams opened again:"
        " 0 missing, 0 twice, 0 out of order",
    )
