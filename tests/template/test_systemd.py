"""Deployed by systemd on a bare machine: installed and released by the service's own scripts, on a real systemd."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .. import made_history
from ..promises import SERVERS
from ..service import BIN, Service, clean_environment, eventually, write_service
from . import machine as machines
from .machine import Machine, commit
from .posting import posting
from .readme import commands

pytestmark = pytest.mark.slow

UNIT = "orders"
INSIDE = """
import os
import sys

def priority() -> str:
    try:
        return f"{os.nice(1)}"
    except PermissionError:
        return "kept"

@app.get("/inside")
async def inside() -> dict[str, str | int | list[str]]:
    places = ["/", "/etc", "/srv", os.getcwd(), "/dev/shm", "/tmp", "/var/lib/orders"]
    return {
        "edition": 1,
        "folder": os.getcwd(),
        "environment": sys.prefix,
        "priority": priority(),
        "writable": [place for place in places if os.access(place, os.W_OK)],
    }
"""
Record = Callable[[str, object], None]


def on(*servers: str) -> pytest.MarkDecorator:
    """Run the test with the service on these servers."""
    return pytest.mark.parametrize("deployed", servers, indirect=True, scope="module")


everywhere, once = on(*SERVERS), on("gunicorn")


@dataclass
class Deployed:
    """A service that was installed and released on the machine."""

    machine: Machine
    service: Service

    def release(self, *arguments: str, check: bool = True) -> str:
        """Run the service's own script, on what is committed; what it said on standard error."""
        command = " ".join([commands(self.service, "systemd")[1].removeprefix("sudo "), *arguments])
        return self.machine("sh", "-c", command, folder=self.service.folder, check=check).stderr

    @property
    def current(self) -> str:
        return Path(self.machine("readlink", f"/srv/{UNIT}/current").stdout.strip()).name

    def edit(self, file: str, old: str, new: str) -> None:
        self.service.edit(file, old, new)
        commit(self.machine, self.service)

    def inside(self) -> dict[str, str | int | list[str]]:
        answer: dict[str, str | int | list[str]] = self.service.get("/inside").json()
        return answer

    def process(self) -> str:
        return self.machine.property(f"{UNIT}.service", "MainPID")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machines.booted(tmp_path_factory.getbasetemp()) as machine:
        yield machine


