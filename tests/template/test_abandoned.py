"""Clients that leave, or say what no client should: nothing of theirs may stay in the service."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.client import connect

from ..promises import promise
from ..service import Service, eventually, write_service
from . import probes

pytestmark = pytest.mark.slow

LIMIT = 5
SETTINGS = {"HOST": "127.0.0.1", "WEB_CONCURRENCY": "1", "MAX_CONCURRENCY": str(LIMIT), "MAX_MESSAGE_BYTES": "10000"}
SETTINGS |= {"MAX_BODY_BYTES": "20"}
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\n" + KEY + b"\r\n"
)
HELLO = b"\x81\x82\0\0\0\0hi"  # a text of two bytes, masked with zeroes
HTTP2 = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAQAAAAA\r\n\r\n"  # it lets the server send nothing of an answer
)
CHUNKS = b"Host: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 40
SCHEDULE = b"GET /loans/schedule?amount=1000000&rate=1&months=480 HTTP/1.1\r\nHost: localhost\r\n\r\n"
LEFT = {
    "a body that nobody reads": b"POST /nothing HTTP/1.1\r\n" + CHUNKS,
    "a body that is too large": b"POST /loans/quote HTTP/1.1\r\n" + CHUNKS,
    "requests sent ahead": SCHEDULE * 20,
    "a frame in the same packet as the handshake": HANDSHAKE + HELLO,
    "an answer in HTTP 2 that is not read": HTTP2,
    "HTTP 2 that is none": HTTP2 + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}
GOODBYE = b"\x88\x82\0\0\0\0\x03\xe8"  # a close with the code 1000
TOO_BIG = b"\x82\xfe" + (10001).to_bytes(2) + bytes(4 + 10001)
TASKS = """
@app.get("/tasks")
async def tasks() -> int:
    return len(asyncio.all_tasks())


@app.post("/reads_late")
async def reads_late(request: Request) -> None:
    print("reads late", flush=True)
    await asyncio.sleep(0.5)
    await request.body()
    print("has read", flush=True)
"""


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that serves few at once, on each server."""
    service = write_service(tmp_path_factory.mktemp("abandoned") / "service", **request.param)
    probes.add_to(service)
    endpoints = "app.include_router(loans)\nfrom fastapi import Request\n" + TASKS
    service.edit("main.py", "app.include_router(loans)", endpoints)
    with service.started("run", **SETTINGS):
        yield service


@contextmanager
def nothing_left_of(service: Service) -> Iterator[None]:
    """What is done meanwhile leaves no task behind, and no place of a request taken."""
    before = service.get("/tasks").json()
    yield
    eventually(lambda: (now := service.get("/tasks")).is_success and now.json() <= before, 5, lambda: service.log)


def opened(service: Service, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=5)
    connection.sendall(data)
    return connection


@pytest.mark.parametrize("name", LEFT)
@promise("Limits", fixture="running")
def test_what_a_client_leaves_unfinished_does_not_stay_in_the_service(running: Service, name: str) -> None:
    with nothing_left_of(running):
        for _ in range(2 * LIMIT):
            with opened(running, LEFT[name]) as connection:
                assert connection.recv(100).startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("body", [b"{}", b"{"], ids=["all of it", "half"])
@promise("Limits", fixture="running")
def test_a_client_that_has_left_before_its_body_is_read_is_no_crash(running: Service, body: bytes) -> None:
    before = len(running.log)
    with nothing_left_of(running):
        with opened(running, b"POST /reads_late HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n" + body):
            eventually(lambda: "reads late" in running.log[before:])
        eventually(lambda: '"POST /reads_late ' in running.log[before:], 5, lambda: running.log)
    log = running.log[before:]
    assert '"POST /reads_late 400"' in log or (body == b"{}" and "has read" in log), log
    assert "Traceback" not in log


@pytest.mark.parametrize("polite", [True, False], ids=["politely", "without a word"])
@pytest.mark.parametrize("sent", [0, 20], ids=["silent", "talkative"])
@promise("WebSocket", fixture="running")
def test_an_endpoint_that_only_sends_ends_when_its_client_has_left(running: Service, sent: int, polite: bool) -> None:
    with nothing_left_of(running):
        for _ in range(LIMIT):
            with opened(running, HANDSHAKE.replace(b"/echo", b"/push")) as connection:
                assert b" 101 " in connection.recv(1000)
                connection.sendall(HELLO * sent + GOODBYE * polite)


@promise("WebSocket", fixture="running")
def test_the_application_is_told_the_code_with_which_a_client_leaves(running: Service) -> None:
    for code in (1000, 4321):
        with connect(f"ws://127.0.0.1:{running.port}/echo") as websocket:
            websocket.close(code)
    eventually(lambda: {"left with 1000", "left with 4321"} <= set(running.log.splitlines()), 5, lambda: running.log)


@promise("WebSocket", fixture="running")
def test_a_websocket_that_was_refused_is_closed_though_its_client_does_not_answer(running: Service) -> None:
    with opened(running, HANDSHAKE) as connection:
        assert b"101" in connection.recv(1000)
        connection.sendall(TOO_BIG)
        assert connection.recv(1000)[2:4] == (1009).to_bytes(2)
        assert connection.recv(1000) == b""
    with opened(running, HANDSHAKE.replace(KEY, b"")) as connection:
        answer = connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 4")
        assert b"\r\nconnection: close\r\n" not in answer or connection.recv(1000) == b""
