"""Channels over real sockets: every message once and in order, or a reset, whatever breaks in between."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from ..promises import promise
from ..redis_server import RedisServer, needs_redis, redis_server
from ..service import Service, eventually, write_service
from .playing import STEPS, Step, assert_exact, number, play
from .processes import master, workers
from .subscribers import TOKEN, TRANSPORTS, Events, Publisher, ask, publish

pytestmark = pytest.mark.slow

Record = Callable[[str, object], None]
SETTINGS = {"HOST": "127.0.0.1", "PUBLISH_TOKEN": TOKEN}
JSON = {"Content-Type": "application/json"}
LOAN = b'{"amount": "12000.00", "rate": "4.5", "months": 24}'


def write(folder: Path, choices: dict[str, str]) -> Service:
    return write_service(folder, realtime="full", **choices)


@pytest.fixture(scope="module")
def alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker, its channels in memory, with little room."""
    little = {"CHANNEL_MESSAGE_BYTES": "1000", "CHANNEL_HISTORY": "50", "CHANNEL_QUEUE": "20", "MAX_CHANNELS": "30"}
    service = write(tmp_path_factory.mktemp("alone") / "service", request.param)
    little |= {"TRUSTED_PROXIES": "127.0.0.1"}
    little |= {"MAX_SUBSCRIBERS": "35", "HEADER_SECONDS": "3", "CORS_ORIGINS": "https://app.example.com"}
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
def in_redis(
    service: Service, redis: RedisServer, ready: str = "/health/ready", **environment: str
) -> Iterator[Service]:
    given = {"WEB_CONCURRENCY": "2", "REDIS_URL": redis.url} | environment
    with replace(service, ready=ready).started("run", **SETTINGS, **given) as started:
        yield started


@needs_redis
@promise("Channels", fixture="shared")
def test_everybody_gets_every_message_once_and_in_order_whoever_comes_and_goes(shared: Service) -> None:
    # A failure prints its steps and how to play them again; to look for fewer steps takes too long with real servers.
    @settings(max_examples=30, deadline=None, database=None, print_blob=True, phases=[Phase.generate])
    @given(STEPS)
    def played(steps: list[Step]) -> None:
        play(shared, steps)

    played()


@needs_redis
@promise("Channels", fixture="shared")
def test_who_does_not_wait_gets_the_id_of_a_channel_that_was_not_open(shared: Service) -> None:
    for n in range(5):
        assert ask(shared, "GET", f"/channels/fresh-{n}/poll?wait=0").status == 200


@needs_redis
@promise("Channels", fixture="shared")
def test_who_does_not_wait_is_told_too_that_its_id_is_not_known(shared: Service) -> None:
    for _ in range(10):  # the channel is open since the first, in both workers
        answer = ask(shared, "GET", "/channels/not-fresh/poll?after=1-1&wait=0")
        assert json.loads(answer.body)["reset"] is True


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


@needs_redis
@promise("Channels", fixture="written")
def test_redis_may_be_away_at_the_start_and_later_and_come_back_without_its_data(
    written: Service, tmp_path: Path
) -> None:
    with redis_server(tmp_path / "redis") as redis:
        redis.kill()
        with in_redis(written, redis, ready="/health/live", WEB_CONCURRENCY="1") as service:
            assert ask(service, "GET", "/health/ready").status == 503
            assert ask(service, "POST", "/loans/quote", LOAN, **JSON).status == 200
            refused = publish(service, "orders", 0)
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            early = [subscriber(service, "orders") for subscriber in TRANSPORTS.values()]  # they wait, or ask again
            for subscriber in early:
                subscriber.start()
            redis.start()
            eventually(lambda: ask(service, "GET", "/health/ready").status == 200, message=lambda: service.log)
            eventually(lambda: all(subscriber.last for subscriber in early), message=lambda: service.log)
            accepted = {publish(service, "orders", n).accepted(): n for n in range(10)}
            eventually(lambda: all(len(subscriber.got) == 10 for subscriber in early))
            for subscriber in early:
                assert_exact(subscriber, accepted)

            redis.kill()
            redis.empty()
            eventually(lambda: ask(service, "GET", "/health/ready").status == 503)
            redis.start()
            eventually(lambda: all(subscriber.resets == 1 for subscriber in early), message=lambda: service.log)
            id = publish(service, "orders", "new").accepted()
            eventually(lambda: all(subscriber.got[-1] == (id, "new") for subscriber in early))
            for subscriber in early:
                subscriber.stop()
            assert all((len(subscriber.got), subscriber.resets) == (11, 1) for subscriber in early)
            assert service.log.count("Redis is away") == 2  # and not once every time that it is asked
            assert "Traceback" not in service.log