@pytest.fixture(scope="module")
def deployed(
    machine: Machine, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """The service on one server, installed and released as its README says; removed again for the next one."""
    folder = tmp_path_factory.mktemp("systemd") / UNIT
    service = write_service(folder, name=UNIT, server=request.param, deploy=("systemd",), telemetry="full")
    (folder / ".venv").unlink()
    service.edit("main.py", "app.include_router(loans)", f"app.include_router(loans)\n{INSIDE}")
    service.edit("deploy/systemd/app.socket", "127.0.0.1:8000", f"127.0.0.1:{service.port}")
    service.edit("deploy/systemd/env", "HOST=", f"METRICS_PORT={service.metrics_port}\nWEB_CONCURRENCY=2\nHOST=")
    machine("make", "lock", folder=folder)
    deployed = Deployed(machine, service)
    commit(machine, service)
    install, _, journal = commands(service, "systemd")
    machine("sh", "-c", install.removeprefix("sudo "), folder=folder)
    deployed.release()
    assert "Started orders.service" in machine("sh", "-c", journal).stdout
    yield deployed
    machine("systemctl", "disable", "--now", f"{UNIT}.socket", f"{UNIT}.service")
    machine("rm", "-rf", f"/srv/{UNIT}", f"/etc/{UNIT}", f"/etc/systemd/system/{UNIT}.service.d")


@everywhere
def test_it_runs_confined_from_the_release_itself(deployed: Deployed) -> None:
    release = f"/srv/{UNIT}/releases/{deployed.current}"
    inside = deployed.inside()
    assert (inside["folder"], inside["environment"]) == (release, f"{release}/.venv")  # and not by way of `current`
    assert inside["writable"] == ["/dev/shm", "/tmp", "/var/lib/orders"]
    assert inside["priority"] == "kept"  # a forbidden call raises, and kills nothing
    status = deployed.machine("cat", f"/proc/{deployed.process()}/status").stdout
    assert int(re.findall(r"^Uid:\s+(\d+)", status, re.M)[0]) > 60_000  # a user that is gone when the service is
    assert set(re.findall(r"^Cap\w+:\s+(\w+)", status, re.M)) == {"0" * 16}
    assert re.findall(r"^(?:NoNewPrivs|Seccomp):\s+(\d)", status, re.M) == ["1", "2"]


@once
def test_systemd_finds_nothing_wrong_with_the_units_and_little_exposed(
    deployed: Deployed, record_property: Record
) -> None:
    verified = deployed.machine("systemd-analyze", "verify", f"{UNIT}.service", f"{UNIT}.socket")
    assert "" == verified.stdout + verified.stderr
    security = deployed.machine("systemd-analyze", "security", "--no-pager", f"{UNIT}.service").stdout
    (exposure,) = re.findall(r"Overall exposure level for .*: ([\d.]+)", security)
    record_property("figure", f"exposure {exposure}")
    assert float(exposure) <= 1.5, security


@everywhere
def test_systemd_waits_until_a_worker_is_ready(deployed: Deployed) -> None:
    slow = "        ready()"
    deployed.edit(
        "main.py", slow, f"        import asyncio; await asyncio.sleep(2); print('started', flush=True)\n{slow}"
    )
    deployed.release()
    said = deployed.machine.journal(f"{UNIT}.service").rpartition("Starting orders.service")[2]
    assert said.index("started\n") < said.index("Started orders.service"), said


@once
def test_once_released_it_starts_at_boot(deployed: Deployed) -> None:
    units = {f"{UNIT}.socket": "sockets.target", f"{UNIT}.service": "multi-user.target"}
    for unit, target in units.items():
        assert unit in deployed.machine.property(target, "Wants").split()


@everywhere
def test_a_new_release_loses_no_request(deployed: Deployed, record_property: Record) -> None:
    before, process = deployed.current, deployed.process()
    deployed.edit("main.py", '"edition": 1', '"edition": 2')
    with posting(lambda _: deployed.service.url) as posted:
        deployed.release()
        assert deployed.inside()["edition"] == 2
        deployed.release(before)
        assert deployed.inside()["edition"] == 1
        assert deployed.current == before
    record_property("figure", f"{posted}")
    assert process != deployed.process()
    assert posted.lost == []


@once
def test_a_release_that_does_not_start_is_left_for_the_one_before(deployed: Deployed) -> None:
    before = deployed.current
    deployed.edit("main.py", "settings = load(Settings)", "settings = load(Settings)\nraise SystemExit(3)")
    with posting(lambda _: deployed.service.url) as posted:
        said = deployed.release(check=False)
    assert "does not start: journalctl -u orders" in said
    assert deployed.current == before
    assert posted.lost == []
    deployed.edit("main.py", "settings = load(Settings)\nraise SystemExit(3)", "settings = load(Settings)")


def test_where_systemd_does_not_run_nothing_is_installed(tmp_path: Path) -> None:
    service = write_service(tmp_path / "service", name=UNIT, deploy=("systemd",))
    environment = clean_environment() | {"ROOT": f"{tmp_path}/root"}
    command = ["sh", "deploy/systemd/install"]
    result = subprocess.run(command, cwd=service.folder, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (1, "systemd is not running on this machine: nothing was installed\n")
    assert not (tmp_path / "root").exists()


def test_of_a_release_that_was_not_installed_nothing_is_left(tmp_path: Path) -> None:
    service = write_service(tmp_path / "service", name=UNIT, deploy=("systemd",))
    releases = tmp_path / f"root/srv/{UNIT}/releases"
    (releases / "before").mkdir(parents=True)
    (service.folder / ".venv").unlink()
    made_history.git(service.folder, "init", "--quiet")
    made_history.commit(service.folder)  # without a lock
    environment = clean_environment() | {"ROOT": f"{tmp_path}/root", "PATH": f"{BIN}:{os.environ['PATH']}"}
    command = ["sh", "deploy/systemd/release"]
    result = subprocess.run(command, cwd=service.folder, env=environment, capture_output=True, text=True)
    assert result.returncode != 0 and "uv.lock" in result.stderr, result.stderr
    assert ["before"] == [release.name for release in releases.iterdir()]


@once
def test_a_file_that_does_not_compile_is_let_pass_in_a_dependency_and_not_in_the_service(deployed: Deployed) -> None:
    compiles, own = "    python -m compileall -q -j 0 .venv", deployed.service.folder / "app/own.py"
    deployed.edit("deploy/systemd/release", compiles, f"    echo '(' > .venv/other.py\n{compiles}")
    deployed.release()
    before = deployed.current
    own.write_text("(")
    commit(deployed.machine, deployed.service)
    deployed.release(check=False)
    assert deployed.current == before
    own.unlink()
    deployed.edit("deploy/systemd/release", f"    echo '(' > .venv/other.py\n{compiles}", compiles)


@once
def test_what_it_needs_may_be_away_for_a_while_when_it_starts(deployed: Deployed) -> None:
    """Also on a machine where it fails so quickly that systemd's default limit, some starts in 10 seconds, is reached."""
    machine, unit, away = deployed.machine, f"{UNIT}.service", f"/srv/{UNIT}/away"
    load = "settings = load(Settings)"
    deployed.edit("main.py", load, f"{load}\nimport os; assert not os.path.exists({away!r})")
    machine.write(f"/etc/systemd/system/{unit}.d/limit.conf", "[Unit]\nStartLimitBurst=2\n")
    machine("systemctl", "daemon-reload")
    deployed.release()
    failed = machine.journal(unit).count("Failed to start orders.service")
    with posting(lambda _: deployed.service.url) as posted:
        machine("touch", away)
        assert machine("systemctl", "restart", UNIT, check=False).returncode == 1
        eventually(lambda: machine.journal(unit).count("Failed to start orders.service") >= failed + 5, 60)
        machine("rm", away)
    assert posted.lost == []


@once
def test_an_unknown_release_is_refused_with_one_line(deployed: Deployed) -> None:
    result = deployed.machine("sh", "deploy/systemd/release", "old", folder=deployed.service.folder, check=False)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"/srv/{UNIT}/releases has no old: it has ")
    assert deployed.current in result.stderr


@once
def test_a_secret_is_a_file_that_only_root_can_read(deployed: Deployed) -> None:
    machine, file = deployed.machine, f"/etc/{UNIT}/secrets/loans_max_months"
    machine.write(
        f"/etc/systemd/system/{UNIT}.service.d/secrets.conf", f"[Service]\nLoadCredential=loans_max_months:{file}\n"
    )
    machine("systemctl", "daemon-reload")
    refused = machine("systemctl", "restart", UNIT, check=False)
    assert refused.returncode == 1
    assert machine.property(f"{UNIT}.service", "ExecMainStatus") == "243"  # the credentials
    machine.write(file, "12\n")
    machine("chmod", "600", file)
    machine("systemctl", "restart", UNIT)
    answer = deployed.service.get("/loans/schedule?amount=1000&rate=5&months=13")
    assert answer.json() == {"detail": "months: 13 is more than 12, the longest loan on offer"}


@once
def test_a_wrong_setting_is_named_and_once_it_is_right_the_service_starts(deployed: Deployed) -> None:
    machine, file = deployed.machine, f"/etc/{UNIT}/env"
    settings = machine("cat", file).stdout
    machine.write(file, settings + "DRAIN_SECONDS=soon\n")
    assert machine("systemctl", "restart", UNIT, check=False).returncode == 1
    assert "\nDRAIN_SECONDS: Input should be a valid integer" in machine.journal(f"{UNIT}.service")
    machine.write(file, settings)
    eventually(lambda: machine.property(f"{UNIT}.service", "ActiveState") == "active")


@once
def test_a_service_that_dies_is_started_again(deployed: Deployed) -> None:
    process = deployed.process()
    deployed.machine("kill", "-KILL", process)
    eventually(lambda: deployed.process() not in ("0", process))
    assert deployed.service.get().json() == {"status": "ok"}
