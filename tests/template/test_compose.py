"""Deployed by compose: the service behind Caddy, started by podman-compose from the service's own file."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

from .. import containers
from ..service import BIN, eventually, free_port, write_service
from .images import Images
from .posting import posting
from .readme import commands

pytestmark = pytest.mark.slow

CADDY = "docker.io/library/caddy:2.11"
REDIS = "docker.io/library/redis:8"
WRITE = (
    "import os\nfor folder, _, _ in os.walk('/'):\n"
    "    if not folder.startswith(('/proc', '/sys')):\n"
    "        try: open(folder + '/x', 'w')\n        except OSError: continue\n        print(folder)"
)


MEMORY = {"/tmp", "/dev", "/dev/shm", "/dev/mqueue"}


@dataclass
class Stack:
    """The folder of a service, and what compose has started from it."""

    folder: Path
    name: str
    settings: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings['HTTP_PORT']}"

    def compose(self, *words: str, check: bool = True, **settings: str) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [BIN / "podman-compose", *words],
            cwd=self.folder,
            env={**containers.environment(), **self.settings, **settings},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def log(self) -> str:
        words = ["podman", "logs", f"{self.name}_service_1"]
        return subprocess.run(
            words, env=containers.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ).stdout

    def inspect(self, service: str) -> dict[str, Any]:
        (answer,) = json.loads(containers.podman("inspect", f"{self.name}_{service}_1"))
        return dict(answer)


@contextmanager
def started(image: str, folder: Path, **choices: str) -> Iterator[Stack]:
    """The service and what belongs to it, started as the README says; a secret is in a file."""
    containers.require_network()
    (folder / "caddy").mkdir()
    shutil.copy(BIN / "caddy", folder / "caddy")
    containers.build(folder / "caddy", "--file", containers.STAND_INS / "caddy.Dockerfile", tag=CADDY)
    name = f"orders-{os.getpid()}-{free_port()}"
    service = write_service(folder / name, name=name, deploy=("compose",), **choices)
    (service.folder / "secrets/loans_max_months").write_text("36\n")
    settings = {"IMAGE": image, "HTTP_PORT": str(free_port()), "HTTPS_PORT": str(free_port())}
    stack = Stack(service.folder, name, settings)
    try:
        _, up, _ = commands(service, "compose")
        stack.compose(*up.removeprefix("docker compose ").split())
        eventually(lambda: httpx2.get(stack.url).is_success, 30, stack.log)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout=0", check=False)


@pytest.fixture(scope="module")
def stack(images_of_this_run: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service and its proxy."""
    with started(images_of_this_run("uv", "distroless"), tmp_path_factory.mktemp("compose")) as stack:
        yield stack


def test_answers_through_the_proxy_and_knows_who_asks(stack: Stack) -> None:
    response = httpx2.get(f"{stack.url}/health/ready", headers={"X-Forwarded-For": "203.0.113.7"})
    assert response.json() == {"status": "ok"}
    asked = response.headers["x-request-id"]
    line = eventually(lambda: [line for line in stack.log().splitlines() if asked in line])[0]
    (network,) = stack.inspect("proxy")["NetworkSettings"]["Networks"].values()
    # What asks from this machine comes from the network's gateway; the forged header and the proxy's own address do not count.
    assert json.loads(line[line.index("{") :])["client"] == network["Gateway"] != network["IPAddress"]


def test_streams_long_polls_and_websockets_pass_unbuffered(stack: Stack) -> None:
    with httpx2.stream("GET", f"{stack.url}/events", timeout=20) as events:
        assert next(events.iter_lines()) == "data: 1"  # the endpoint now waits for a minute
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(httpx2.get, f"{stack.url}/poll", timeout=90)
        eventually(lambda: "poll began" in stack.log())
        with connect(stack.url.replace("http", "ws", 1) + "/echo") as websocket:
            for text in ("hello", "x" * 100_000):
                websocket.send(text)
                assert websocket.recv(5) == text
            stack.compose("restart", "service")
            assert poll.result(10).json() == "nothing new"  # the proxy has held it all the time
            with pytest.raises(Exception, match="1012"):
                websocket.recv(5)
    assert httpx2.get(f"{stack.url}/loans/schedule?amount=1000&rate=5&months=12").text.count("\n") == 12


def test_a_file_in_the_folder_of_secrets_is_a_setting(stack: Stack) -> None:
    answer = httpx2.get(f"{stack.url}/loans/schedule?amount=1000&rate=5&months=37").json()
    assert answer == {"detail": "months: 37 is more than 36, the longest loan on offer"}


def test_podman_finds_it_healthy_and_would_notice_if_it_were_not(stack: Stack) -> None:
    container = f"{stack.name}_service_1"
    containers.podman("healthcheck", "run", container)
    (_, *words) = stack.inspect("service")["Config"]["Healthcheck"]["Test"]
    for path, status in (("/health/ready", 0), ("/nothing", 1)):
        command = [word.replace("/health/ready", path) for word in words]
        result = subprocess.run(
            ["podman", "exec", "--env=http_proxy=http://127.0.0.1:1", container, *command],
            env=containers.environment(),
            capture_output=True,
        )
        assert result.returncode == status, result.stderr