@promise("Channels", fixture="alone")
def test_bad_input_gets_a_clear_answer_and_the_others_miss_nothing(alone: Service) -> None:
    witnesses = [subscriber(alone, "witness").begin() for subscriber in TRANSPORTS.values()]
    accepted = {publish(alone, "witness", "before").accepted(): "before"}
    known = next(iter(accepted))
    path = "/channels/witness"
    token = {"Authorization": f"Bearer {TOKEN}"}
    for answer, status, words in (
        (
            ask(alone, "GET", f"{path}/events", b"", **{"Last-Event-ID": "yesterday"}),
            400,
            b"Last-Event-ID: not a message id",
        ),
        (
            ask(alone, "GET", f"{path}/events", b"", **{"Last-Event-ID": "9" * 5000 + "-1"}),
            400,
            b"Last-Event-ID: not a message id",
        ),
        (ask(alone, "GET", f"{path}/poll?after=1"), 400, b"after: not a message id"),
        (ask(alone, "GET", f"{path}/poll?after={known}&wait=-1"), 400, b"wait: a number of seconds, at most 50"),
        (ask(alone, "GET", f"{path}/poll?after={known}&wait=nan"), 400, b"wait: a number of seconds, at most 50"),
        (ask(alone, "GET", f"/channels/{'x' * 10_000}/poll"), 414, b"target"),
        (ask(alone, "GET", f"/channels/{'x' * 101}/events"), 400, b"channel: a name is"),
        (ask(alone, "POST", "/channels/a%20b", b"1", **JSON, **token), 400, b"channel: a name is"),
        (ask(alone, "HEAD", f"{path}/events"), 405, b""),
        (ask(alone, "HEAD", f"{path}/poll"), 405, b""),
        (ask(alone, "POST", f"{path}/events"), 405, b"Method Not Allowed"),
        (ask(alone, "POST", path, b"1", **JSON), 403, b"PUBLISH_TOKEN"),
        (ask(alone, "POST", path, b"1", **JSON, Authorization="Bearer wrong"), 403, b"PUBLISH_TOKEN"),
        (ask(alone, "POST", path, b"\x00\xff", **JSON, **token), 422, b"JSON"),
        (ask(alone, "POST", path, b'"\\ud800"', **JSON, **token), 422, b"surrogates"),
        (ask(alone, "POST", path, b'"' + b"x" * 1000 + b'"', **JSON, **token), 413, b"1002 bytes, more than 1000"),
    ):
        assert (answer.status, words in answer.body) == (status, True), answer
    for query, headers, status in (
        (f"after={known}x", {}, 400),
        ("", {"Origin": "https://evil.example"}, 403),
        ("", {"Origin": f"https://127.0.0.1:{alone.port}"}, 403),  # another scheme is another origin
        ("", {"Origin": "http://["}, 403),
        ("", {"Origin": "null"}, 403),
    ):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{alone.port}{path}/socket?{query}", additional_headers=headers).close()
        assert refused.value.response.status_code == status
    for sent, code in (("hello", 1003), (b"\x00", 1003)):
        with socket_to(alone, "witness") as websocket:
            websocket.send(sent)
            with pytest.raises(ConnectionClosed) as closed:
                for _ in websocket:
                    pass
                websocket.recv()
        assert closed.value.rcvd and closed.value.rcvd.code == code
    stranger = [subscriber(alone, "witness", last="5-5") for subscriber in TRANSPORTS.values()]
    for subscriber in stranger:
        subscriber.start()
    eventually(lambda: all(subscriber.resets == 1 for subscriber in stranger))
    accepted[publish(alone, "witness", "after").accepted()] = "after"
    eventually(lambda: all(len(witness.got) == 2 for witness in witnesses), message=lambda: alone.log)
    for subscriber in stranger + witnesses:
        subscriber.stop()
    for witness in witnesses:
        assert_exact(witness, accepted)
        assert witness.connections == 1
    assert "Traceback" not in alone.log


def socket_to(service: Service, channel: str) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{service.port}/channels/{channel}/socket", close_timeout=1)


def test_an_owner_may_refuse_with_the_exception_of_starlette_too(tmp_path: Path) -> None:
    service = write(tmp_path / "service", {})
    service.edit("app/channels.py", "from fastapi import", "from starlette.exceptions import")
    service.edit("app/channels.py", 'if action == "subscribe" or (', "if (")
    with service.started("run", **SETTINGS, WEB_CONCURRENCY="1"):
        assert ask(service, "GET", "/channels/orders/poll").status == 403
        assert ask(service, "POST", "/channels/orders", b"1", **JSON).status == 403
        with pytest.raises(InvalidStatus) as refused:
            socket_to(service, "orders")
        assert refused.value.response.status_code == 403


