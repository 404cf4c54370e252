"""The stand-ins are what the tests of images take them for."""

import json

import pytest

from . import containers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _bases() -> None:
    containers.bases()


def test_distroless_has_debians_python_a_numeric_user_and_no_shell() -> None:
    (image,) = json.loads(containers.podman("image", "inspect", containers.DISTROLESS))
    assert image["Config"]["User"] == "65532"
    assert image["Config"]["Entrypoint"] == ["/usr/bin/python3.13"]
    program = "import os, sys; print(sys.version_info[:2], os.getuid(), os.path.exists('/bin/sh'), sys.executable)"
    said = containers.podman(
        "run", "--rm", "--network=host", *containers.CONFINED, containers.DISTROLESS, "-c", program
    )
    assert said == "(3, 13) 65532 False /usr/bin/python3.13\n"


def test_debian_has_apt_and_no_python() -> None:
    said = containers.podman(
        "run", "--rm", "--network=host", containers.DEBIAN, "sh", "-c", "ls /usr/bin | grep -E '^(apt-get|python3)$'"
    )
    assert said == "apt-get\n"