def test_both_are_confined(stack: Stack) -> None:
    for service, memory in (("service", 512), ("proxy", 256)):
        container = stack.inspect(service)
        host = container["HostConfig"]
        assert (host["Memory"], host["PidsLimit"]) == (memory * 1024 * 1024, 256)
        assert host["ReadonlyRootfs"] and "no-new-privileges" in host["SecurityOpt"]
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert host["LogConfig"]["Config"] or host["LogConfig"]["Size"] == "10MB"
        assert container["HostConfig"].get("Init", False) == (service == "service")
        kept = {"proxy": {"CAP_NET_BIND_SERVICE"}, "service": set[str]()}[service]
        assert set(container["EffectiveCaps"] or []) == kept
    writable = containers.podman("exec", f"{stack.name}_service_1", "python3", "-c", WRITE).split()
    assert set(writable) <= {*MEMORY, "/run", "/var/tmp"} and "/tmp" in writable  # the last two are podman's own


def test_a_restart_of_the_service_loses_no_request(
    stack: Stack, record_property: Callable[[str, object], None]
) -> None:
    with posting(lambda _: stack.url) as posted:
        stack.compose("restart", "service")
    record_property("figure", str(posted))
    assert posted.lost == []


def test_a_secret_that_cannot_be_read_stops_the_start_with_one_line(stack: Stack) -> None:
    secret = stack.folder / "secrets/drain_seconds"
    secret.write_text("25\n")
    secret.chmod(0o600)
    try:
        stack.compose("restart", "service")
        said = eventually(lambda: re.findall(r"^error getting .*", stack.log(), re.M), 20, stack.log)[0]
        assert said.startswith('error getting value for field "drain_seconds"')
        assert said.endswith("Permission denied: '/run/secrets/drain_seconds'")
        assert "Traceback" not in stack.log()
    finally:
        secret.unlink()
    stack.compose("restart", "service")
    eventually(lambda: httpx2.get(stack.url).is_success, 30, stack.log)


def test_an_image_that_is_not_there_is_named_and_not_looked_for_elsewhere(stack: Stack) -> None:
    missing = "localhost/nothing:latest"
    file = stack.folder / "compose.yaml"
    result = stack.compose(
        "--file", str(file), "--project-name", "other", "up", "--detach", "service", check=False, IMAGE=missing
    )
    stack.compose("--file", str(file), "--project-name", "other", "down", check=False)
    assert result.returncode != 0
    assert f"Error: {missing}: image not known" in result.stderr


def test_when_it_is_stopped_what_is_in_flight_is_answered(stack: Stack) -> None:
    """Longer than the 10 seconds that are the default. The last test: afterwards nothing runs."""
    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(httpx2.get, f"{stack.url}/slow?seconds=12", timeout=30) for _ in range(32)]
        eventually(lambda: stack.log().count("slow began") == 32, 10)
        stack.compose("stop")
        assert [answer.result(30).json() for answer in asked] == ["done"] * 32
    for service in ("service", "proxy"):
        assert stack.inspect(service)["State"]["ExitCode"] == 0


def test_channels_are_shared_by_all_workers_and_outlive_redis(images_of_this_run: Images, tmp_path: Path) -> None:
    containers.build(tmp_path, "--file", containers.STAND_INS / "redis.Dockerfile", tag=REDIS)
    with started(images_of_this_run("uv", "distroless", realtime="full"), tmp_path, realtime="full") as stack:
        (stack.folder / "secrets/publish_token").write_text("secret\n")
        stack.compose("restart", "service")
        channel = f"{stack.url}/channels/orders"

        def publish(number: int) -> str:
            """The id of the message, once Redis has it."""
            headers = {"Authorization": "Bearer secret"}
            answers = iter(lambda: httpx2.post(channel, json=number, headers=headers), None)
            return str(eventually(lambda: next(answers).json().get("id"), message=stack.log))

        first = publish(0)
        with connect(f"{channel.replace('http', 'ws', 1)}/socket?after={first}") as websocket:
            for number in range(1, 21):  # each on a connection of its own: by both workers
                publish(number)
            texts = (line for text in iter(lambda: websocket.recv(20), None) for line in str(text).split("\n"))
            messages = (message for message in map(json.loads, texts) if {"data", "reset"} & set(message))
            assert [next(messages)["data"] for _ in range(20)] == list(range(1, 21))
            containers.podman("kill", f"{stack.name}_redis_1")
            containers.podman("start", f"{stack.name}_redis_1")
            publish(21)
            assert next(messages)["data"] == 21
        answer = httpx2.get(f"{channel}/poll?after={first}").json()
        assert [message["data"] for message in answer["messages"]] == list(range(1, 22)) and not answer["reset"]
