"""A lifespan that hangs or raises; and a master, or a terminal, that is gone."""

import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pexpect  # type: ignore[import-untyped]
import pytest

from ..promises import SERVERS, promise
from ..service import Service, clean_environment, eventually
from . import probes
from .processes import master, workers
from .test_drain import ended

# Newer versions of Python warn of any fork beside threads; what pexpect's child does next is exec.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")]

SETTINGS = {"HOST": "127.0.0.1", "DRAIN_SECONDS": "1"}
TWO_WORKERS = SETTINGS | {"WEB_CONCURRENCY": "2"}
YIELD = "        yield State(settings=settings, draining=draining)\n"
HANG = "        print('it hangs', flush=True)\n        await __import__('asyncio').sleep(1000)\n"
WAIT = "import os, time\nwhile os.path.exists('wait'):\n    time.sleep(0.01)"
RAISE = "        raise RuntimeError('no goodbye')\n"

every_server = pytest.mark.parametrize("service", [{"server": name} for name in SERVERS], ids=SERVERS, indirect=True)


class Hanging(Service):
    """A service that is not ready while it starts, and will never be."""

    def _is_ready(self) -> bool:
        return "it hangs" in self.log


def nobody_listens(service: Service) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", service.port)) != 0


@promise("Drain")
@pytest.mark.parametrize("word", ["dev", "run"])
@pytest.mark.parametrize("when", ["start", "stop"])
def test_ctrl_c_ends_a_service_whose_lifespan_hangs(service: Service, word: str, when: str) -> None:
    service.edit("main.py", YIELD, HANG + YIELD if when == "start" else YIELD + HANG)
    if when == "start":
        service = Hanging(service.folder)
    with service.started(word, **TWO_WORKERS):
        assert service.process
        os.killpg(service.process.pid, signal.SIGINT)
        ended(service, 15)
        assert nobody_listens(service)


@pytest.mark.parametrize("service", [{"server": "granian"}], ids=["granian"], indirect=True)
def test_a_service_that_has_served_replaces_a_worker_that_dies_while_it_starts(service: Service) -> None:
    service.edit("main.py", "settings = load(Settings)", f"settings = load(Settings)\n{WAIT}")
    with service.started("run", **SETTINGS, WEB_CONCURRENCY="1"):
        wait = service.folder / "wait"
        wait.touch()
        for _ in range(2):
            (victim,) = workers(service)
            os.kill(victim, signal.SIGKILL)
            eventually(lambda victim=victim: {*workers(service)} - {victim}, 20, lambda: service.log)  # type: ignore[misc]
        wait.unlink()
        eventually(lambda: service.get().status_code == 200, 20, lambda: service.log)


@pytest.mark.parametrize("service", [{"server": "uvicorn"}], ids=["uvicorn"], indirect=True)
def test_a_worker_whose_lifespan_hangs_at_the_end_is_replaced(service: Service) -> None:
    service.edit("main.py", YIELD, YIELD + HANG)
    with service.started("run", **SETTINGS, WEB_CONCURRENCY="1"):
        (old,) = workers(service)
        os.kill(master(service), signal.SIGHUP)
        eventually(lambda: workers(service) and old not in workers(service), 20, lambda: service.log)
        assert service.get().status_code == 200


@promise("Restart")
def test_workers_whose_lifespan_raises_at_the_end_are_replaced(service: Service) -> None:
    service.edit("main.py", YIELD, YIELD + RAISE)
    with service.started("run", **TWO_WORKERS):
        eventually(lambda: len(workers(service)) == 2)
        old = set(workers(service))
        os.kill(master(service), signal.SIGHUP)
        eventually(lambda: not old & set(workers(service)) and len(workers(service)) == 2, 40, lambda: service.log)
        assert "no goodbye" in service.log
        assert service.get().status_code == 200
        os.kill(master(service), signal.SIGTERM)
        assert ended(service) == 0


def all_answer(service: Service) -> bool:
    return len({service.get("/pid").json() for _ in range(20)}) == 2


@every_server
def test_the_workers_of_a_master_that_was_killed_end_and_answer_what_they_have(service: Service) -> None:
    probes.add_to(service)
    with service.started("run", **TWO_WORKERS | {"DRAIN_SECONDS": "9"}), ThreadPoolExecutor() as pool:
        eventually(lambda: all_answer(service), 20, lambda: service.log)
        asking = pool.submit(service.get, "/slow?seconds=4")
        eventually(lambda: "slow began" in service.log)
        os.kill(master(service), signal.SIGKILL)
        eventually(lambda: nobody_listens(service), 10, lambda: service.log)
        assert asking.result().json() == "done"


@every_server
def test_what_was_started_for_development_has_its_terminal_and_ends_with_it(service: Service) -> None:
    service.edit("main.py", "app.include_router(loans)", "app.get('/breakpoint')(lambda: breakpoint())")
    environment = clean_environment() | {"PORT": str(service.port)}
    shell = pexpect.spawn(
        "sh",
        ["-c", "make dev; exit"],
        cwd=service.folder,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # `nohup make test` ignores it
    )
    try:
        eventually(lambda: service.get().is_success)
        with ThreadPoolExecutor() as pool:
            asking = pool.submit(service.get, "/breakpoint")
            shell.expect(r"\(Pdb\) ", 10)
            shell.sendline("continue")
            assert asking.result().status_code == 200
        shell.close()
        eventually(lambda: nobody_listens(service), 10)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
