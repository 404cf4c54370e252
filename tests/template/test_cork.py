"""Answers of uvicorn that leave together: each whole and in one piece, whoever else is answered in the same turn."""

import os
import signal
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from ..service import Service, eventually, write_service
from .processes import workers

pytestmark = pytest.mark.slow

ENDPOINTS = """
from collections.abc import AsyncIterator
from fastapi.responses import Response, StreamingResponse

chunks = 0


@app.get("/number")
async def number(of: int) -> int:
    return of


class Plain(Response):
    def render(self, content: str) -> str:
        return content


@app.get("/text", response_class=Plain)
async def text() -> Plain:
    return Plain("not encoded")


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def long() -> AsyncIterator[bytes]:
        global chunks
        for _ in range(4000):  # in one turn of the event loop, as long as nothing makes it wait
            chunks += 1
            yield bytes(16 * 1024)

    return StreamingResponse(long())


@app.get("/chunks")
async def so_far() -> int:
    return chunks
"""
MANY = 100  # more than wait for each other


@pytest.fixture(scope="module", params=["gunicorn", "uvicorn"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = write_service(tmp_path_factory.mktemp("cork") / "service", server=request.param)
    service.edit("main.py", "app.include_router(loans)", "app.include_router(loans)\n" + ENDPOINTS)
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        yield service


def connected(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=10)


def ask(connection: socket.socket, path: str) -> None:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


def answer(connection: socket.socket) -> bytes:
    """The body of an answer to `/number`."""
    head, _, body = receive(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    while len(body) < length:
        body += connection.recv(65536)
    return body


def receive(connection: socket.socket, until: bytes) -> bytes:
    got = b""
    while until not in got:
        more = connection.recv(65536)
        assert more, got
        got += more
    return got


def segments(connection: socket.socket) -> int:
    """How many segments with data have come: `tcpi_data_segs_in` of Linux's TCP_INFO."""
    return int(struct.unpack_from("=I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)[0])


def test_head_and_body_are_one_segment(running: Service) -> None:
    with connected(running) as connection:
        for asked in range(1, 4):
            ask(connection, "/number?of=7")
            assert answer(connection) == b"7"
            assert segments(connection) == asked


def test_requests_of_one_moment_get_each_its_own_answer(running: Service) -> None:
    (worker,) = workers(running)
    clients = [connected(running) for _ in range(MANY)]
    try:
        eventually(lambda: running.get("/number?of=1").is_success)  # it has accepted all of them
        os.kill(worker, signal.SIGSTOP)
        for number, client in enumerate(clients):
            ask(client, f"/number?of={number}")
        for client in clients[1::3]:  # some leave before they are answered, with a reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        os.kill(worker, signal.SIGCONT)
        for number, client in enumerate(clients):
            if number % 3 != 1:
                assert answer(client) == str(number).encode()
    finally:
        for client in clients:
            client.close()
    assert "Traceback" not in running.log


def test_who_sends_no_more_gets_the_answer(running: Service) -> None:
    for _ in range(20):
        with connected(running) as connection:
            ask(connection, "/number?of=7")
            connection.shutdown(socket.SHUT_WR)
            assert answer(connection) == b"7"


def test_a_stream_waits_for_its_reader(running: Service) -> None:
    with connected(running) as connection:
        ask(connection, "/stream")
        seen = -1
        deadline = time.monotonic() + 10
        while (chunks := running.get("/chunks").json()) > seen:  # until the buffers are full
            seen = chunks
            assert time.monotonic() < deadline
        assert chunks * 16 < 20_000  # kilobytes
        for _ in range(50):  # and it goes on when there is somebody who reads
            assert connection.recv(1024 * 1024)


def test_an_answer_that_is_no_bytes_fails_alone(running: Service) -> None:
    with connected(running) as connection:
        ask(connection, "/text")
        assert b"not encoded" not in connection.makefile("rb").read()
    assert running.get("/number?of=1").json() == 1
    assert "a response body must be bytes, not str" in running.log
