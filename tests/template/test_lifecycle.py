"""Starting, restarting, losing a worker, a worker that blocks, workers that are replaced by and by."""

import os
import re
import resource
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from threading import Event

import httpx2
import pytest

from ..pace import slowness
from ..promises import promise
from ..service import Service, clean_environment, eventually
from . import probes
from .processes import master, workers

pytestmark = pytest.mark.slow

Record = Callable[[str, object], None]
POST = {"amount": "1000", "rate": "5", "months": 12}
BROKEN = ("settings = load(Settings)", "settings = load(Settings)\nraise RuntimeError('by the test')")
DEATHS = 3

on_granian = pytest.mark.parametrize("service", [{"server": "granian"}], ids=["granian"], indirect=True)


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


@promise("Start")
@pytest.mark.alone
def test_a_lifespan_that_raises_ends_the_process_with_a_status(service: Service, record_property: Record) -> None:
    service.edit("main.py", "    with draining,", "    raise RuntimeError('no database')\n    with draining,")
    started = time.monotonic()
    ended = run(service, WEB_CONCURRENCY="2")
    seconds = time.monotonic() - started
    record_property("figure", f"a start-up that raises: ended after {seconds:.1f} s")
    assert ended.returncode != 0
    assert seconds < 5 * slowness()
    assert "RuntimeError: no database" in ended.stdout


def run(service: Service, **settings: str) -> subprocess.CompletedProcess[str]:
    """`make run`, which must end by itself."""
    return subprocess.run(
        ["make", "--silent", "run"],
        cwd=service.folder,
        env=clean_environment() | {"PORT": str(service.port), "HOST": "127.0.0.1"} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
    )


@promise("Start")
def test_code_that_cannot_be_loaded_ends_the_process_with_one_traceback(service: Service) -> None:
    service.edit("main.py", *BROKEN)
    ended = run(service, WEB_CONCURRENCY="1")
    assert ended.stdout.count("RuntimeError: by the test") == 1
    assert ended.stdout.endswith("Error 3\n"), ended.stdout


@on_granian
def test_a_worker_that_dies_while_it_starts_ends_a_service_that_has_no_other(service: Service) -> None:
    """As granian's does where it may start no more threads."""
    service.edit("main.py", BROKEN[0], f"{BROKEN[0]}\n__import__('os').abort()")
    ended = run(service, WEB_CONCURRENCY="2")
    assert ended.stdout.endswith("Error 3\n"), ended.stdout
    assert "Respawning" not in ended.stdout


@promise("Start")
def test_a_wrong_setting_that_workers_alone_read_ends_the_process(service: Service) -> None:
    ended = run(service, LOANS_MAX_MONTHS="0")
    assert "LOANS_MAX_MONTHS: Input should" in ended.stdout
    assert ended.stdout.endswith("Error 3\n"), ended.stdout


@promise("Start")
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
        eventually(
            lambda: (
                not Path(f"/proc/{other_master}/cmdline").exists()
                or not other.process
                or other.process.poll() is not None
            )
        )
        assert service.get().status_code == 200
        assert '"ERROR"' not in service.log


@promise("Worker death")
@pytest.mark.alone
def test_a_killed_worker_is_replaced_while_the_service_answers(service: Service, record_property: Record) -> None:
    probes.add_to(service)
    seconds = []
    stop = Event()
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2"), ThreadPoolExecutor() as pool:
        asking = pool.submit(keep_asking, service.get, stop)
        try:
            for _ in range(DEATHS):  # in a row: no server may take it for a loop of crashes
                eventually(lambda: len(workers(service)) == 2, 20, lambda: service.log)
                before = set(workers(service))
                victim = service.get("/pid").json()
                os.kill(victim, signal.SIGKILL)
                started = time.monotonic()
                eventually(lambda before=before: pid_of(service) not in {None, *before}, 20, lambda: service.log)  # type: ignore[misc]
                seconds.append(time.monotonic() - started)
        finally:
            stop.set()
        asked, wrong = asking.result()
    median = statistics.median(seconds)
    record_property(
        "figure",
        f"replacement answers after {median:.1f} s, {len(wrong)} of {asked} requests lost by {DEATHS} deaths",
    )
    assert median < 2 * slowness()
    assert len(wrong) <= DEATHS  # what each had in hand


def pid_of(service: Service) -> int | None:
    """Which worker answers; None if it was killed while it did."""
    try:
        pid: int = service.get("/pid").json()
    except httpx2.TransportError:
        return None
    return pid


