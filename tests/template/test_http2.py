"""HTTP/2, which hypercorn alone speaks here."""

import asyncio
from collections.abc import Iterator

import httpx2
import pytest

from ..service import Service, write_service

pytestmark = pytest.mark.slow

HALF = """
from collections.abc import AsyncIterator
from fastapi.responses import StreamingResponse


@app.get("/half")
async def half() -> StreamingResponse:
    async def generate() -> AsyncIterator[str]:
        yield "half"
        raise ValueError("no more")

    return StreamingResponse(generate())
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = write_service(tmp_path_factory.mktemp("http2") / "service", server="hypercorn")
    service.edit("main.py", "app.include_router(loans)", "app.include_router(loans)\n" + HALF)
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        yield service


def test_a_connection_answers_however_many_are_asked(running: Service) -> None:
    async def ask() -> list[httpx2.Response]:
        numbers = iter(range(1200))
        async with httpx2.AsyncClient(http1=False, http2=True, base_url=running.url) as client:

            async def in_turn() -> list[httpx2.Response]:
                return [await client.get("/") for _ in numbers]

            return sum(await asyncio.gather(*(in_turn() for _ in range(20))), [])

    answers = asyncio.run(ask())
    assert {(answer.http_version, answer.status_code) for answer in answers} == {("HTTP/2", 200)}
    assert len({id(answer.extensions["network_stream"]) for answer in answers}) == 1


def test_a_stream_that_breaks_off_is_reset_and_the_others_go_on(running: Service) -> None:
    with httpx2.Client(http1=False, http2=True, base_url=running.url, timeout=5) as client:
        with pytest.raises(httpx2.RemoteProtocolError, match="StreamReset"):
            client.get("/half")
        connection = client.get("/").extensions["network_stream"]
        with pytest.raises(httpx2.RemoteProtocolError, match="StreamReset"):
            client.get("/half")
        assert client.get("/").extensions["network_stream"] is connection


def test_a_body_that_nobody_reads_ends_no_connection(running: Service) -> None:
    with httpx2.Client(http1=False, http2=True, base_url=running.url, timeout=5) as client:
        connection = client.get("/").extensions["network_stream"]
        for _ in range(20):
            assert client.post("/nothing", content=bytes(60_000)).status_code == 404
        assert client.get("/").extensions["network_stream"] is connection
    assert "KeyError" not in running.log
