"""The logs, where a master forks, and where a client writes in them."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2
import pytest

from ..service import Service, clean_environment, eventually

pytestmark = pytest.mark.slow

SCRIPT = """
import logging.config, os, sys, threading
from serving import logs

logging.config.dictConfig(logs.config(development=False, level="INFO"))
logs.hold_while_forking()

def log():
    while True:
        logging.info("from a thread")

threading.Thread(target=log, daemon=True).start()
for _ in range(100):
    if os.fork() == 0:
        logging.info("from a child")
        os._exit(0)
    os.wait()
os._exit(0)
"""


def test_what_is_forked_while_a_thread_logs_can_log(service: Service) -> None:
    process = subprocess.Popen(
        [service.folder / ".venv/bin/python", "-c", SCRIPT],
        cwd=service.folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert output.count(b"from a child") == 100


@pytest.mark.parametrize("service", [{"server": "hypercorn"}], ids=["hypercorn"], indirect=True)
def test_a_method_of_http2_adds_nothing_to_its_line(service: Service) -> None:
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        with httpx2.Client(http1=False, http2=True, base_url=service.url) as client:
            answer = client.request('GE", "LEVEL": "CRITICAL", "X": "T', "/nothing")
        assert answer.status_code in (404, 405)
        eventually(lambda: answer.headers["x-request-id"] in service.log)
    (line,) = [json.loads(line) for line in service.log.splitlines() if answer.headers["x-request-id"] in line]
    assert "LEVEL" not in line and "CRITICAL" in line["method"]


def test_lines_of_several_workers_are_whole_in_a_pipe_that_is_full_and_come_again_after_nobody_read_it(
    service: Service, tmp_path: Path
) -> None:
    rounds, together = 20, 150
    pipe, errors = tmp_path / "pipe", tmp_path / "errors"
    os.mkfifo(pipe)

    def read(number: int) -> None:
        with pipe.open() as end:
            while number:
                number -= json.loads(next(end)).get("path") == "/"

    reader = threading.Thread(target=read, args=[rounds * together])
    reader.start()
    with pipe.open("wb") as output, errors.open("wb") as stderr:
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, 4096)  # full at once
        process = subprocess.Popen(
            ["make", "--silent", "run"],
            cwd=service.folder,
            env=clean_environment() | {"HOST": "127.0.0.1", "PORT": str(service.port), "WEB_CONCURRENCY": "3"},
            stdout=output,
            stderr=stderr,
            start_new_session=True,
        )
    with process:
        try:
            eventually(lambda: service.get("/health/ready").is_success, 30)
            with ExitStack() as stack:
                address = ("127.0.0.1", service.port)
                clients = [stack.enter_context(socket.create_connection(address, timeout=20)) for _ in range(together)]
                for _ in range(rounds):
                    for client in clients:
                        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    for client in clients:
                        assert client.recv(65536).startswith(b"HTTP/1.1 200")
            eventually(lambda: not reader.is_alive())
            for _ in range(50):
                assert service.get().is_success
            eventually(lambda: "Broken pipe" in errors.read_text())
            assert "Traceback" not in errors.read_text()
            assert errors.read_text().count("Broken pipe") <= 3
            reader = threading.Thread(target=read, args=[100])
            reader.start()
            eventually(lambda: service.get() and not reader.is_alive())
            process.terminate()
            process.wait(20)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