@pytest.mark.parametrize("service", [{"server": "uvicorn"}], ids=["uvicorn"], indirect=True)
def test_a_worker_that_dies_while_the_master_waits_for_its_answer_is_replaced_at_once(service: Service) -> None:
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2"):
        eventually(lambda: len(workers(service)) == 2)
        victim = workers(service)[0]
        state = Path(f"/proc/{master(service)}/wchan")
        eventually(lambda: "futex" in state.read_text())  # it sleeps between two rounds of questions
        os.kill(victim, signal.SIGSTOP)
        # It has asked the one that stands still, and waits.
        eventually(lambda: all("poll" in state.read_text() for _ in range(1000)))
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(set(workers(service)) - {victim}) == 2, 5)


@on_granian
def test_a_worker_that_is_told_to_stop_while_its_loop_stands_still_stops(service: Service) -> None:
    told = (
        "result = super().run_until_complete(future)\n"  # first of the start-up of the lifespan
        "        os.kill(os.getpid(), signal.SIGTERM)\n        return result\n"
    )
    service.edit("serving/granian_loop.py", "return super().run_until_complete(future)\n", told)
    service.ready = "/health/live"  # it drains from the first moment on
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        # It has ended, and the next one is in its place.
        eventually(lambda: service.log.count("Started worker-1") > 1, 10, lambda: service.log)


@promise("Restart")
def test_three_restarts_lose_no_request(service: Service, record_property: Record) -> None:
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2"):
        eventually(lambda: len(workers(service)) == 2)
        stop = Event()
        with ExitStack() as clients, ThreadPoolExecutor(32) as pool:
            asking = []
            for number in range(32):
                client = clients.enter_context(httpx2.Client(base_url=service.url, timeout=20, verify=False))
                once = (
                    {"Connection": "close"} if number % 2 else {}
                )  # half of them on new connections, half on kept ones
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
    record_property("figure", f"{len(wrong)} of {sum(number for number, _ in answers):,} requests lost")
    assert wrong == []


@promise("Blocked loop")
@pytest.mark.alone
def test_a_worker_that_blocks_is_replaced_and_its_stack_is_logged(service: Service, record_property: Record) -> None:
    probes.add_to(service)
    with (
        service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2", WORKER_TIMEOUT="2"),
        ThreadPoolExecutor() as pool,
    ):
        eventually(lambda: len(workers(service)) == 2)
        before = set(workers(service))
        started = time.monotonic()
        blocked = pool.submit(service.get, "/block?seconds=60")
        eventually(lambda: cut_off(blocked), 15, lambda: service.log)
        seconds = time.monotonic() - started
        eventually(lambda: len(set(workers(service)) - before) == 1 and service.get("/pid").json() not in before)
        assert service.get().status_code == 200
    record_property("figure", f"ended {seconds:.1f} s after it blocked, with a WORKER_TIMEOUT of 2 s")
    assert 1 < seconds < 4
    assert re.search(r'File ".*main.py", line \d+ in block', service.log)


def cut_off(asking: Future[httpx2.Response]) -> bool:
    """Whether the client's connection was closed without an answer."""
    return asking.done() and isinstance(asking.exception(), httpx2.TransportError)


@promise("Recycling")
def test_recycling_keeps_the_number_of_workers_and_lets_long_requests_end(service: Service) -> None:
    probes.add_to(service)
    with (
        service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="3", MAX_REQUESTS="20"),
        ThreadPoolExecutor() as pool,
    ):
        eventually(lambda: len(workers(service)) == 3)
        first = set(workers(service))
        long = [pool.submit(service.get, "/slow?seconds=4") for _ in range(6)]
        deadline = time.monotonic() + 60
        while not all(future.done() for future in long) or first & set(workers(service)):
            assert time.monotonic() < deadline, service.log
            with suppress(httpx2.TransportError):  # how few are lost, another test says
                service.get("/")
        assert [future.result().status_code for future in long] == [200] * 6
        eventually(lambda: len(workers(service)) == 3, 20, lambda: service.log)


def replaced_while_answering(service: Service, pool: ThreadPoolExecutor, seconds: int) -> Future[httpx2.Response]:
    """A request to the only worker, which has been told since to stop."""
    long = pool.submit(service.get, f"/slow?seconds={seconds}")
    eventually(lambda: "slow began" in service.log)
    old = workers(service)
    for _ in range(11):
        service.get()
    eventually(lambda: pid_of(service) not in {None, *old}, 20, lambda: service.log)
    return long


def test_a_replaced_worker_may_answer_longer_than_gunicorn_waits_for_a_sign_of_life(service: Service) -> None:
    probes.add_to(service)
    with (
        service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1", MAX_REQUESTS="10", WORKER_TIMEOUT="1"),
        ThreadPoolExecutor() as pool,
    ):
        assert replaced_while_answering(service, pool, 9).result().json() == "done"


