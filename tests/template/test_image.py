"""The images, each manager's on each base: built, run as production confines them, asked, stopped, looked into."""

import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

from .. import containers
from ..pace import slowness
from ..service import eventually
from .images import BASES, MANAGERS, PLANTED, Images
from .processes import children

pytestmark = pytest.mark.slow

EVERY = [(manager, base) for manager in MANAGERS for base in BASES]
every = pytest.mark.parametrize(("manager", "base"), EVERY, ids=["-".join(one) for one in EVERY])
OTHERS = [("uvicorn", "none"), ("granian", "none"), ("hypercorn", "none"), ("gunicorn", "full"), ("granian", "full")]


@every
def test_answers_over_http_a_stream_and_a_websocket_and_drains(
    images_of_this_run: Images, manager: str, base: str
) -> None:
    answers_and_drains(images_of_this_run(manager, base))


@pytest.mark.parametrize(("server", "telemetry"), OTHERS)
def test_so_does_every_other_server(images_of_this_run: Images, server: str, telemetry: str) -> None:
    """And leaves no orphan unreaped, with an init process where the README says so."""
    choices = {"server": server, "telemetry": telemetry}
    readme = (images_of_this_run.service("uv", "distroless", **choices).folder / "README.md").read_text()
    (line,) = re.findall(r"^    docker run (.*)", readme, re.M)
    options = [option for option in line.split() if option == "--init"]
    with answering(images_of_this_run("uv", "distroless", **choices), *options) as container:
        first = int(container.inspect()["State"]["Pid"])
        before = children(first)
        containers.podman("exec", container.name, "python", "-c", "import os; os.fork()")
        eventually(lambda: children(first) == before)
        if telemetry == "full":
            metrics = httpx2.get(f"http://127.0.0.1:{container.metrics_port}/metrics").text
            assert 'http_requests_total{method="GET",route="/loans/schedule",status="200"} 1.0' in metrics
        drains(container)


def answers_and_drains(image: str) -> None:
    with answering(image) as container:
        drains(container)


@contextmanager
def answering(image: str, *options: str) -> Iterator[containers.Container]:
    with containers.run(image, *options, WEB_CONCURRENCY="2") as container:
        assert container.get().json() == {"status": "ok"}
        with httpx2.stream("GET", f"{container.url}/loans/schedule?amount=1000&rate=5&months=12") as stream:
            assert len(list(stream.iter_lines())) == 12
        with httpx2.stream("GET", f"{container.url}/events", timeout=20) as events:
            assert next(events.iter_lines()) == "data: 1"
        with connect(f"ws://127.0.0.1:{container.port}/echo") as websocket:
            websocket.send("hello")
            assert websocket.recv(5) == "hello"
        yield container


def drains(container: containers.Container) -> None:
    with ThreadPoolExecutor() as pool:
        in_flight = pool.submit(container.get, "/slow?seconds=2")
        eventually(lambda: "slow began" in container.log)
        assert container.stop() == 0
        assert in_flight.result(10).json() == "done"
    assert "Traceback" not in container.log and "Read-only" not in container.log


@every
def test_runs_as_nobody_without_capabilities_and_can_write_nowhere(
    images_of_this_run: Images, manager: str, base: str
) -> None:
    with containers.run(images_of_this_run(manager, base), WEB_CONCURRENCY="1") as container:
        pid = int(container.inspect()["State"]["Pid"])
        status = dict(
            line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
        )
        assert status["Uid"].split() == ["65532"] * 4
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"
        program = (
            "import os\nfor folder, _, _ in os.walk('/'):\n"
            "    if not folder.startswith(('/proc', '/sys', '/dev')):\n"
            "        try: open(folder + '/x', 'w')\n        except OSError: continue\n        print(folder)"
        )
        assert containers.podman("exec", container.name, "python", "-c", program) == ""


@contextmanager
def files_of(image: str) -> Iterator[Path]:
    """The image's files, as a folder."""
    yield Path(containers.podman("image", "mount", image).strip())
    containers.podman("image", "unmount", image)


