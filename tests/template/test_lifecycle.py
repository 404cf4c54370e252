"""Starting, losing a worker, restarting: on the servers that have a master."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event

import httpx2
import pytest

from ..service import Service, clean_environment, eventually

pytestmark = pytest.mark.slow

both = pytest.mark.parametrize(
    "service", [{"server": "gunicorn"}, {"server": "uvicorn"}], ids=lambda given: given["server"], indirect=True
)
POST = {"amount": "1000", "rate": "5", "months": 12}


def master(service: Service) -> int:
    """The process that `make run` has started."""
    assert service.process
    pid = service.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def workers(service: Service) -> list[int]:
    """The children of the master that serve."""
    pid = master(service)
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if serves(child)]


def serves(pid: str) -> bool:
    """Not the helper process of multiprocessing, and not one that has just ended."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return bool(line) and "resource_tracker" not in line


def keep_asking(ask: Callable[[], httpx2.Response], stop: Event) -> tuple[int, list[str]]:
    """Ask until told to stop, without retries: how often, and what went wrong."""
    asked, wrong = 0, []
    while not stop.is_set():
        asked += 1
        try:
            if (status := ask().status_code) != 200:
                wrong.append(str(status))
        except httpx2.TransportError as error:
            wrong.append(repr(error))
    return asked, wrong


@both
def test_a_lifespan_that_raises_ends_the_process_with_a_status(service: Service) -> None:
    service.edit("main.py", "    with Draining()", "    raise RuntimeError('no database')\n    with Draining()")
    started = time.monotonic()
    result = subprocess.run(
        ["make", "--silent", "run"],
        cwd=service.folder,
        env=clean_environment() | {"PORT": str(service.port), "HOST": "127.0.0.1", "WEB_CONCURRENCY": "2"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert result.returncode != 0
    assert time.monotonic() - started < 5
    assert "no database" in result.stdout + result.stderr


@both
def test_two_services_of_one_user_do_not_disturb_each_other(service: Service, tmp_path: Path) -> None:
    other = Service(service.folder)
    other.folder = tmp_path / "other"
    subprocess.run(["cp", "-a", service.folder, other.folder], check=True)
    home = tmp_path / "home"
    home.mkdir()
    serve = {"HOST": "127.0.0.1", "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    with service.started("run", **serve), other.started("run", **serve):
        assert list(home.iterdir()) == []  # gunicorn's control socket would be there, one for both
        other_master = master(other)
        os.kill(other_master, signal.SIGTERM)
        eventually(lambda: not Path(f"/proc/{other_master}/cmdline").exists() or not other.process or other.process.poll() is not None)
        assert service.get().status_code == 200
        assert '"ERROR"' not in service.log



@both
def test_a_killed_worker_is_replaced_while_the_service_answers(service: Service) -> None:
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2"):
        eventually(lambda: len(workers(service)) == 2)
        before = workers(service)
        with ThreadPoolExecutor() as pool:
            stop = Event()
            asking = pool.submit(keep_asking, service.get, stop)
            os.kill(before[0], signal.SIGKILL)
            started = time.monotonic()
            eventually(lambda: len(set(workers(service)) - {before[0]}) == 2, 10)
            seconds = time.monotonic() - started
            eventually(lambda: service.log.count("Application startup complete") == 3)
            stop.set()
            asked, wrong = asking.result()
    print(f"replaced after {seconds:.2f} s, {len(wrong)} of {asked} lost")
    assert seconds < 2
    assert len(wrong) <= 1  # what the killed one had in hand


@both
def test_three_restarts_lose_no_request(service: Service) -> None:
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2"):
        eventually(lambda: len(workers(service)) == 2)
        stop = Event()
        with ExitStack() as clients, ThreadPoolExecutor(32) as pool:
            asking = []
            for number in range(32):
                client = clients.enter_context(httpx2.Client(base_url=service.url, timeout=20))
                once = {"Connection": "close"} if number % 2 else {}  # half of them on new connections, half on kept ones
                ask = partial(client.post, "/loans/quote", json=POST, headers=once)
                asking.append(pool.submit(keep_asking, ask, stop))
            try:
                for _ in range(3):
                    before = set(workers(service))
                    os.kill(master(service), signal.SIGHUP)
                    eventually(lambda before=before: not before & set(workers(service)), 40, lambda: service.log)  # type: ignore[misc]
                    eventually(lambda: len(workers(service)) == 2, 20, lambda: service.log)
            finally:
                stop.set()
            answers = [future.result() for future in asking]
    wrong = [error for _, errors in answers for error in errors]
    print(f"{sum(number for number, _ in answers)} requests, {len(wrong)} lost")
    assert wrong == []