@promise("Recycling")
def test_the_end_of_the_service_does_not_cut_what_a_replaced_worker_answers(service: Service) -> None:
    probes.add_to(service)
    with (
        service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1", MAX_REQUESTS="10"),
        ThreadPoolExecutor() as pool,
    ):
        long = replaced_while_answering(service, pool, 6)
        replaced = time.monotonic()
        eventually(lambda: time.monotonic() - replaced > 2)  # what comes within a second is one signal
        os.kill(master(service), signal.SIGTERM)
        assert long.result().json() == "done"
        assert service.process and service.process.wait(20) == 0
    assert "Error while closing socket" not in service.log


@promise("Restart")
def test_workers_stay_when_those_that_should_replace_them_cannot_start_and_are_replaced_once_if_often_told(
    service: Service,
) -> None:
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        old = set(workers(service))
        (service.folder / ".env").write_text("DRAIN_SECONDS=long\n")
        os.kill(master(service), signal.SIGHUP)
        eventually(lambda: "DRAIN_SECONDS: " in service.log and set(workers(service)) == old, 20, lambda: service.log)
        assert service.get().status_code == 200
        (service.folder / ".env").write_text("DRAIN_SECONDS=2\n")
        service.edit("main.py", *BROKEN)
        os.kill(master(service), signal.SIGHUP)
        eventually(lambda: "by the test" in service.log and set(workers(service)) == old, 20, lambda: service.log)
        assert service.get().status_code == 200
        service.edit("main.py", *reversed(BROKEN))
        for _ in range(20):  # as if as many workers were due at once: they are replaced together
            os.kill(master(service), signal.SIGHUP)
            service.get()
        old = set(workers(service))
        assert len(old) < 6
        eventually(lambda: not old & set(workers(service)), 20, lambda: service.log)
        assert service.get().status_code == 200
    assert service.log.count("Received SIGHUP") < 8


@promise("Recycling")
@pytest.mark.alone
def test_the_new_worker_is_ready_before_the_old_one_is_told_to_stop(service: Service) -> None:
    seconds = 6 if (service.folder / "serving/granian.py").exists() else 2  # its own master waits for 3.5
    sleep = f"    import asyncio\n\n    await asyncio.sleep({seconds})\n"
    service.edit("main.py", "    with draining,", f"{sleep}    with draining,")
    probes.add_to(service)
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1", MAX_REQUESTS="20"):
        old, longest = workers(service), 0.0
        deadline = time.monotonic() + 20
        pid: int | None = old[0]
        while pid in {None, *old}:
            started = time.monotonic()
            assert started < deadline, service.log
            pid = pid_of(service)
            longest = max(longest, time.monotonic() - started)
    assert longest < slowness()


@promise("Limits")
def test_idle_connections_keep_nobody_from_being_answered(service: Service) -> None:
    """Also where a process may open 1,024 files at first, as in many containers."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, most))
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"), ExitStack() as idle:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # of the test itself
        for _ in range(1100):
            idle.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=10))
        assert service.get("/health/live").status_code == 200


@on_granian
def test_a_service_that_replaces_its_workers_can_be_stopped(service: Service) -> None:
    """Also if one of them has just died."""
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="4"):
        eventually(lambda: len(workers(service)) == 4)
        last = workers(service)[-1]
        os.kill(master(service), signal.SIGHUP)
        eventually(lambda: "Respawning worker-1" in service.log)
        os.kill(last, signal.SIGKILL)
        eventually(lambda: "Unexpected exit" in service.log)
        os.kill(master(service), signal.SIGTERM)
        assert service.process and service.process.wait(20) == 0
    assert "Respawning worker-3" not in service.log


@promise("Recycling")
def test_workers_are_replaced_without_an_error_to_anyone(service: Service, record_property: Record) -> None:
    probes.add_to(service)
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2", MAX_REQUESTS="300"):
        eventually(lambda: len(workers(service)) == 2)
        before = set(workers(service))
        stop = Event()
        with (
            ThreadPoolExecutor() as pool,
            httpx2.Client(base_url=service.url, timeout=20, verify=False) as client,
            client.stream("GET", "/events") as events,
        ):
            lines = events.iter_lines()
            assert next(lines) == "data: 1"
            asking = pool.submit(keep_asking, partial(client.get, "/", headers={"Connection": "close"}), stop)
            try:
                assert set(lines) <= {"", ": ping"}  # until the regular end: a connection that is cut raises
                eventually(lambda: not before & set(workers(service)), 40, lambda: service.log)
            finally:
                stop.set()
            asked, wrong = asking.result()
    record_property("figure", f"both workers replaced, {len(wrong)} of {asked:,} requests lost")
    assert wrong == []