@every
def test_has_what_runs_the_service_and_nothing_else(images_of_this_run: Images, manager: str, base: str) -> None:
    with files_of(images_of_this_run(manager, base)) as root:
        assert sorted(os.listdir(root / "srv")) == ["__pycache__", "app", "main.py", "serving", "uvicorn.conf.py"]
        packages = root / "opt/venv/lib/python3.13/site-packages"
        installed = {re.split(r"-\d", name)[0].lower() for name in os.listdir(packages) if name.endswith(".dist-info")}
        assert {"fastapi", "gunicorn", "uvicorn", "uvloop"} <= installed
        assert not installed & {"pip", "setuptools", "pytest", "mypy", "ruff", "httpx2", "watchfiles", *MANAGERS}
        folders = ("usr/bin", "usr/sbin", "usr/local/bin", "opt/venv/bin")
        programs = {path.name for folder in folders for path in (root / folder).glob("*")}
        assert not programs & {"pip", "pip3", "gcc", "cc", "ld", "strip", "curl", "git", *MANAGERS}
        assert ("sh" in programs) == (base == "slim")
        assert not (root / "opt/manager").exists() and not (root / "build").exists()
        for folder in ("root/.cache", "tmp", "var/tmp", "var/cache", "var/lib/apt/lists", "run/secrets"):
            assert [path for path in (root / folder).glob("**/*") if path.is_file()] == [], folder
        ours = [path for path in root.rglob("*") if path.lstat().st_uid == 65532]
        assert {str(path.relative_to(root)) for path in ours} <= {"home/nonroot"}  # the service cannot change itself
        for path in (*(root / "srv").rglob("*"), *(root / "opt/venv").rglob("*")):
            mode = path.lstat().st_mode
            assert path.is_symlink() or mode & 0o044 == 0o044 and not mode & 0o022, (path, oct(mode))
        names = {Path(name).name for name in PLANTED}
        assert [path for path in root.rglob("*") if path.name in names | {".git", ".dockerignore", "Dockerfile"}] == []
        for path in (root / "srv").rglob("*"):
            assert path.is_dir() or b"planted-secret" not in path.read_bytes(), path


@every
def test_says_how_it_is_run(images_of_this_run: Images, manager: str, base: str) -> None:
    image = inspect(images_of_this_run(manager, base))
    config = image["Config"]
    assert config["User"] == "65532:65532"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["gunicorn", "main:app", "-c", "uvicorn.conf.py"]
    assert config["Labels"]["org.opencontainers.image.title"] == "Orders"
    assert not [name for name in config["Env"] if "CERT" in name or "BUNDLE" in name or "VIRTUAL_ENV" in name] or (
        base == "distroless" and "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt" in config["Env"]  # its own
    )
    if base == "distroless":
        assert image["Size"] <= 95_000_000


def inspect(image: str) -> Any:
    return json.loads(containers.podman("image", "inspect", image))[0]


COMPILED = [("uv", base, "gunicorn", "none") for base in BASES] + [("uv", "distroless", *one) for one in OTHERS]


@pytest.mark.parametrize(("manager", "base", "server", "telemetry"), COMPILED)
def test_compiles_nothing_when_it_starts(
    images_of_this_run: Images, manager: str, base: str, server: str, telemetry: str
) -> None:
    choices = {} if (server, telemetry) == ("gunicorn", "none") else {"server": server, "telemetry": telemetry}
    with containers.run(
        images_of_this_run(manager, base, **choices), PYTHONVERBOSE="1", WEB_CONCURRENCY="1"
    ) as container:
        container.get("/loans/schedule?amount=1000&rate=5&months=12")
        container.stop()
        log = container.log
    assert "__pycache__/main.cpython-313.pyc" in log
    assert [] == re.findall(r"^# code object from (/.*)", log, re.M)


@pytest.mark.alone
def test_starts_quickly(images_of_this_run: Images) -> None:
    """The figure, 0.4 s, is measured by `make bench-image`; without byte code it is more than twice that."""
    seconds = containers.cold_start(images_of_this_run("uv", "distroless"))
    assert seconds < slowness()
