"""Clients that never finish: their headers, their body, reading the answer. And those that are slow, but honest."""

import http.client
import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from ..pace import slowness
from ..promises import promise
from ..service import Service, eventually, write_service

pytestmark = pytest.mark.slow

ENDPOINTS = """
import asyncio
import gc
from collections.abc import AsyncIterator
from fastapi import Request
from fastapi.responses import PlainTextResponse, StreamingResponse


@app.post("/length")
async def length(request: Request) -> int:
    return len(await request.body())


@app.post("/beside")
async def beside(request: Request) -> str:
    async with asyncio.TaskGroup() as group:  # as who waits for the client to leave does
        group.create_task(request.receive())
    return "done"


@app.get("/large")
async def large(size: int) -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(size // 10000):
            await asyncio.sleep(0)
            yield b"#" * 10000

    return StreamingResponse(chunks())


@app.get("/whole")
async def whole(size: int) -> PlainTextResponse:
    return PlainTextResponse(b"#" * size)


@app.get("/slow")
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@app.get("/kept")
async def kept() -> int:
    return sum(type(thing).__name__ == "Connection" for thing in gc.get_objects())
"""
SECONDS = 2
SETTINGS = {"HOST": "127.0.0.1", "WEB_CONCURRENCY": "1", "HEADER_SECONDS": str(SECONDS)}
MANY = 300
Record = Callable[[str, object], None]

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST %s HTTP/1.1\r\nHost: localhost\r\n"
LENGTH = b"Content-Length: 100000\r\n\r\n"
# What such a client sends first, and then again and again.
HEADERS = [
    (b"", b""),
    (GET, b""),
    (GET + b"X-Slow: ", b"x"),
    (GET + b"\r\nGET", b""),
    (GET + b"\r\n" + GET + b"X-Slow: ", b"x"),
]
BODIES = [
    (POST % b"/length" + LENGTH, b"x"),
    (POST % b"/length" + LENGTH, b""),
    (POST % b"/length" + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    (POST % b"/nothing" + LENGTH, b"x"),  # answered with 404 at once
    (POST % b"/length" + LENGTH.replace(b"\r\n", b"000\r\n", 1), b"x" * 1000),  # with 413
    (GET + b"Content-Length: 100000\r\n\r\n", b"x"),
]
READERS = [
    (b"GET /large?size=50000000 HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
    (b"GET /whole?size=700000 HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
]
Kind = list[tuple[bytes, bytes]]


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that waits for nobody longer than SECONDS."""
    service = write_service(tmp_path_factory.mktemp("slow") / "service", **request.param)
    service.edit("main.py", "app.include_router(loans)", "app.include_router(loans)\n" + ENDPOINTS)
    with service.started("run", **SETTINGS):
        yield service


def connect(service: Service) -> socket.socket:
    """A connection with small buffers, as over a network."""
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    client.settimeout(10)
    client.connect(("127.0.0.1", service.port))
    return client


def held(service: Service, clients: set[int]) -> int:
    """How many connections to these ports of clients the server still holds: established, or not yet all sent."""
    server = f"{service.port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    found = {
        int(line[2].split(":")[1], 16) for line in lines if line[1].endswith(":" + server) and line[3] in ("01", "04")
    }
    return len(found & clients)


class Attack:
    """`many` clients of the kind, until they are let go."""

    def __init__(self, service: Service, kind: Kind, many: int = MANY) -> None:
        self.service = service
        self.clients: list[tuple[socket.socket, bytes]] = []
        for number in range(many):
            first, again = kind[number % len(kind)]
            client = connect(service)
            client.setblocking(False)
            if first:
                client.send(first)
            self.clients.append((client, again))
        self.ports = {client.getsockname()[1] for client, _ in self.clients}
        self.since = time.monotonic()

    def held(self) -> int:
        """Send a little more; how many are still connected."""
        for client, again in self.clients:
            try:
                client.send(again)
            except OSError:
                pass
        return held(self.service, self.ports)

    def let_go(self) -> None:
        for client, _ in self.clients:
            client.close()


@contextmanager
def normal_client(service: Service) -> Iterator[list[float]]:
    """Asks all the time, in turn on a kept connection and a new one: the seconds each answer took."""
    seconds: list[float] = []
    done = threading.Event()

    def ask() -> None:
        kept = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
        while not done.wait(0.005):
            for connection in (kept, http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)):
                begin = time.perf_counter()
                connection.request("GET", "/")
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (200, b'{"status":"ok"}')
                seconds.append(time.perf_counter() - begin)
                if connection is not kept:
                    connection.close()
        kept.close()

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            eventually(lambda: len(seconds) > 10)
            yield seconds
        finally:
            done.set()
            asking.result()


def closes_all(service: Service, kind: Kind, what: str, record: Record) -> None:
    """All clients of the kind are closed in time, and a normal client notices nothing."""
    for _ in range(3):  # a busy machine makes them slower, nothing makes them faster
        slower = slowness()
        left, needed, p99 = attacked(service, kind)
        if left or (needed < SECONDS + slower and p99 < 0.1 * slower):
            break
    figure = f"{MANY - left} of {MANY} {what} closed in {needed:.1f} s (limit {SECONDS} s)"
    record("figure", f"{figure}, p99 meanwhile {p99 * 1000:.0f} ms")
    assert left == 0
    assert needed < SECONDS + slower
    assert p99 < 0.1 * slower
    assert "Traceback" not in service.log


def attacked(service: Service, kind: Kind) -> tuple[int, float, float]:
    """How many of these clients were left in the end, after how many seconds, and a normal client's p99 meanwhile."""
    with normal_client(service) as seconds, ExitStack() as after:
        seconds.clear()
        attack = Attack(service, kind)
        after.callback(attack.let_go)
        while (left := attack.held()) and time.monotonic() - attack.since < SECONDS * 2:
            time.sleep(0.1)  # between two drops of the trickle
        needed = time.monotonic() - attack.since
        return left, needed, sorted(seconds)[math.ceil(len(seconds) * 0.99) - 1]


ONE_TIMER = (
    "one timer covers headers and idle connections: slow headers are closed only after KEEP_ALIVE_SECONDS (75); "
    "have the proxy in front wait for them"
)


@promise("Slow clients", fixture="running", granian=ONE_TIMER, hypercorn=ONE_TIMER)
@pytest.mark.alone
def test_clients_that_never_finish_their_headers_are_closed(running: Service, record_property: Record) -> None:
    closes_all(running, HEADERS, "endless headers", record_property)


@promise("Slow clients", fixture="running")
@pytest.mark.alone
def test_clients_whose_body_trickles_are_closed(running: Service, record_property: Record) -> None:
    closes_all(running, BODIES, "trickling bodies", record_property)


@promise("Slow clients", fixture="running")
@pytest.mark.alone
def test_clients_that_never_read_are_closed(running: Service, record_property: Record) -> None:
    closes_all(running, READERS, "readers that never read", record_property)


@promise("Slow clients", fixture="running")
def test_a_body_that_stalls_is_answered_408_and_one_that_breaks_off_is_no_crash(running: Service) -> None:
    before = len(running.log)
    with connect(running) as client:
        client.sendall(POST % b"/length" + LENGTH + b"x" * 10)
        answer = b""
        while more := client.recv(65536):
            answer += more
    assert answer.startswith(b"HTTP/1.1 408 ") and b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1") == 1
    with connect(running) as client:
        client.sendall(POST % b"/beside" + LENGTH)
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 408 ")
    with connect(running) as client:
        client.sendall(POST % b"/length" + LENGTH + b"x" * 10)
    eventually(lambda: all(f'"status": {status}' in running.log[before:] for status in (400, 408)))
    assert "ERROR" not in running.log[before:] and "Traceback" not in running.log[before:]


@pytest.mark.parametrize("service", [{"server": "hypercorn"}], ids=["hypercorn"], indirect=True)
def test_the_rest_of_an_answered_body_may_take_longer_than_an_idle_connection_is_kept(service: Service) -> None:
    with service.started("run", HOST="127.0.0.1", KEEP_ALIVE_SECONDS="1"), connect(service) as client:
        client.sendall(POST % b"/nothing" + b"Content-Length: 6\r\n\r\n")
        answer = b""
        while not answer.endswith(b'"Not Found"}'):
            answer += client.recv(65536)
        for _ in range(6):
            client.sendall(b"x")
            client.settimeout(0.5)
            with pytest.raises(TimeoutError):
                client.recv(1)
        client.settimeout(10)
        client.sendall(GET + b"\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


@promise("Slow clients", fixture="running")
def test_slow_but_honest_clients_are_served(running: Service) -> None:
    def uploads() -> bytes:
        with connect(running) as client:
            client.sendall(POST % b"/length" + b"Connection: close\r\nContent-Length: 200000\r\n\r\n")
            for _ in range(40):
                client.sendall(b"x" * 5000)
                time.sleep(0.1)
            return b"".join(iter(lambda: client.recv(65536), b""))[-6:]

    def downloads() -> int:
        with connect(running) as client:
            client.sendall(b"GET /large?size=200000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            size = 0
            while size < 200000 and (more := client.recv(5000)):
                size += more.count(b"#")
                time.sleep(0.1)
            return size

    def idles() -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        for seconds in (SECONDS * 1.5, 0):
            connection.request("GET", "/")
            answer = connection.getresponse().read()
            kept = connection.sock
            time.sleep(seconds)
        assert connection.sock is kept
        connection.close()
        return answer

    def waits() -> object:
        return running.get(f"/slow?seconds={SECONDS * 1.5}").json()

    with ThreadPoolExecutor() as pool:
        results = [pool.submit(client) for client in (uploads, downloads, idles, waits)]
        assert [result.result() for result in results] == [b"200000", 200000, b'{"status":"ok"}', "done"]


def test_with_a_long_limit_they_stay(service: Service) -> None:
    service.edit("main.py", "app.include_router(loans)", "app.include_router(loans)\n" + ENDPOINTS)
    with service.started("run", **SETTINGS | {"HEADER_SECONDS": "60"}), ExitStack() as after:
        attacks = [Attack(service, [kind], 10) for kind in (HEADERS[2], BODIES[0], READERS[0])]
        for attack in attacks:
            after.callback(attack.let_go)
        while time.monotonic() - attacks[-1].since < SECONDS * 2:
            assert [attack.held() for attack in attacks] == [10, 10, 10]
            time.sleep(0.1)


@promise("Slow clients")
def test_a_connection_that_its_client_has_closed_is_gone(service: Service) -> None:
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        for _ in range(20):
            with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)) as connection:
                connection.request("GET", "/")
                connection.getresponse().read()
        eventually(lambda: not closed_by_the_client(service.port), 5)


@pytest.mark.parametrize("running", [{"server": "uvicorn"}], ids=["uvicorn"], indirect=True, scope="module")
def test_a_connection_that_its_client_has_reset_is_not_kept(running: Service) -> None:
    for _ in range(100):
        with connect(running) as client:
            client.sendall(GET + b"\r\n")
            assert client.recv(1000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: running.get("/kept").json() < 10, 5)


def closed_by_the_client(port: int) -> int:
    """Connections whose client has closed them, and the server not yet: CLOSE_WAIT."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{port:04X}") and line[3] == "08" for line in lines)
