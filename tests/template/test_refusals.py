"""What every server refuses alike: bad requests, large ones, too many, other hosts."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from asgi_quickstart.options import document

from ..service import Service, eventually, write_service

SLOW = (
    "import asyncio\nfrom fastapi import Request\n"
    "@app.get('/slow')\nasync def slow() -> str:\n    await asyncio.sleep(2)\n    return 'done'\n"
    "@app.post('/length')\nasync def length(request: Request) -> int:\n    return len(await request.body())\n"
)
SETTINGS = {
    "HOST": "127.0.0.1",
    "WEB_CONCURRENCY": "1",
    "MAX_CONCURRENCY": "5",
    "MAX_BODY_BYTES": "1000",
    "ALLOWED_HOSTS": "127.0.0.1,api.example.com",
    "CORS_ORIGINS": "https://app.example.com",
    "HSTS_SECONDS": "60",
}


@pytest.fixture(scope="module", params=document()["servers"]["default"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with small limits on each server."""
    service = write_service(tmp_path_factory.mktemp("refusals") / "service", server=request.param)
    service.edit("main.py", "app.include_router(loans)", SLOW)
    with service.started("run", **SETTINGS):
        yield service


def statuses(service: Service, request: bytes) -> list[int]:
    """The statuses of all the answers on one connection until it is closed; none if it is closed without."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
    lines = [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert service.get("/health/live").status_code == 200  # the next client is served
    return [int(line.split()[1]) for line in lines]


HOST = b"Connection: close\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    ("name", "request_bytes", "status"),
    [
        ("no host", b"GET / HTTP/1.1\r\n\r\n", 400),
        ("two hosts", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + HOST + b"\r\n", 400),
        ("another host", b"GET / HTTP/1.1\r\nConnection: close\r\nHost: evil.example.com\r\n\r\n", 400),
        ("length and chunked", b"POST /length HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("headers over 64 KB", b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 4000) for n in range(18)) + b"\r\n", 431),
        ("target over 8 KB", b"GET /?" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        ("body over the limit", b"POST /length HTTP/1.1\r\n" + HOST + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001, 413),
        ("chunked body over the limit", b"POST /length HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", 413),
        ("invalid UTF-8 in the path", b"GET /%ff%fe HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ],
)  # fmt: skip
def test_a_bad_request_is_refused(running: Service, name: str, request_bytes: bytes, status: int) -> None:
    answered = statuses(running, request_bytes)
    if name == "length and chunked" and answered == [200]:
        # RFC 9112, 6.3: a server may also go by Transfer-Encoding alone, as granian does, and close.
        assert "serving.granian" in (running.folder / "Makefile").read_text()
        return
    assert answered in ([status], []) or (answered == [400] and status in (414, 431)), name


def test_an_unknown_method_is_refused(running: Service) -> None:
    for method in (b"BREW", b"DELETE"):
        assert statuses(running, method + b" / HTTP/1.1\r\n" + HOST + b"\r\n") in ([405], [400], [501], [])


def test_a_body_at_the_limit_is_taken(running: Service) -> None:
    assert httpx2.post(running.url + "/length", content=b"x" * 1000).json() == 1000


def test_too_many_at_once_are_told_when_to_come_back(running: Service) -> None:
    with ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(running.get, "/slow") for _ in range(5)]
        eventually(lambda: running.get("/").status_code == 503, 2)
        refused = running.get("/health/ready")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert running.get("/health/live").status_code == 200
        assert [answer.result().status_code for answer in slow] == [200] * 5
    eventually(lambda: running.get("/").status_code == 200, 2)


def test_every_answer_has_the_security_headers_and_no_server(running: Service) -> None:
    for path in ("/", "/nothing"):
        headers = running.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"] == "frame-ancestors 'none'"
        assert headers["strict-transport-security"] == "max-age=60"
        if "serving.granian" not in (running.folder / "Makefile").read_text():  # granian names itself, whatever one sets
            assert not {"server", "x-powered-by"} & set(headers), headers


def test_pages_of_the_named_origins_alone_may_ask(running: Service) -> None:
    named = running.get("/", headers={"Origin": "https://app.example.com"})
    other = running.get("/", headers={"Origin": "https://evil.example.com"})
    assert named.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "access-control-allow-origin" not in other.headers
