"""Fixtures: the service in process, and under its real server."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

# `.env`, and settings of serving in a developer's shell, must not affect the tests; your own settings in the environment do.
os.environ["ENV_FILE"] = os.devnull

from serving.settings import ServingSettings  # noqa: E402

names = [*ServingSettings.model_fields]
# :: if realtime == "full"
from channels.settings import ChannelSettings  # noqa: E402

names += ChannelSettings.model_fields
# :: endif
for name in names:
    os.environ.pop(name.upper(), None)
# A setting of yours that has no default goes here: os.environ.setdefault("DATABASE_URL", "postgresql://...")

from main import app  # noqa: E402

ROOT = Path(__file__).parent.parent


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of the application in this process."""
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="session")
def ports() -> dict[str, str]:
    """A free port for each setting that is a port."""
    names = [name.upper() for name in ServingSettings.model_fields if name.endswith("port")]
    with ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        return {name: str(bound.getsockname()[1]) for name, bound in zip(names, free, strict=True)}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, str]) -> Iterator[httpx2.Client]:
    """A client of the service that `make run` has started on a free port."""
    serve = {"ENVIRONMENT": "production", "HOST": "127.0.0.1", "WEB_CONCURRENCY": "2"} | ports
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as output:
        process = subprocess.Popen(["make", "run"], cwd=ROOT, env=os.environ | serve, stdout=output, stderr=output)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{ports['PORT']}") as client:
            deadline = time.monotonic() + 60
            while True:
                try:
                    client.get("/health/ready").raise_for_status()
                    break
                except httpx2.HTTPError:
                    if process.poll() is not None:
                        pytest.fail(f"the server exited with status {process.returncode}:\n{log.read_text()}")
                    if time.monotonic() > deadline:
                        pytest.fail(f"the server was not ready within 60 seconds:\n{log.read_text()}")
                    time.sleep(0.05)
            yield client
    finally:
        process.terminate()
        process.wait(timeout=40)
