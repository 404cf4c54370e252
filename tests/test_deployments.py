"""The option `deploy`: the files that each choice brings, and what it cannot go with."""

import configparser
import re
import subprocess
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml

from asgi_quickstart import rendering
from asgi_quickstart.answers import Answers
from asgi_quickstart.options import TEMPLATE, Value, options

from .conftest import Quickstart
from .service import BIN
from .test_cli import refused

OWN = {
    "compose": {"compose.yaml", "deploy/compose/", "secrets/"},
    "kubernetes": {"deploy/kubernetes/"},
    "systemd": {"deploy/systemd/"},
}


def rendered(**given: Value) -> dict[str, str]:
    with rendering.rendered(Answers.complete({"name": "orders", **given})) as folder:
        return {str(name): (folder / name).read_text() for name in rendering.names(folder)}


def test_each_brings_its_own_files_and_no_other() -> None:
    (option,) = [option for option in options() if option.several]
    without = set(rendered())
    assert set(OWN) == set(option.choices)
    for choice, own in OWN.items():
        files = set(rendered(deploy=(choice,))) - without
        assert files and all(any(name.startswith(start) for name in files) for start in own)
        assert all(name.startswith(tuple(own)) for name in files), files


@pytest.mark.parametrize(
    ("deploy", "which"), [("compose", "compose"), ("kubernetes,compose", "compose and kubernetes")]
)
def test_containers_without_an_image_are_refused(
    quickstart: Quickstart, tmp_path: Path, deploy: str, which: str
) -> None:
    line = f"an image is needed for {which}: leave {which} out, or choose distroless or slim"
    refused(quickstart("new", "orders", "--image=none", f"--deploy={deploy}"), 2, line)
    with pytest.raises(ValueError, match=line):  # by plain copier too
        data = {"name": "orders", "image": "none", "deploy": deploy.split(",")}
        copier.run_copy(str(TEMPLATE), tmp_path / "copied", data=data, defaults=True, quiet=True)
    assert "deploy/systemd/release" in rendered(image="none", deploy=("systemd",))


@pytest.mark.parametrize(
    ("name", "label"),
    [("orders", "orders"), ("Orders_2.api", "orders-2-api"), ("3d", "service-3d"), ("a" * 39 + ".b", "a" * 39)],
)
def test_images_and_units_have_a_name_that_dns_takes(name: str, label: str) -> None:
    files = rendered(name=name, deploy=tuple(OWN))
    assert f"name: {label}\n" in files["compose.yaml"]
    assert f"/ {label}" not in files["README.md"] and f"deployment/{label} " in files["README.md"]
    assert f"\nname={label}\n" in files["deploy/systemd/install"]
    assert f"--tag {label} " in files["Makefile"]


def test_compose_yaml_is_what_docker_expects(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(rendered(deploy=("compose",))["compose.yaml"])
    command: list[str | Path] = [
        BIN / "check-jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        tmp_path / "compose.yaml",
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def size(text: str) -> int:
    return int(text.rstrip("MGim")) * 1024 ** (3 if "G" in text else 2)


def unit(files: dict[str, str]) -> configparser.RawConfigParser:
    unit = configparser.RawConfigParser(strict=False)
    unit.read_string(files["deploy/systemd/app.service"])
    return unit


def variables(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.M))


@pytest.mark.parametrize("realtime", ["none", "full"])
def test_the_largest_bodies_and_messages_of_all_clients_at_once_leave_half_of_the_memory(realtime: str) -> None:
    files = rendered(deploy=tuple(OWN), realtime=realtime)
    defaults = dict(re.findall(r"^# (\w+)=(\d+)(?: |$)", files[".env.example"], re.M))
    service = yaml.safe_load(files["compose.yaml"])["services"]["service"]
    base = "deploy/kubernetes/base"
    (container,) = yaml.safe_load(files[f"{base}/deployment.yaml"])["spec"]["template"]["spec"]["containers"]
    pods, machine = variables(files[f"{base}/settings.env"]), files["deploy/systemd/env"]
    (most,) = re.findall(r"^# The unit's MemoryMax has space .* in each of (\d+) workers\.", machine, re.M)
    for given, workers, memory in (
        (service["environment"], int(service["environment"]["WEB_CONCURRENCY"]), service["mem_limit"]),
        (pods, int(pods["WEB_CONCURRENCY"]), container["resources"]["limits"]["memory"]),
        (variables(machine), int(most), unit(files)["Service"]["MemoryMax"]),
    ):
        settings = {name: int({**defaults, **given}[name]) for name in defaults}
        largest = max(settings["MAX_BODY_BYTES"], settings["MAX_MESSAGE_BYTES"])
        assert settings["MAX_CONCURRENCY"] * largest * workers <= size(memory) / 2
        if realtime == "full":
            assert settings["MAX_SUBSCRIBERS"] < settings["MAX_CONCURRENCY"]
            assert settings["CHANNEL_MESSAGE_BYTES"] < settings["MAX_BODY_BYTES"]


def test_what_redis_holds_fits_into_the_memory_of_the_service_twice_in_each_worker_beside_the_bodies() -> None:
    services = yaml.safe_load(rendered(deploy=("compose",), realtime="full")["compose.yaml"])["services"]
    command, service = services["redis"]["command"], services["service"]
    held = 2 * size(command[command.index("--maxmemory") + 1].removesuffix("b"))
    workers = int(service["environment"]["WEB_CONCURRENCY"])
    assert held * workers <= size(service["mem_limit"]) * 3 / 8  # beside a half for bodies


def test_where_a_comment_behind_a_value_would_be_part_of_it_this_is_said_and_there_is_none() -> None:
    files = rendered(deploy=tuple(OWN))
    plain = [name for name in files if name.endswith(".env") or name == "deploy/systemd/env"]
    assert len(plain) == 4 and not [name for name in plain if re.search(r"^\w+=.*#", files[name], re.M)]
    for name in ("deploy/systemd/env", "deploy/kubernetes/base/settings.env"):
        assert "Do not put a comment after a value" in files[name]


def test_a_pod_is_killed_for_nothing_but_an_event_loop_that_does_not_answer() -> None:
    """And not for a Redis that is away, when it starts or later."""
    deployment = yaml.safe_load(rendered(deploy=("kubernetes",))["deploy/kubernetes/base/deployment.yaml"])
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    asked = {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")}
    killing = dict.fromkeys(("startupProbe", "livenessProbe"), "/health/live")
    assert asked == killing | {"readinessProbe": "/health/ready"}


def test_whoever_stops_the_service_waits_longer_than_it_drains() -> None:
    files = rendered(deploy=tuple(OWN))
    (line,) = [line for line in files[".env.example"].splitlines() if "DRAIN_SECONDS=" in line]
    longest = int(line.partition("=")[2].split()[0]) + 5  # after that, gunicorn and granian end what is left
    services: dict[str, Any] = yaml.safe_load(files["compose.yaml"])["services"]
    assert all(int(service["stop_grace_period"].removesuffix("s")) > longest for service in services.values())
    assert unit(files).getint("Service", "TimeoutStopSec") > longest


def test_a_machine_short_of_memory_loses_a_worker_and_not_the_service() -> None:
    assert unit(rendered(deploy=("systemd",)))["Service"]["OOMPolicy"] == "continue"
