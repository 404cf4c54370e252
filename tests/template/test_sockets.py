"""On a Unix socket, and on an inherited socket."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import httpx2
import pytest

from asgi_quickstart.options import document

from ..promises import promise
from ..service import Service, clean_environment, eventually
from . import probes
from .fronts import ELSEWHERE, FORGED, ROUTES, client, greeting, logged_client, nginx, redirected
from .processes import master

pytestmark = pytest.mark.slow


@promise("Proxies")
def test_behind_nginx_on_a_unix_socket_that_a_killed_service_has_left(service: Service, tmp_path: Path) -> None:
    service.edit("main.py", "app.include_router(loans)", ROUTES)
    with tempfile.TemporaryDirectory() as folder:  # the path of a Unix socket must be short
        path = Path(folder) / "socket"
        settings = {"UNIX_SOCKET": str(path), "WEB_CONCURRENCY": "1", "FORWARDED_ALLOW_IPS": "*"}
        url = service.url  # which is nginx
        with nginx(tmp_path / "nginx", service.port, f"unix:{path}"), client(url) as asking:
            with service.started("run", **settings):
                response = asking.get("/where")
                assert response.json()[2] == "unix" == logged_client(service, response)  # nobody is trusted
                assert service.process
                os.killpg(service.process.pid, signal.SIGKILL)
                service.process.wait(10)
            assert path.is_socket()
            with service.started("run", TRUSTED_PROXIES="unix", **settings):
                response = asking.get("/where", headers=FORGED)
                assert response.json() == [f"{url}/where", f"{url}/slash/", ELSEWHERE]
                assert logged_client(service, response) == ELSEWHERE
                assert redirected(asking) == f"{url}/slash/"
                assert greeting(url) == [f"{url.replace('http', 'ws', 1)}/echo", ELSEWHERE]


@promise("Drain")
def test_nobody_connects_to_a_unix_socket_of_a_service_that_stops(service: Service, tmp_path: Path) -> None:
    probes.add_to(service)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        path = Path(folder) / "socket"
        with (
            nginx(tmp_path / "nginx", service.port, f"unix:{path}"),
            service.started("run", UNIX_SOCKET=str(path), WEB_CONCURRENCY="1"),
        ):
            asking = pool.submit(service.get, "/slow?seconds=2")
            eventually(lambda: "slow began" in service.log)
            os.kill(master(service), signal.SIGTERM)
            eventually(lambda: not path.exists())
            assert not asking.done()
            assert asking.result().json() == "done"


@promise("Proxies")
def test_on_an_inherited_socket_a_restart_refuses_nobody(
    service: Service, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    server = request.node.callspec.params["service"]["server"]
    command = document()["servers"]["default"][server]["run"].split()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", service.port))
        listener.listen(100)
        stop = Event()
        with ThreadPoolExecutor(9) as pool:
            try:
                asking = [pool.submit(keep_asking, service.url, stop) for _ in range(8)]
                with activated(service, command, listener):
                    pass
                with client(service.url) as meanwhile:
                    waiting = pool.submit(meanwhile.get, "/")
                    eventually(lambda: queued(service.port) == 9)  # all of them have connected, and wait
                    with activated(service, command, listener):
                        assert waiting.result(20).status_code == 200
                        stop.set()
                        answers = [answer.result(20) for answer in asking]
            finally:
                stop.set()
    statuses = [status for each in answers for status, _ in each]
    assert set(statuses) == {"200"}
    longest = max(seconds for each in answers for _, seconds in each)
    record_property(
        "figure",
        f"0 of {len(statuses):,} requests lost while the service was stopped and started; the longest took {longest:.1f} s",
    )


@contextmanager
def activated(service: Service, command: list[str], listener: socket.socket) -> Iterator[None]:
    """The service by its real command, with the socket as systemd passes it, until it has answered; stopped with status 0."""
    with (service.folder.parent / f"{service.folder.name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec .venv/bin/"$@" 3<&{listener.fileno()}', "bash", *command],
            cwd=service.folder,
            env=clean_environment() | {"HOST": "127.0.0.1", "PORT": str(service.port), "WEB_CONCURRENCY": "2"},
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        eventually(
            lambda: process.poll() is not None or service.log.count('"access"') > 50, 12, message=lambda: service.log
        )
        assert process.poll() is None, service.log
        yield
    finally:
        process.terminate()
        assert process.wait(20) == 0


def keep_asking(url: str, stop: Event) -> list[tuple[str, float]]:
    """What came of each request, and after how many seconds, one connection each, without retries."""
    answers = []
    while not stop.is_set():
        start = time.monotonic()
        try:
            answer = str(httpx2.get(url, timeout=20, verify=False).status_code)
        except httpx2.TransportError as error:
            answer = repr(error)
        answers.append((answer, time.monotonic() - start))
    return answers


def queued(port: int) -> int:
    """Connections that nobody has accepted yet."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table if line.split()[1].endswith(f":{port:04X}")]
    return sum(int(row[4].partition(":")[2], 16) for row in rows if row[3] == "0A")
