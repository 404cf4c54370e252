"""The service under each of its servers: settings, logs, health, start and stop."""

import json
import re
import signal
import socket
import statistics
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from ..pace import slowness
from ..promises import SERVERS, promise
from ..service import Service, clean_environment, eventually, write_service

pytestmark = pytest.mark.slow

FIELDS = {"time", "level", "logger", "message", "request_id", "method", "path", "status", "seconds", "client"}


@promise("Logs")
def test_logs_one_json_line_a_request_with_its_id(service: Service) -> None:
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2"):
        responses = [service.get("/health/live") for _ in range(20)] + [service.get("/nothing")]
        given = "0123456789abcdef0123456789abcdef"
        responses.append(service.get("/health/live", headers={"X-Request-ID": given}))
        assert responses[-1].headers["x-request-id"] == given
        eventually(lambda: given in service.log)
    lines = [json.loads(line) for line in service.log.splitlines()]
    for response in responses:
        ours = [line for line in lines if line["request_id"] == response.headers["x-request-id"]]
        assert [line["logger"] for line in ours] == ["access"], ours
        assert ours[0]["status"] == response.status_code
        assert ours[0].keys() == FIELDS
        assert ours[0]["client"] == "127.0.0.1"


@promise("Logs")
def test_requests_that_end_together_have_a_line_each(service: Service) -> None:
    together = "import asyncio, time\n    await asyncio.sleep(2 - time.time() % 1)\n    "
    ok = 'return Health(status="ok")\n\n\n@router.head("/health/ready"'
    service.edit("app/health.py", ok, together + ok)
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: service.get(), range(50)))
        wanted = {answer.headers["x-request-id"] for answer in answers}
        eventually(lambda: all(name in service.log for name in wanted), 5, lambda: service.log)
    lines = [json.loads(line) for line in service.log.splitlines() if '"path": "/"' in line]
    assert sorted(wanted) == sorted(line["request_id"] for line in lines if line["request_id"] in wanted)


