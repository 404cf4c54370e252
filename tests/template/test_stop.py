"""Who has connected when the service is told to stop, and who connects afterwards."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from ..promises import promise
from ..service import Service, clean_environment, eventually, free_port
from . import probes
from .fronts import caddy, client
from .posting import LOAN, answered, posting
from .processes import master
from .test_drain import ONE_WORKER, ask, ended, everything

pytestmark = pytest.mark.slow

CLIENTS = 50
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connected(service: Service, seconds: float = 10) -> socket.socket:
    """A new connection, which must come within `seconds`."""
    return socket.create_connection(("127.0.0.1", service.port), seconds)


@promise("Drain")
def test_who_has_connected_before_is_answered(service: Service) -> None:
    """They wait in the listening socket, because the only worker does nothing meanwhile."""
    probes.add_to(service)
    with service.started("run", **ONE_WORKER), ThreadPoolExecutor() as pool, ExitStack() as clients:
        blocking = pool.submit(service.get, "/block?seconds=1")
        eventually(lambda: "block began" in service.log)
        waiting = [clients.enter_context(connected(service)) for _ in range(CLIENTS)]
        for client in waiting[::2]:
            client.sendall(GET)
        os.kill(master(service), signal.SIGTERM)
        for client in waiting[1::2]:
            client.sendall(GET)
        for client in waiting:
            answer = everything(client)
            assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer.lower()
        assert blocking.result().json() == "done"


@pytest.mark.parametrize("may", ["", "setpriv --bounding-set=-net_admin "], ids=["as-it-is", "without-net-admin"])
@promise("Drain")
def test_nobody_connects_after_it(service: Service, may: str) -> None:
    """Who did could still be cut off. TCP tries again by itself, and finds the next process, or is refused."""
    probes.add_to(service)
    # Some kernels want that capability for a filter of the socket; only root has it.
    if may and os.geteuid() == 0:
        service.edit("Makefile", "\t.venv/bin/", f"\t{may}.venv/bin/")
    with service.started("run", **ONE_WORKER), ThreadPoolExecutor() as pool:
        asking = pool.submit(service.get, "/slow?seconds=3")
        eventually(lambda: "slow began" in service.log)
        with connected(service) as kept:
            os.kill(master(service), signal.SIGTERM)
            eventually(lambda: b"connection: close" in ask(kept).lower())
            refused = False
            while not refused:
                with pytest.raises((TimeoutError, ConnectionRefusedError)) as failed:
                    connected(service, 0.2).close()
                refused = failed.type is ConnectionRefusedError
        assert not asking.done()  # who would come now need not wait for it
        assert asking.result().json() == "done"
        assert ended(service) == 0


@pytest.mark.parametrize("service", [{"server": "granian"}], ids=["granian"], indirect=True)
def test_granian_stops_as_well_where_workers_are_not_forked(service: Service) -> None:
    """As on macOS, and from Python 3.14 on."""
    begin = 'if __name__ == "__main__":\n'
    service.edit(
        "serving/granian.py",
        begin,
        f"{begin}    import multiprocessing\n\n    multiprocessing.set_start_method('spawn')\n",
    )
    with service.started("run", **ONE_WORKER):
        os.kill(master(service), signal.SIGHUP)
        eventually(lambda: "Stopping the old worker-1" in service.log, 20, lambda: service.log)
        os.kill(master(service), signal.SIGTERM)
        assert ended(service) == 0
    assert "Traceback" not in service.log


LOOP_STANDS_STILL = """
import asyncio, os, signal
from main import app, lifespan

loop = asyncio.new_event_loop()
loop.run_until_complete(lifespan(app).__aenter__())
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("stopped")
"""


def test_ctrl_c_ends_a_test_that_has_the_lifespan_in_a_loop_that_stands_still(service: Service) -> None:
    command = [".venv/bin/python", "-c", LOOP_STANDS_STILL]
    result = subprocess.run(
        command, cwd=service.folder, env=clean_environment(), capture_output=True, text=True, timeout=30
    )
    assert "stopped\n" == result.stdout, result.stderr


@promise("Restart")
def test_behind_a_proxy_that_waits_a_stop_and_a_start_lose_no_request(
    service: Service, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    settings = {"HOST": "127.0.0.1", "WEB_CONCURRENCY": "2"}
    port = free_port()
    with ExitStack() as clients:
        with service.started("run", **settings):
            clients.enter_context(caddy(tmp_path / "caddy", port, f"127.0.0.1:{service.port}"))
            posted = clients.enter_context(posting(lambda _: f"https://localhost:{port}"))
        with service.started("run", **settings):
            answered(posted)
        with service.started("run", **settings):
            clients.close()
    record_property("figure", f"behind Caddy, stopped and started twice: {posted}")
    assert posted.lost == []


@promise("Restart")
def test_a_proxy_that_is_late_to_notice_uses_no_connection_that_the_service_has_closed(
    service: Service, tmp_path: Path
) -> None:
    """A busy machine may run the proxy only when the service has closed idle connections, and requests have come."""
    settings = {"HOST": "127.0.0.1", "WEB_CONCURRENCY": "1"}
    port = free_port()
    with ExitStack() as stack:
        with service.started("run", **settings):
            proxy = stack.enter_context(caddy(tmp_path / "caddy", port, f"127.0.0.1:{service.port}"))
            clients = [stack.enter_context(client(f"https://localhost:{port}")) for _ in range(20)]
            pool = stack.enter_context(ThreadPoolExecutor(len(clients)))
            assert [answer.status_code for answer in pool.map(post, clients)] == [200] * len(clients)
            proxy.send_signal(signal.SIGSTOP)
            stack.callback(proxy.send_signal, signal.SIGCONT)
        asking = [pool.submit(post, each) for each in clients]
        eventually(lambda: received(port) == len(clients))
        with service.started("run", **settings):
            proxy.send_signal(signal.SIGCONT)
            assert [each.result().status_code for each in asking] == [200] * len(clients)


def post(client: httpx2.Client) -> httpx2.Response:
    return client.post("/loans/quote", json=LOAN, timeout=30)


def received(port: int) -> int:
    """Connections with bytes that the proxy on this port has not read yet."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table if line.split()[1].endswith(f":{port:04X}")]
    return sum(row[3] == "01" and not row[4].endswith(":00000000") for row in rows)
