"""Clients that speak HTTP/1.0, or offer a newer version than HTTP/1.1: each gets what was asked for in its own."""

import re
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ..promises import promise
from ..service import Service, eventually, write_service

ENDPOINTS = """
from collections.abc import AsyncIterator

from fastapi import Request
from fastapi.responses import StreamingResponse


@app.post("/size")
async def size(request: Request) -> int:
    return len(await request.body())


@app.post("/ignored")
async def ignored() -> str:
    return "not read"


@app.get("/pieces")
async def pieces() -> StreamingResponse:
    async def three() -> AsyncIterator[str]:
        for number in range(3):
            yield f"piece {number}\\n"

    return StreamingResponse(three())


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("by the test")
"""


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = write_service(tmp_path_factory.mktemp("versions") / "service", **request.param)
    service.edit("main.py", "app.include_router(loans)", "app.include_router(loans)\n" + ENDPOINTS)
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1", MAX_BODY_BYTES="1000", DRAIN_SECONDS="2"):
        yield service


def exchange(service: Service, *pieces: bytes) -> bytes:
    """All that comes until the connection is closed; the server has read each piece before the next is sent."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
            if piece is not pieces[-1]:
                assert service.get().status_code == 200
        answer = b""
        with suppress(ConnectionResetError):
            while more := connection.recv(65536):
                answer += more
        return answer


HTTP2 = b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
OFFERS = {
    "Java": HTTP2,
    "two Connection headers": b"Connection: upgrade\r\nUpgrade: h2c\r\nConnection: keep-alive\r\n",
    "unknown": b"Upgrade: other/1\r\nConnection: Upgrade\r\n",
}
BODIES = {
    "length": b"Content-Length: 5\r\n\r\nabcde",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
}
LAST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("body", BODIES)
@promise("Bad requests", fixture="running")
def test_an_upgrade_that_is_not_wanted_is_ignored_and_the_request_is_served(
    running: Service, offer: str, body: str
) -> None:
    """RFC 9110, 7.8. Java's client offers HTTP/2 with each request by default."""
    request = b"POST /size HTTP/1.1\r\nHost: localhost\r\n" + OFFERS[offer] + BODIES[body]
    head = request.index(b"\r\n\r\n")
    for pieces in [
        [request + LAST],
        [request, LAST],
        [request[: head + 4], request[head + 4 :] + LAST],
        [request[: head + 2], request[head + 2 : -2], request[-2:] + LAST],
        [request * 3 + LAST],
        [LAST.replace(b"close", b"keep-alive") + request + LAST],
    ]:
        answers = exchange(running, *pieces)
        wanted = [b"5"] * b"".join(pieces).count(b"POST") + [b'{"status":"ok"}']
        assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200"] * b"".join(pieces).count(b"HTTP/1.1"), answers
        assert re.findall(rb"\r\n\r\n(5|\{.*?\})", answers)[-len(wanted) :] == wanted, answers


@pytest.mark.parametrize("closing", [b"1.1\r\nHost: localhost\r\nConnection: close", b"1.0"], ids=["close", "HTTP/1.0"])
@promise("Bad requests", fixture="running")
def test_nor_is_it_wanted_in_the_last_request_of_a_connection(running: Service, closing: bytes) -> None:
    for body in BODIES.values():
        if b"1.0" not in closing or b"chunked" not in body:
            answer = exchange(running, b"POST /size HTTP/" + closing + b"\r\n" + HTTP2 + body)
            assert answer.split()[1] == b"200" and answer.endswith(b"\r\n\r\n5"), answer


@promise("Bad requests", fixture="running")
def test_the_rest_of_a_request_with_an_upgrade_is_as_strictly_read(running: Service) -> None:
    def asked(path: bytes, rest: bytes) -> list[bytes]:
        answers = exchange(running, b"POST %s HTTP/1.1\r\nHost: localhost\r\n" % path + HTTP2 + rest + LAST)
        return re.findall(rb"HTTP/1.1 (\d+)", answers)

    assert asked(b"/size", b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n") == [b"400"]
    assert asked(b"/size", b"Content-Length: 1001\r\n\r\n" + b"x" * 1001) in ([b"413"], [b"413", b"200"])
    assert asked(b"/ignored", BODIES["length"]) == [b"200", b"200"]


@promise("Bad requests", fixture="running")
def test_a_get_with_an_upgrade_that_is_not_wanted_is_answered(running: Service) -> None:
    """As `curl --http2` asks. hypercorn wants it."""
    asked = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + HTTP2 + b"\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(asked * 1100 + LAST)  # more than may wait on gunicorn and uvicorn
        answer = connection.recv(65536)
        assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 101 ")), answer
    answers = re.findall(rb"HTTP/1.1 (\d+)", exchange(running, asked + LAST)) if b" 200 " in answer else []
    assert answers in ([], [b"200", b"200"])
    eventually(lambda: running.get().status_code == 200)
    assert "RecursionError" not in running.log


@promise("Bad requests", fixture="running")
def test_http_1_0_knows_no_chunks(running: Service) -> None:
    """RFC 9112, 6.1: what has no length ends with the connection."""
    for more in b"", b"Connection: close\r\n":
        head, _, body = exchange(running, b"GET /pieces HTTP/1.0\r\n" + more + b"\r\n").partition(b"\r\n\r\n")
        assert b" 200 " in head and b"transfer-encoding" not in head.lower(), head
        assert body == b"piece 0\npiece 1\npiece 2\n"
    for path, status, length in (b"/", b"200", 15), (b"/broken", b"500", 21):
        head, _, body = exchange(running, b"GET " + path + b" HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
        assert head.split()[1] == status and b"content-length: %d" % length in head and len(body) == length, head


@promise("Bad requests", fixture="running")
def test_http_1_0_knows_no_status_before_the_answer(running: Service) -> None:
    """RFC 9110, 10.1.1 and 15.2."""
    head = b"POST /size HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    answer = exchange(running, head, b"abcde")
    assert answer.split()[1] == b"200" and answer.endswith(b"\r\n\r\n5"), answer
