"""docs/wsgi-and-asgi.md: each of its snippets runs, and does what the page says, on real servers."""

import shlex
import subprocess
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
from .service import Service, clean_environment, eventually, write_service
from .snippets import block, blocks
from .tables import DOCS

pytestmark = pytest.mark.slow

PAGE = "wsgi-and-asgi.md"
FILES = ("hello_wsgi.py", "hello_asgi.py", "legacy.py", "bridge.py")
CODE = {name: block(PAGE, f"`{name}`:\n") for name in FILES}
BLOCKING = block(PAGE, "## What a blocked event loop costs")
IMPORTED, MOUNTED = block(PAGE, "`main.py` imports both,\n"), block(PAGE, "and mounts it after the last line:\n")
COMMAND = block(PAGE, "started by\n")
GUNICORN = [*shlex.split(COMMAND), "--no-control-socket"]
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
UP = """

def app(environ, start_response, bridge=app):
    if environ["PATH_INFO"] != "/up":
        return bridge(environ, start_response)
    start_response("200 OK", [])
    return []
"""


@contextmanager
def served(folder: Path, *words: str, ready: str = "/") -> Iterator[Service]:
    """What the page's command starts in a folder that has its files."""
    for name in FILES:
        if not (folder / name).exists():
            (folder / name).write_text(CODE[name])
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


def test_no_block_of_the_page_is_left_out() -> None:
    assert sorted(blocks((DOCS / PAGE).read_text())) == sorted([*CODE.values(), BLOCKING, IMPORTED, MOUNTED, COMMAND])


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
    main.write_text(main.read_text() + "\n" + BLOCKING.replace("sleep(1)", "sleep(2)"))
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
        assert longest["/blocks"] > 1.6
        assert longest["/waits"] < 1.6 and answered["/waits"] >= 5


@pytest.mark.parametrize("server", SERVERS)
def test_a_wsgi_application_mounted_in_the_service(tmp_path: Path, server: str) -> None:
    service = mount(tmp_path / "service", server)
    legacy, main = service.folder / "legacy.py", service.folder / "main.py"
    line = "    for line in range(3):\n"
    legacy.write_text(legacy.read_text().replace(line, line + "        __import__('time').sleep(0.3)\n"))
    main.write_text(main.read_text().replace("workers=40", "workers=2"))
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1", DRAIN_SECONDS="2"):
        body = b"x" * 300_000
        url = service.url + "/legacy"
        assert httpx2.post(f"{url}/count", content=body).text == "300000 bytes\n"
        assert httpx2.post(f"{url}/count", content=iter([body, body])).text == "600000 bytes\n"  # chunked

        without_body = service.get("/legacy/count")
        if server == "granian":
            assert without_body.status_code == 500
            eventually(lambda: "TypeError: A coroutine object is required" in service.log, message=lambda: service.log)
        else:
            assert without_body.text == "0 bytes\n"

        came = pieces(f"{url}/report")
        assert b"".join(piece for _, piece in came) == b"line 0\nline 1\nline 2\n"
        assert came[-1][0] - came[0][0] > 0.1  # of 0.6: not all of it at the end

        error = service.get("/legacy/nothing")
        assert error.status_code == 500 and "LookupError" not in error.text
        eventually(lambda: service.log.count("LookupError: /nothing") == 1, message=lambda: service.log)
        crash_and_request = 2
        eventually(
            lambda: service.log.count(error.headers["x-request-id"]) == crash_and_request, message=lambda: service.log
        )

        with pytest.raises(InvalidStatus, match="403"), connect(f"ws://127.0.0.1:{service.port}/legacy/count"):
            pass

        assert httpx2.post(f"{url}/count", content=body * 4).status_code == 413  # the service's limit

        started = time.monotonic()
        with ThreadPoolExecutor() as pool:  # two threads, three requests of 0.9 s: one of them waits, nobody else
            reports = [pool.submit(service.get, "/legacy/report") for _ in range(3)]
            service.get("/health/live")
            assert not any(report.done() for report in reports)
        assert time.monotonic() - started > 1.6


def mount(folder: Path, server: str) -> Service:
    """A service with the page's WSGI application in it."""
    service = write_service(folder, server=server)
    (folder / "legacy.py").write_text(CODE["legacy.py"])
    main = (folder / "main.py").read_text()
    (folder / "main.py").write_text(main.replace("\nfrom ", f"\n{IMPORTED}from ", 1) + MOUNTED)
    return service


def test_the_mounted_application_passes_the_checks_of_the_service(tmp_path: Path) -> None:
    service = mount(tmp_path / "service", "gunicorn")
    words = ".venv/bin/ruff check --quiet --fix . && make check"  # sorts the imports, as an editor does
    checked = subprocess.run(
        words, shell=True, cwd=service.folder, env=clean_environment(), capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout


def test_an_asgi_application_under_a_wsgi_server(folder: Path) -> None:
    with served(folder, *GUNICORN) as server:
        assert server.get("/there").text == "Hello from /there\n"
        with pytest.raises(InvalidStatus, match="200"), connect(f"ws://127.0.0.1:{server.port}/"):
            pass  # asked as an ordinary request
    assert "open what requests share" not in server.log


def test_bodies_streams_and_errors_of_an_asgi_application_under_a_wsgi_server(folder: Path) -> None:
    (folder / "hello_asgi.py").write_text(PROBE)
    with served(folder, *GUNICORN) as server:
        assert httpx2.post(server.url, content=b"x" * 300_000).text == "300000 read\n" * 3
        assert httpx2.post(server.url, content=iter([b"x" * 10])).text == "0 read\n" * 3  # chunked: lost
        came = pieces(server.url)
        assert came[-1][0] - came[0][0] > 0.1
        assert server.get("/error").status_code == 500
    assert "LookupError" not in server.log


def test_an_asgi_application_is_not_answered_after_preload(folder: Path) -> None:
    (folder / "bridge.py").write_text(CODE["bridge.py"] + UP)
    with served(folder, *GUNICORN, "--graceful-timeout=1", "--preload", ready="/up") as server:
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.get(server.url, timeout=2)


def test_a_service_is_never_ready_under_a_wsgi_server(tmp_path: Path) -> None:
    service = write_service(tmp_path / "service")
    bridge = CODE["bridge.py"].replace("from hello_asgi import", "from main import")
    (service.folder / "bridge.py").write_text(bridge)
    with served(service.folder, *GUNICORN) as server:
        assert server.get("/health/ready").status_code == 503
