"""docs/wsgi-and-asgi.md: each of its snippets runs, and does what the page says, on real servers."""

import shlex
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from .promises import SERVERS
from .service import Service, eventually, write_service
from .snippets import block

pytestmark = pytest.mark.slow

PAGE = "wsgi-and-asgi.md"
GUNICORN = shlex.split(block(PAGE, "started by\n"))
PROBE = """
import asyncio

async def app(scope, receive, send):
    if scope["path"] == "/error":
        raise LookupError("no such thing")
    read, more = 0, True
    while more:
        event = await receive()
        read, more = read + len(event.get("body", b"")), event.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for line in range(3):
        await send({"type": "http.response.body", "body": b"%d read\\n" % read, "more_body": True})
        await asyncio.sleep(0.3)
    await send({"type": "http.response.body"})
"""


@contextmanager
def served(folder: Path, *words: str, ready: str = "/") -> Iterator[Service]:
    """What the page's command starts in a folder that has its files."""
    for name in ("hello_wsgi", "hello_asgi", "bridge"):
        if not (folder / f"{name}.py").exists():
            (folder / f"{name}.py").write_text(block(PAGE, f"`{name}.py`:\n"))
    if not (folder / ".venv").exists():
        (folder / ".venv").symlink_to(sys.prefix)
    service = Service(folder, ready=ready)
    port = ("--port", str(service.port)) if words[0] == "uvicorn" else (f"--bind=127.0.0.1:{service.port}",)
    with service.started(*words, *port):
        yield service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hello").mkdir()
    return tmp_path / "hello"


def pieces(url: str) -> list[tuple[float, bytes]]:
    """The pieces of a streamed answer, and when each one came."""
    with httpx2.stream("GET", url, timeout=10) as response:
        assert response.status_code == 200
        return [(time.monotonic(), piece) for piece in response.iter_raw()]


def test_the_wsgi_application_answers(folder: Path) -> None:
    with served(folder, "gunicorn", "hello_wsgi:app", "--no-control-socket") as server:
        assert server.get("/there").text == "Hello from /there\n"


def test_the_asgi_application_answers_echoes_and_sees_the_lifespan(folder: Path) -> None:
    with served(folder, "uvicorn", "hello_asgi:app") as server:
        assert server.get("/there").text == "Hello from /there\n"
        with connect(f"ws://127.0.0.1:{server.port}/") as websocket:
            websocket.send("again and again")
            assert websocket.recv() == "again and again"
        assert "open what requests share" in server.log and "close it" not in server.log
    assert "close it" in server.log


def test_what_blocks_the_event_loop_holds_up_everybody(tmp_path: Path) -> None:
    service = write_service(tmp_path / "service")
    main = service.folder / "main.py"
    main.write_text(main.read_text() + "\n" + block(PAGE, "## What a blocked event loop costs"))
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"), ThreadPoolExecutor() as pool:
        answered, longest = {}, {}
        for path in ("/blocks", "/waits"):
            asked = pool.submit(service.get, path)
            waits = []
            while not asked.done():
                started = time.monotonic()
                service.get("/health/live")
                waits.append(time.monotonic() - started)
            assert "waited" in asked.result().text
            answered[path], longest[path] = len(waits), max(waits)
        assert longest["/blocks"] > 0.7
        assert longest["/waits"] < 0.7 and answered["/waits"] >= 5


@pytest.mark.parametrize("server", SERVERS)
def test_a_wsgi_application_mounted_in_the_service(tmp_path: Path, server: str) -> None:
    service = write_service(tmp_path / "service", server=server)
    legacy = block(PAGE, "`legacy.py`:\n")
    (service.folder / "legacy.py").write_text(slowly(legacy))
    main = service.folder / "main.py"
    mounted = block(PAGE, "In `main.py`, after the last line:\n")
    assert "workers=40" in mounted
    main.write_text(main.read_text() + "\n" + mounted.replace("workers=40", "workers=2"))
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        body = b"x" * 300_000
        url = service.url + "/legacy"
        assert httpx2.post(f"{url}/count", content=body).text == "300000 bytes\n"
        assert httpx2.post(f"{url}/count", content=iter([body, body])).text == "600000 bytes\n"  # chunked

        came = pieces(f"{url}/report")
        assert b"".join(piece for _, piece in came) == b"line 0\nline 1\nline 2\n"
        assert came[-1][0] - came[0][0] > 0.3  # not all of it at the end

        error = service.get("/legacy/nothing")
        assert error.status_code == 500 and "LookupError" not in error.text
        eventually(lambda: service.log.count("LookupError: /nothing") == 1, message=lambda: service.log)
        assert service.log.count(error.headers["x-request-id"]) == 2  # the crash and the request

        with pytest.raises(InvalidStatus, match="403"), connect(f"ws://127.0.0.1:{service.port}/legacy/count"):
            pass

        assert httpx2.post(f"{url}/count", content=body * 4).status_code == 413  # the service's limit

        started = time.monotonic()
        with ThreadPoolExecutor() as pool:  # two threads, three requests of 0.9 s: one of them waits, nobody else
            reports = [pool.submit(service.get, "/legacy/report") for _ in range(3)]
            service.get("/health/live")
            assert not any(report.done() for report in reports)
        assert time.monotonic() - started > 1.6


def slowly(legacy: str) -> str:
    """The page's application, with a report that takes 0.9 s."""
    line = "    for line in range(3):\n"
    assert line in legacy
    return f"import time\n\n\n{legacy.replace(line, line + '        time.sleep(0.3)' + chr(10))}"


def test_an_asgi_application_under_a_wsgi_server(folder: Path) -> None:
    with served(folder, *GUNICORN, "--no-control-socket") as server:
        assert server.get("/there").text == "Hello from /there\n"
        with pytest.raises(InvalidStatus, match="200"), connect(f"ws://127.0.0.1:{server.port}/"):
            pass  # asked as an ordinary request
    assert "open what requests share" not in server.log


def test_bodies_streams_and_errors_of_an_asgi_application_under_a_wsgi_server(folder: Path) -> None:
    (folder / "hello_asgi.py").write_text(PROBE)
    with served(folder, *GUNICORN, "--no-control-socket") as server:
        assert httpx2.post(server.url, content=b"x" * 300_000).text == "300000 read\n" * 3
        assert httpx2.post(server.url, content=iter([b"x" * 10])).text == "0 read\n" * 3  # chunked: lost
        came = pieces(server.url)
        assert came[-1][0] - came[0][0] > 0.3
        assert server.get("/error").status_code == 500
        eventually(lambda: "LookupError: no such thing" in server.log)


def test_an_asgi_application_is_not_answered_after_preload(folder: Path) -> None:
    with pytest.raises(AssertionError, match="not within"):
        with served(folder, *GUNICORN, "--no-control-socket", "--preload", ready="/"):
            pass
