"""Middleware and handlers that the owner adds as FastAPI's documentation tells are inside of all that the service does."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from ..promises import SERVERS
from ..service import Service, eventually, write_service
from .processes import master

pytestmark = pytest.mark.slow

NAMES = """
import logging
from fastapi import Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

owner = logging.getLogger("owner")
"""
OWN = """


@app.middleware("http")
async def reads_all(request, call_next):
    owner.warning("asked by %s, %s", request.client.host, request.url)
    if request.url.path == "/mine":
        return PlainTextResponse("mine", 418)
    if request.url.path == "/size":
        await request.body()
    return await call_next(request)


@app.exception_handler(Exception)
async def sorry(request, error):
    owner.warning("sorry for %r", error)
    return JSONResponse("sorry", 500)


@app.post("/size")
async def size(request: Request) -> int:
    return len(await request.body())


@app.get("/crash")
async def crash() -> int:
    return 1 // 0


@app.get("/export")
async def export() -> StreamingResponse:
    async def rows():
        import asyncio
        while True:
            yield "row"
            await asyncio.sleep(0.1)

    return StreamingResponse(rows(), media_type="text/csv")
"""
SETTINGS = {
    "HOST": "127.0.0.1",
    "WEB_CONCURRENCY": "1",
    "TRUSTED_PROXIES": "127.0.0.1",
    "MAX_BODY_BYTES": "100000",
    "HEADER_SECONDS": "1",
    "DRAIN_SECONDS": "1",
}
FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7", "X-Request-ID": "0123456789abcdef"}


@pytest.fixture(scope="module", params=SERVERS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = write_service(tmp_path_factory.mktemp("own") / "service", server=request.param)
    service.edit("main.py", "app.include_router(health)", "app.include_router(health)\n" + NAMES + OWN)
    with service.started("run", **SETTINGS):
        yield service


def logged(service: Service, text: str) -> list[dict[str, Any]]:
    """The lines of the log that contain it."""
    return [json.loads(line) for line in service.log.splitlines() if text in line and line.startswith("{")]


def ask(service: Service, path: str) -> httpx2.Response:
    return service.get(path, headers=FORWARDED)


def test_it_sees_what_a_proxy_forwards_and_its_answers_have_id_and_headers(running: Service) -> None:
    answer = ask(running, "/mine")
    assert answer.status_code == 418
    assert answer.headers["x-request-id"] == FORWARDED["X-Request-ID"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    eventually(lambda: logged(running, '"path": "/mine"'))
    lines = logged(running, f"asked by 203.0.113.7, https://127.0.0.1:{running.port}/mine")
    assert [line["request_id"] for line in lines] == [FORWARDED["X-Request-ID"]]


def test_a_handler_of_all_exceptions_answers_with_id_and_headers(running: Service) -> None:
    answer = ask(running, "/crash")
    assert (answer.status_code, answer.json()) == (500, "sorry")
    assert answer.headers["x-request-id"] == FORWARDED["X-Request-ID"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    eventually(lambda: logged(running, '"path": "/crash"'))
    lines = logged(running, "ZeroDivisionError")
    assert [line["request_id"] for line in lines] == [FORWARDED["X-Request-ID"]] * 2, "the handler's and the server's"


def post(service: Service, path: str, rest: bytes) -> bytes:
    """The first line of the answer."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\n%s" % (path.encode(), rest))
        return client.makefile("rb").readline()


@pytest.mark.parametrize("path", ["/size", "/loans/quote"], ids=["it reads", "FastAPI reads"])
def test_a_body_has_the_limits_of_size_and_of_time(running: Service, path: str) -> None:
    chunks = (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 4
    assert post(running, path, b"Transfer-Encoding: chunked\r\n\r\n" + chunks).startswith(b"HTTP/1.1 413 ")
    typed = b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
    assert post(running, path, typed).startswith(b"HTTP/1.1 408 ")
    ended = f'"path": "{path}"'
    eventually(lambda: [line["status"] for line in logged(running, ended)] == [413, 408])


def test_a_body_that_is_refused_is_nothing_for_a_handler_of_all_exceptions(service: Service) -> None:
    handler = OWN[OWN.index("@app.exception_handler") : OWN.index('@app.post("/size")')]
    service.edit("main.py", "app.include_router(health)", f"app.include_router(health)\n{NAMES}{handler}")
    with service.started("run", **SETTINGS):
        typed = b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
        assert post(service, "/loans/quote", typed).startswith(b"HTTP/1.1 408 ")
        eventually(lambda: logged(service, '"path": "/loans/quote"'))
        assert not logged(service, "sorry for")


def test_a_stop_cuts_its_answers_so_that_nobody_takes_them_for_whole(running: Service) -> None:
    with httpx2.stream("GET", f"{running.url}/export", headers=FORWARDED) as answer:
        rows = answer.iter_raw()
        assert next(rows) == b"row"
        os.kill(master(running), signal.SIGTERM)
        with pytest.raises(httpx2.RemoteProtocolError):
            list(rows)
