"""A machine with systemd: a container whose first process it is, with the service's folders, uv and its cache."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import containers
from ..service import BIN, Service, eventually
from .test_install import CACHE, dated

IMAGE = "localhost/machine"
# systemd mounts what its units see; and a unit filters system calls itself.
POWERS = ("--systemd=always", "--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined")


@dataclass
class Machine:
    """Runs commands on the machine, as root."""

    name: str

    def __call__(self, *command: str, folder: Path = Path("/"), check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            ["podman", "exec", "--workdir", folder, self.name, *command],
            env=containers.environment(),
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert not check or result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}{self.journal()}"
        return result

    def journal(self, unit: str = "*") -> str:
        """What the units have said."""
        return self("journalctl", "--no-pager", "--output=cat", f"--unit={unit}", check=False).stdout

    def property(self, unit: str, name: str) -> str:
        return self("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def write(self, path: str, text: str) -> None:
        self("sh", "-c", 'mkdir -p "$(dirname "$1")" && printf %s "$2" > "$1"', "sh", path, text)


@contextmanager
def booted(shared: Path) -> Iterator[Machine]:
    """The machine, with a folder shared at the same path; it is on this machine's network."""
    containers.bases()
    containers.build(containers.STAND_INS, "--file", containers.STAND_INS / "machine.Dockerfile", tag=IMAGE)
    machine = Machine(f"machine-{os.getpid()}")
    cache = CACHE / "uv"
    cache.mkdir(parents=True, exist_ok=True)
    settings = {"UV_CACHE_DIR": str(cache), "UV_LINK_MODE": "copy", "UV_PYTHON_PREFERENCE": "only-system"}
    settings |= {"SSL_CERT_FILE": containers.CA} | dated()
    try:
        containers.podman(
            "run",
            "--detach",
            f"--name={machine.name}",
            "--network=host",
            *POWERS,
            *(f"--env={name}={value}" for name, value in settings.items()),
            f"--volume={shared}:{shared}",
            f"--volume={cache}:{cache}",
            f"--volume={BIN / 'uv'}:/usr/local/bin/uv:ro",
            f"--volume={containers.CA}:{containers.CA}:ro",
            IMAGE,
        )
        eventually(lambda: machine("systemctl", "is-system-running", check=False).stdout == "running\n")
        machine("mount", "--make-rshared", "/")  # as it is where no container is around; a unit sees its credentials so
        yield machine
    finally:
        containers.podman("rm", "--force", "--time=0", machine.name, check=False)


def commit(machine: Machine, service: Service) -> None:
    """Commit everything in the service's folder."""
    author = ("-c", "user.name=tests", "-c", "user.email=tests@example.com")
    git = ("git", "-c", "safe.directory=*", *author)
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=as it is"]):
        machine(*git, *words, folder=service.folder)
