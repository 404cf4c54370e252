"""How channels are wired into a service."""

import subprocess
from pathlib import Path

import pytest

from asgi_quickstart import rendering

from ..promises import SERVERS
from ..redis_server import needs_redis, redis_server
from ..service import Service, clean_environment, eventually, write_service
from .subscribers import publish
from .test_realtime import SETTINGS, in_redis, write

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A service to be started by the test."""
    return write(tmp_path_factory.mktemp("written") / "service", {})


@pytest.mark.parametrize("server", SERVERS)
def test_several_workers_without_redis_are_told_of_in_one_line(server: str, tmp_path: Path) -> None:
    service = write(tmp_path / "service", {"server": server})
    with service.started("run", **SETTINGS, WEB_CONCURRENCY="2"):
        eventually(lambda: "each of the 2 workers has its own" in service.log)
    assert "Traceback" not in service.log


@pytest.mark.parametrize(
    ("end", "wanted"),
    [
        ("/orders", "a database number"),
        ("/0/1", "a database number"),
        ("/0?db=orders", "'db'"),
        ("/0?socket_timeout=soon", "'socket_timeout'"),
        ("/0?protocol=9", "either 2 or 3"),
        ("/0?foo=1", "'foo'"),
    ],
)
def test_what_redis_py_does_not_take_in_its_address_stops_the_start_with_one_line(
    end: str, wanted: str, written: Service
) -> None:
    environment = clean_environment() | {"REDIS_URL": f"redis://127.0.0.1:1{end}"}
    command = [".venv/bin/python", "-c", "import main"]
    result = subprocess.run(command, cwd=written.folder, env=environment, capture_output=True, text=True)
    (line,) = result.stderr.splitlines()
    assert result.returncode == 3
    assert line.startswith("REDIS_URL: ") and wanted in line


@needs_redis
@pytest.mark.parametrize("end", ["", "/", "/1", "/?db=1", "?socket_timeout=2"])
def test_what_redis_py_takes_in_its_address_is_taken(end: str, written: Service, tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as redis:
        with in_redis(written, redis, REDIS_URL=redis.url.removesuffix("/0") + end):
            assert publish(written, "orders", 1).status == 200


def test_nothing_of_it_is_in_a_service_without(tmp_path: Path) -> None:
    service = write_service(tmp_path / "service")
    names = [name for name in rendering.names(service.folder) if ".venv" not in name.parts]
    text = "".join((service.folder / name).read_text() for name in names if name.name != ".copier-answers.yml").lower()
    assert not [word for word in ("redis", "channel", "publish", "subscri") if word in text]
    assert not (service.folder / "channels").exists()