@promise("Logs")
def test_a_crash_is_logged_once_with_the_id_of_its_request_and_shown_to_nobody(service: Service) -> None:
    service.edit(
        "app/health.py",
        'return Health(status="ok")\n\n\n@router.head("/health/ready"',
        '1 / 0\n\n\n@router.head("/health/ready"',
    )
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        response = service.get("/")
        assert response.status_code == 500
        assert "ZeroDivision" not in response.text
        eventually(lambda: "ZeroDivisionError" in service.log)
    lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    crashes = [line for line in lines if "ZeroDivisionError" in line["message"] + line.get("exc_info", "")]
    assert len(crashes) == 1
    (access,) = [line for line in lines if line["logger"] == "access" and line["path"] == "/"]
    assert access["status"] == 500
    assert crashes[0]["request_id"] == access["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("service", [{"server": server} for server in SERVERS], indirect=True, ids=str)
def test_a_crash_below_a_middleware_of_the_owners_is_answered_and_logged_as_without(service: Service) -> None:
    service.edit("main.py", "app.include_router(loans)", CRASHES + "app.include_router(loans)")
    asked = {"Origin": "https://example.com", "X-Request-ID": "0123456789abcdef"}
    answers = []
    for middleware in "", MIDDLEWARE:
        service.edit("main.py", "app.include_router(health)", "app.include_router(health)" + middleware)
        with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1", CORS_ORIGINS=asked["Origin"]):
            answer = service.get("/crash", headers=asked)
            with suppress(httpx2.RemoteProtocolError):  # broken off, but by hypercorn
                service.get("/midway", headers=asked)
            eventually(lambda: '"path": "/midway"' in service.log and "IndexError" in service.log)
        left_out = ("date", "connection", "x-timing")  # `x-timing`: as Starlette's own answer, it goes by no middleware
        headers = [(name, value) for name, value in answer.headers.multi_items() if name not in left_out]
        answers.append((answer.status_code, answer.text, sorted(headers)))
        lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
        errors = [line for line in lines if line["level"] == "ERROR"]
        assert [line["request_id"] for line in errors] == [asked["X-Request-ID"]] * 2, errors
        for line, error in zip(errors, ("ZeroDivisionError", "IndexError"), strict=True):
            assert error in line["message"] + line.get("exc_info", ""), line
        assert "ClosedResourceError" not in service.log
    assert answers[0] == answers[1]
    assert {name for name, _ in answers[0][2]} >= {"x-request-id", "access-control-allow-origin", "vary"}


CRASHES = """
from fastapi.responses import StreamingResponse


@app.get("/crash")
async def crash() -> int:
    return 1 // 0


@app.get("/midway")
async def midway() -> StreamingResponse:
    async def generate() -> AsyncIterator[str]:
        yield "begun"
        raise IndexError

    return StreamingResponse(generate())


"""
MIDDLEWARE = """


@app.middleware("http")
async def timing(request, call_next):
    answer = await call_next(request)
    answer.headers["x-timing"] = "1"
    return answer
"""


@pytest.mark.parametrize("service", [{"server": server} for server in SERVERS], indirect=True, ids=str)
def test_an_endpoint_that_calls_exit_fails_and_ends_nothing_else(service: Service) -> None:
    service.edit("main.py", "app.include_router(loans)", EXITS + "app.include_router(loans)")
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"), ThreadPoolExecutor() as pool:
        other = pool.submit(service.get, "/other")
        eventually(lambda: "other began" in service.log)
        for path in "/exit", "/exit-in-thread":
            assert service.get(path).status_code == 500
            eventually(lambda path=path: f'"path": "{path}"' in service.log)  # type: ignore[misc]
        assert service.get("/end").status_code == 200
        assert other.result().status_code == 200
    assert service.log.count("SystemExit: 3") == service.log.count("SystemExit: 1") == 1


EXITS = """
import asyncio
import sys
end = asyncio.Event()


@app.get("/other")
async def other() -> None:
    print("other began", flush=True)
    await end.wait()


@app.get("/end")
async def stop_waiting() -> None:
    end.set()


@app.get("/exit")
async def leave() -> None:
    sys.exit(3)


@app.get("/exit-in-thread")
def leave_in_thread() -> None:
    sys.exit(1)


"""


@promise("Logs")
def test_a_websocket_is_logged_once_without_its_query_and_its_crash_with_the_id(service: Service) -> None:
    endpoint = "\nfrom fastapi import WebSocket\n\n\n@app.websocket('/socket')\nasync def socket(websocket: WebSocket) -> None:\n"
    crash = "    await websocket.accept()\n    raise RuntimeError('by the test')\n"
    service.edit("main.py", "app.include_router(loans)", "app.include_router(loans)" + endpoint + crash)
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        for path, error in ("socket", ConnectionClosed), ("nothing", InvalidStatus):
            with pytest.raises(error), connect(f"ws://127.0.0.1:{service.port}/{path}?token=SECRET") as websocket:
                websocket.recv(5)
        eventually(lambda: '"path": "/nothing"' in service.log and "RuntimeError" in service.log)
    assert "SECRET" not in service.log
    lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    for path in ("/socket", "/nothing"):
        (access,) = [line for line in lines if path in line["message"]]
        assert access["logger"] == "access"
    (crashed,) = [line for line in lines if "RuntimeError" in line["message"] + line.get("exc_info", "")]
    assert crashed["request_id"] == next(line["request_id"] for line in lines if "/socket" in line["message"])


@promise("Start")
@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("PORT", "eighty", "integer"),
        ("LOG_LEVEL", "loud", "'DEBUG'"),
        ("ALLOWED_HOSTS", "*example.com", "a host is a name"),
        ("CORS_ORIGINS", "https://example.com/", "without a path"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(service: Service, name: str, value: str, wanted: str) -> None:
    refuses_to_start(service, name, value, wanted)


def test_a_wrong_setting_of_the_owners_stops_the_start_with_one_line(service: Service) -> None:
    refuses_to_start(service, "LOANS_MAX_MONTHS", "0", "greater than or equal to 1")


def test_a_wrong_nested_setting_of_the_owners_has_the_name_of_its_variable(service: Service) -> None:
    service.edit("app/settings.py", "class Settings(ServingSettings):\n", NESTED)
    refuses_to_start(service, "DB__POOL__SIZE", "many", "integer")


NESTED = """
from pydantic import BaseModel
from pydantic_settings import SettingsConfigDict


class Pool(BaseModel):
    size: int = 5


class Database(BaseModel):
    pool: Pool = Pool()


class Settings(ServingSettings):
    model_config = SettingsConfigDict(env_nested_delimiter="__")
    db: Database = Database()
"""


@pytest.mark.parametrize("service", [{"server": server} for server in SERVERS], indirect=True, ids=str)
def test_a_port_that_is_taken_is_told_without_a_traceback(service: Service) -> None:
    with socket.create_server(("127.0.0.1", service.port)):
        result = subprocess.run(
            ["make", "--silent", "run"],
            cwd=service.folder,
            env=clean_environment() | {"PORT": str(service.port), "HOST": "localhost"},
            capture_output=True,
            text=True,
            timeout=15,
        )
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert "Address already in use" in output and "Traceback" not in output and "panicked" not in output


@pytest.mark.parametrize("service", [{"server": server} for server in SERVERS], indirect=True, ids=str)
def test_a_host_that_is_no_name_is_refused_where_any_is_served(service: Service) -> None:
    with service.started("run", HOST="localhost", WEB_CONCURRENCY="1"):
        assert service.get(headers={"Host": "any.example.com"}).status_code == 200
        for host in ("a b", "a/b", "a@b", "a:99x"):
            assert service.get(headers={"Host": host}).status_code == 400, host
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:  # as HAProxy checks health
            client.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
            assert client.recv(100).split()[1] == b"200"


def refuses_to_start(service: Service, name: str, value: str, wanted: str) -> None:
    result = subprocess.run(
        ["make", "--silent", "run"],
        cwd=service.folder,
        env=clean_environment() | {"PORT": str(service.port), "WEB_CONCURRENCY": "2", "HOST": "127.0.0.1", name: value},
        capture_output=True,
        text=True,
        timeout=15,
    )
    output = result.stdout + result.stderr
    assert result.returncode != 0
    (line,) = [line for line in output.splitlines() if line.startswith(f"{name}: ")]
    assert wanted in line
    assert "Traceback" not in output


@pytest.mark.parametrize("service", [{"server": server} for server in SERVERS], indirect=True, ids=str)
def test_what_a_worker_has_loaded_is_kept_from_the_garbage_collector(service: Service) -> None:
    service.edit("app/health.py", 'status="ok"', 'status=str(__import__("gc").get_freeze_count())')
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        assert int(service.get().json()["status"]) > 10_000


@pytest.mark.parametrize("service", [{"server": server} for server in SERVERS], indirect=True, ids=str)
def test_small_pieces_of_a_stream_are_sent_at_once(service: Service) -> None:
    service.edit("main.py", "app.include_router(loans)", PIECES)
    taken = []
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"), httpx2.Client(base_url=service.url) as client:
        for _ in range(30):
            begin = time.monotonic()
            assert client.get("/pieces").text == "0123456789"
            taken.append(time.monotonic() - begin)
    assert statistics.median(taken) < 0.03, "without TCP_NODELAY one waits for the client's word on the last, 40 ms"


PIECES = """
from fastapi.responses import StreamingResponse


@app.get("/pieces")
async def pieces() -> StreamingResponse:
    async def generate() -> AsyncIterator[str]:
        for piece in range(10):
            yield str(piece)

    return StreamingResponse(generate())


app.include_router(loans)
"""


@pytest.mark.parametrize("service", [{"server": "granian"}], indirect=True)
def test_a_client_that_leaves_a_stream_is_worth_one_line_of_granians_log(service: Service) -> None:
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(b"GET /loans/schedule?amount=1000000&rate=1&months=480 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leaves by a reset
        eventually(lambda: '"path": "/loans/schedule"' in service.log)
    assert "ASGI transport error" not in service.log


def test_an_idle_connection_is_kept_for_as_long_as_set_by_every_server(tmp_path: Path) -> None:
    seconds = 7  # more than the 5 that uvicorn and hypercorn have by default, less than granian's 30

    def kept(service: Service) -> float:
        with socket.create_connection(("127.0.0.1", service.port), timeout=seconds * 3) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
            answered = time.monotonic()
            while client.recv(65536):
                pass
            return time.monotonic() - answered

    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        services = [write_service(tmp_path / server / "service", server=server) for server in SERVERS]
        settings = {"HOST": "127.0.0.1", "WEB_CONCURRENCY": "1", "KEEP_ALIVE_SECONDS": str(seconds)}
        for service in services:
            stack.enter_context(service.started("run", **settings))
        for server, closed in zip(SERVERS, pool.map(kept, services), strict=True):
            assert seconds - 0.5 < closed < seconds + 2 * slowness(), server


def test_listens_where_the_settings_say(service: Service) -> None:
    (service.folder / ".env").write_text(
        f"HOST=127.0.0.2\nPORT={service.port}\nWEB_CONCURRENCY=3\nENVIRONMENT=development\n"
    )
    process = subprocess.Popen(
        [".venv/bin/gunicorn", "main:app", "-c", "uvicorn.conf.py"],
        cwd=service.folder,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.2:{service.port}"
        eventually(lambda: httpx2.get(url + "/docs").is_success)
        eventually(lambda: len(children(process.pid)) == 3)
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_by_default_everybody_in_production_and_nobody_else_in_development(service: Service) -> None:
    for environment, bind in (("production", "0.0.0.0:8000"), ("development", "127.0.0.1:8000")):
        printed = subprocess.run(
            [".venv/bin/gunicorn", "--print-config", "main:app", "-c", "uvicorn.conf.py"],
            cwd=service.folder,
            env=clean_environment() | {"ENVIRONMENT": environment},
            capture_output=True,
            text=True,
        ).stdout
        assert re.search(rf"^bind +=? *\['{bind}'\]", printed, re.M), printed


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