@promise("Channels", fixture="alone")
def test_who_may_open_a_websocket(alone: Service) -> None:
    address = f"ws://127.0.0.1:{alone.port}/channels/orders/socket"
    own = f"http://127.0.0.1:{alone.port}"
    for origin, forwarded in (
        (own, "http"),
        (own.upper(), "http"),
        (own.replace("http", "https"), "https"),
        ("https://app.example.com", "http"),  # of CORS_ORIGINS
    ):
        headers = {"Origin": origin, "X-Forwarded-Proto": forwarded}
        with connect(address, additional_headers=headers) as websocket:
            assert json.loads(websocket.recv(5))["id"]


@promise("Channels", fixture="alone")
def test_a_subscriber_that_never_reads_is_closed_and_the_others_miss_nothing(alone: Service) -> None:
    witnesses = [subscriber(alone, "full").begin() for subscriber in TRANSPORTS.values()]
    text = "x" * 900
    with ExitStack() as stack:
        lazy = [stack.enter_context(socket.create_connection(("127.0.0.1", alone.port))) for _ in range(2)]
        for connection, kind in zip(lazy, ("socket", "events"), strict=True):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            upgrade += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            head = f"GET /channels/full/{kind} HTTP/1.1\r\nHost: localhost\r\n{upgrade * (kind == 'socket')}\r\n"
            connection.sendall(head.encode())
        accepted: dict[str, Any] = {}
        ended = '"path": "/channels/full/{}", "status"'
        deadline = time.monotonic() + 60
        while not all(f"/channels/full/{kind} " in alone.log for kind in ("socket", "events")):  # logged when it ends
            assert time.monotonic() < deadline, ended
            accepted[publish(alone, "full", [len(accepted), text]).accepted()] = [len(accepted), text]
    newest = max(map(number, accepted))
    eventually(lambda: all(number(witness.last) >= newest for witness in witnesses))
    for witness in witnesses:
        witness.stop()
        assert_exact(witness, accepted)
    assert all(witness.connections == 1 for witness in witnesses)


@promise("Channels", fixture="alone")
def test_nobody_gets_beyond_the_limits(alone: Service) -> None:
    with ExitStack() as stack:
        for n in range(30):
            stack.enter_context(socket_to(alone, f"held-{n}"))
        refused = publish(alone, "one-too-many", 1)
        assert (refused.status, b"30 channels already" in refused.body) == (503, True)
        assert refused.headers["retry-after"] == "1"
        for _ in range(5):
            stack.enter_context(socket_to(alone, "held-0"))
        with pytest.raises(InvalidStatus) as full:
            stack.enter_context(socket_to(alone, "held-0"))
        assert full.value.response.status_code == 503
        assert ask(alone, "GET", "/channels/held-0/events").status == 503
        assert ask(alone, "GET", "/channels/held-0/poll").status == 503
    eventually(lambda: publish(alone, "one-too-many", 1).status == 200)  # who was there has left


@promise("Channels", fixture="alone")
def test_there_is_a_sign_of_life_with_the_id_to_come_back_with(alone: Service) -> None:
    with socket_to(alone, "quiet") as websocket:
        assert [json.loads(websocket.recv(5)).keys() for _ in range(3)] == [{"id"}] * 3
    with Events(alone, "quiet").request("/channels/quiet/events") as response:
        lines = [response.readline().decode() for _ in range(14)]
    assert lines[:2] == ["retry: 1000\n", "\n"]
    blocks = [lines[2:6], lines[6:10], lines[10:]]
    assert [(block[0], block[1][:4], *block[2:]) for block in blocks] == [
        ("event: id\n", "id: ", "data: {}\n", "\n")
    ] * 3


@promise("Channels", fixture="written")
def test_streams_end_when_the_service_drains_so_that_clients_come_back_with_their_last_id(written: Service) -> None:
    with written.started("run", **SETTINGS, WEB_CONCURRENCY="1") as service:
        id = json.loads(ask(service, "GET", "/channels/end/poll").body)["id"]
        with socket_to(service, "end") as websocket, ThreadPoolExecutor() as pool:
            poll = pool.submit(ask, service, "GET", f"/channels/end/poll?after={id}&wait=50")
            with Events(service, "end").request("/channels/end/events") as response:
                assert json.loads(websocket.recv(5))["id"] == id
                assert b"".join(response.readline() for _ in range(6)).endswith(b"id: %s\ndata: {}\n\n" % id.encode())
                started = time.monotonic()
                os.kill(master(service), signal.SIGTERM)
                assert response.read() == b""  # the regular end: one that is cut raises
            with pytest.raises(ConnectionClosed) as closed:
                websocket.recv(5)
            assert closed.value.rcvd and closed.value.rcvd.code == 1012
            assert json.loads(poll.result(5).body) == {"id": id, "reset": False, "messages": []}
            assert time.monotonic() - started < 5
        assert service.process and service.process.wait(20) == 0
        assert "Traceback" not in service.log
