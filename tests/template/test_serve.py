"""The service under each of its servers: settings, logs, health, start and stop."""

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from asgi_quickstart.options import document

from ..service import Service, clean_environment, eventually

pytestmark = pytest.mark.slow

SERVERS = [{"server": server} for server in document()["servers"]["default"]]
every_server = pytest.mark.parametrize("service", SERVERS, ids=lambda given: given["server"], indirect=True)


@pytest.fixture
def running(service: Service) -> Iterator[Service]:
    """The service as in production, with two workers."""
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2") as running:
        yield running


@every_server
def test_logs_one_json_line_a_request_with_its_id(running: Service) -> None:
    responses = [running.get("/health/live") for _ in range(20)] + [running.get("/nothing")]
    given = "0123456789abcdef0123456789abcdef"
    responses.append(running.get("/health/live", headers={"X-Request-ID": given}))
    assert responses[-1].headers["x-request-id"] == given
    eventually(lambda: given in running.log)
    lines = [json.loads(line) for line in running.log.splitlines()]
    for response in responses:
        ours = [line for line in lines if line["request_id"] == response.headers["x-request-id"]]
        assert [line["logger"] for line in ours] == ["access"], ours
        assert ours[0]["status"] == response.status_code
        assert ours[0].keys() >= {"method", "path", "status", "seconds", "client", "time", "level"}


@every_server
def test_a_crash_is_logged_once_with_the_id_of_its_request_and_shown_to_nobody(service: Service) -> None:
    service.edit("app/health.py", 'return Health(status="ok")\n\n\n@router.get("/health/ready"', '1 / 0\n\n\n@router.get("/health/ready"')
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
    assert crashes[0]["request_id"] == access["request_id"] != "-"


@every_server
@pytest.mark.parametrize(("name", "value", "wanted"), [("PORT", "eighty", "integer"), ("LOG_LEVEL", "loud", "'DEBUG'")])
def test_a_wrong_setting_stops_the_start_with_one_line(service: Service, name: str, value: str, wanted: str) -> None:
    refuses_to_start(service, name, value, wanted)


def test_a_wrong_setting_of_the_owners_stops_the_start_with_one_line(service: Service) -> None:
    refuses_to_start(service, "LOANS_MAX_MONTHS", "0", "greater than or equal to 1")


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


def test_ready_turns_red_on_a_kept_connection_when_the_service_is_told_to_stop(service: Service) -> None:
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        worker = int(re.findall(r"Booting worker with pid: (\d+)", service.log)[-1])
        with httpx2.Client(base_url=service.url) as client:
            assert client.get("/health/ready").status_code == 200
            subprocess.run(["kill", str(worker)], check=True)
            response = client.get("/health/ready")
            deadline = time.monotonic() + 5
            while response.status_code == 200:
                assert time.monotonic() < deadline
                response = client.get("/health/ready")
        assert (response.status_code, response.json()) == (503, {"status": "draining"})


@pytest.mark.parametrize("service", SERVERS[:2], ids=lambda given: given["server"], indirect=True)
def test_a_request_on_its_way_when_the_service_stops_is_answered(service: Service) -> None:
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        assert service.process
        with (
            socket.create_connection(("127.0.0.1", service.port), timeout=10) as kept,
            socket.create_connection(("127.0.0.1", service.port), timeout=10) as fresh,
        ):
            assert ask(kept).startswith(b"HTTP/1.1 200")
            service.process.send_signal(signal.SIGTERM)
            eventually(lambda: "Shutting down" in service.log)
            for connection in (kept, fresh):
                answer = ask(connection)
                assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer
        assert service.process.wait(10) in (0, -signal.SIGTERM)  # of make, which passes the signal on


def test_listens_where_the_settings_say(service: Service) -> None:
    (service.folder / ".env").write_text(f"HOST=127.0.0.2\nPORT={service.port}\nWEB_CONCURRENCY=3\nENVIRONMENT=development\n")
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


def test_stops_with_status_0_and_answers_what_is_in_flight(service: Service) -> None:
    service.edit(
        "main.py",
        "app.include_router(loans)",
        "import asyncio\n@app.get('/slow')\nasync def slow() -> str:\n    await asyncio.sleep(1)\n    return 'done'\n",
    )
    with service.started("gunicorn", "main:app", "-c", "uvicorn.conf.py", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        assert service.process
        with ThreadPoolExecutor() as pool:
            asking = pool.submit(service.get, "/slow")
            eventually(lambda: connections(service.port) > 0)
            service.process.send_signal(signal.SIGTERM)
            assert asking.result(timeout=10).json() == "done"
        assert service.process.wait(10) == 0


def ask(connection: socket.socket) -> bytes:
    """Ask for the base route on an open connection; all that comes back."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while b'"ok"' not in answer and (more := connection.recv(65536)):
        answer += more
    return answer


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def connections(port: int) -> int:
    """Connections of clients that are open now."""
    wanted = f":{port:04X}"
    with open("/proc/net/tcp") as table:
        return sum(line.split()[2].endswith(wanted) and line.split()[3] == "01" for line in table)
