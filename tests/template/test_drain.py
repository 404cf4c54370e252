"""Draining: what a client sees when the service is told to stop."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ..promises import SERVERS, promise
from ..service import Service, eventually
from . import probes
from .processes import master, workers

pytestmark = pytest.mark.slow

ONE_WORKER = {"HOST": "127.0.0.1", "WEB_CONCURRENCY": "1"}
Record = Callable[[str, object], None]


def stop(service: Service) -> float:
    """Tell the master to stop; when that was."""
    os.kill(master(service), signal.SIGTERM)
    return time.monotonic()


def ended(service: Service, seconds: float = 20) -> int:
    """The status with which `make run` ends."""
    assert service.process
    return service.process.wait(seconds)


def ask(connection: socket.socket, path: str = "/health/ready") -> bytes:
    """The answer's head and body, on an open connection."""
    connection.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
    answer = b""
    while b"}" not in answer and (more := connection.recv(65536)):
        answer += more
    return answer


def everything(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    answer = b""
    while more := connection.recv(65536):
        answer += more
    return answer


@promise("Drain")
def test_readiness_is_red_on_a_kept_connection_which_is_then_closed(service: Service, record_property: Record) -> None:
    probes.add_to(service)
    with service.started("run", **ONE_WORKER), ThreadPoolExecutor() as pool:
        address = ("127.0.0.1", service.port)
        with (
            socket.create_connection(address, timeout=10) as busy,
            socket.create_connection(address, timeout=10) as kept,
            socket.create_connection(address, timeout=10) as fresh,
        ):
            assert ask(kept).startswith(b"HTTP/1.1 200")
            in_flight = pool.submit(service.get, "/slow?seconds=2")
            eventually(lambda: "slow began" in service.log)
            started = stop(service)
            while b"\r\nconnection: close\r\n" not in ask(busy).lower():  # the signal has a way to go
                assert time.monotonic() - started < 1, service.log
            seconds = time.monotonic() - started
            eventually(lambda: time.monotonic() > started + 0.3)  # now the server has acted on it too
            answers = [ask(kept), ask(fresh)]
        for answer in answers:
            assert answer.startswith(b"HTTP/1.1 503") and b'{"status":"draining"}' in answer, answer
            assert b"\r\nconnection: close\r\n" in answer.lower()
        record_property("figure", f"readiness red after {seconds:.2f} s")
        assert in_flight.result(10).json() == "done"
        assert ended(service) == 0


@promise("Drain")
def test_200_requests_in_flight_are_answered(service: Service, record_property: Record) -> None:
    probes.add_to(service)
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2"), ExitStack() as clients:
        asked = []
        for _ in range(200):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=20))
            client.sendall(b"GET /slow?seconds=3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            asked.append(client)
        eventually(lambda: service.log.count("slow began") == 200)
        started = stop(service)
        answers = [everything(client) for client in asked]
        assert ended(service) == 0
        seconds = time.monotonic() - started
    lost = [answer for answer in answers if not answer.startswith(b"HTTP/1.1 200") or b"done" not in answer]
    record_property("figure", f"200 requests in flight, {len(lost)} lost, stopped after {seconds:.1f} s")
    assert lost == []


@promise("Drain")
def test_open_streams_end_politely_and_at_once(service: Service, record_property: Record) -> None:
    probes.add_to(service)
    with service.started("run", **ONE_WORKER), ThreadPoolExecutor() as pool:
        sockets = f"ws://127.0.0.1:{service.port}"
        with (
            connect(f"{sockets}/echo") as echo,
            connect(f"{sockets}/ticks") as ticks,
            httpx2.stream("GET", f"{service.url}/events", timeout=20) as events,
        ):
            echo.send("hello")
            assert (echo.recv(5), ticks.recv(5)) == ("hello", "tick")
            lines = events.iter_lines()
            assert next(lines) == "data: 1"
            poll = pool.submit(service.get, "/poll")
            eventually(lambda: "poll began" in service.log)
            started = stop(service)
            assert list(lines) == [""]  # the regular end: a connection that is cut raises
            assert poll.result(5).json() == "nothing new"
            for websocket in (echo, ticks):
                with pytest.raises(ConnectionClosed) as closed:
                    websocket.recv(5)
                assert closed.value.rcvd and closed.value.rcvd.code == 1012
        assert ended(service) == 0
        seconds = time.monotonic() - started
    record_property("figure", f"streams closed, stopped after {seconds:.1f} s")
    assert seconds < 3
    assert {"events ended", "left with 1012", "ticks ended"} <= set(service.log.splitlines())
    assert "Traceback" not in service.log


def test_a_poll_that_is_over_and_cleans_up_keeps_no_stream_open(service: Service) -> None:
    probes.add_to(service)
    with service.started("run", **ONE_WORKER), ThreadPoolExecutor() as pool:
        with httpx2.stream("GET", f"{service.url}/events", timeout=20) as events:
            lines = events.iter_lines()
            assert next(lines) == "data: 1"
            poll = pool.submit(service.get, "/late")
            eventually(lambda: "late began" in service.log)
            stop(service)
            assert list(lines) == [""]
        assert not poll.done()
        assert poll.result(5).json() == "late"
        assert ended(service) == 0
    assert "Traceback" not in service.log


@promise("Drain")
def test_sigint_to_the_master_alone_drains_too(service: Service) -> None:
    probes.add_to(service)
    with service.started("run", **ONE_WORKER), ThreadPoolExecutor() as pool:
        asking = pool.submit(service.get, "/slow?seconds=2")
        eventually(lambda: "slow began" in service.log)
        os.kill(master(service), signal.SIGINT)
        assert asking.result().json() == "done"
        assert ended(service) == 0


@promise("Drain")
def test_the_lifespan_shuts_down(service: Service) -> None:
    service.edit(
        "main.py",
        "yield State(settings=settings, draining=draining)",
        "yield State(settings=settings, draining=draining)\n        print('closed the pool')",
    )
    with service.started("run", **ONE_WORKER):
        stop(service)
        assert ended(service) == 0
    assert "closed the pool" in service.log


@promise("Drain")
def test_signals_at_the_same_moment_are_one(service: Service) -> None:
    probes.add_to(service)
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2"), ThreadPoolExecutor() as pool:
        asking = pool.submit(service.get, "/slow?seconds=2")
        eventually(lambda: "slow began" in service.log)
        everyone = [master(service), *workers(service)]
        # As systemd and a terminal send it to every process; here they interrupt their handlers too.
        for pid in everyone * 50:
            with suppress(ProcessLookupError):  # a worker that had nothing to do has ended already
                os.kill(pid, signal.SIGTERM)
        assert asking.result().json() == "done"
        assert ended(service) == 0
    assert "Traceback" not in service.log


@promise("Drain")
@pytest.mark.parametrize("how", ["deadline", "second signal"])
def test_the_deadline_or_a_second_signal_ends_what_takes_too_long(
    service: Service, how: str, record_property: Record
) -> None:
    probes.add_to(service)
    drain_seconds = 2 if how == "deadline" else 60
    with service.started("run", **ONE_WORKER, DRAIN_SECONDS=str(drain_seconds)), ThreadPoolExecutor() as pool:
        asking = pool.submit(service.get, "/slow?seconds=9")
        eventually(lambda: "slow began" in service.log)
        started = stop(service)
        if how == "second signal":
            eventually(lambda: time.monotonic() - started > 1.5)
            stop(service)
        assert asking.result().status_code == 503
        ended(service)
        seconds = time.monotonic() - started
    record_property("figure", f"{how}: stopped after {seconds:.1f} s")
    assert seconds < 5


@pytest.mark.parametrize("service", [{"server": server} for server in SERVERS], indirect=True, ids=str)
def test_a_request_that_asks_the_service_itself_in_process_is_still_one_that_drains(service: Service) -> None:
    probes.add_to(service)
    main = service.folder / "main.py"
    main.write_text(main.read_text() + BATCH)
    with (
        service.started("run", **ONE_WORKER, DRAIN_SECONDS="1", ALLOWED_HOSTS="127.0.0.1"),
        ThreadPoolExecutor() as pool,
    ):
        answer = service.get("/batch?seconds=0")
        assert answer.json() == ["done", "done"]
        asking = pool.submit(service.get, "/batch?seconds=9")
        eventually(lambda: service.log.count("asked itself") == 2)
        stop(service)
        assert asking.result().status_code == 503
        assert ended(service) == 0
    assert "Traceback" not in service.log
    lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    named = [line for line in lines if line["request_id"] == answer.headers["x-request-id"]]
    asked = ("httpx2", 'HTTP Request: GET http://itself/slow?seconds=0 "HTTP/1.1 200 OK"')
    wanted = [asked, asked, ("root", "asked itself"), ("access", "GET /batch 200")]
    assert [(line["logger"], line["message"]) for line in named] == wanted


BATCH = """
import httpx2
import logging


@app.get("/batch")
async def batch(seconds: float) -> list[str]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://itself") as client:
        answers = [await client.get("/slow?seconds=0") for _ in range(2)]
    logging.warning("asked itself")
    await asyncio.sleep(seconds)
    return [answer.json() for answer in answers]
"""
