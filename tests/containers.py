"""Images built and containers run in a storage of our own, on base images made from Debian's packages.

Nothing is pulled and the user's images are never touched. Works where no Docker engine runs, as root.
"""

import json
import os
import shutil
import ssl
import subprocess
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fcntl import LOCK_EX, flock
from functools import cache
from pathlib import Path

import httpx2
import pytest

from .service import clean_environment, eventually, free_port

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".cache" / "containers"
STAND_INS = Path(__file__).parent / "stand_ins"
TOOLS = ("buildah", "podman", "runc", "conmon", "mmdebstrap")
DEBIAN = "docker.io/library/debian:trixie-slim"
DISTROLESS = "gcr.io/distroless/python3-debian13:nonroot"
CONFINED = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges")
CA = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"


def missing() -> str:
    """Why no container can be used on this machine; empty if they can."""
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return "" if os.geteuid() == 0 else "needs root"


def require() -> None:
    """Skip the test where containers cannot be used; in CI that is a failure."""
    if why := missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"containers: {why}")


def require_network() -> None:
    """Skip the test where containers cannot have a network of their own, with names in it; in CI that is a failure."""
    require()
    if not network():
        why = "containers: needs containernetworking-plugins and its plugin dnsname, or netavark and aardvark-dns"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)


def network() -> str:
    """What gives containers a network with names in it on this machine; empty if nothing does.

    CNI before netavark: where this machine's own DNS does not answer, a name that is asked for while its container is
    away stops aardvark-dns 1.4, which answers one question after the other, for up to a minute.
    """
    folders = ("/usr/lib/cni", "/usr/libexec/cni", "/opt/cni/bin", "/usr/lib/podman", "/usr/libexec/podman")
    there = {program.name for folder in folders if (path := Path(folder)).is_dir() for program in path.iterdir()}
    backends = {"cni": {"bridge", "portmap", "dnsname"}, "netavark": {"netavark", "aardvark-dns"}}
    return next((backend for backend, programs in backends.items() if programs <= there), "")


@cache
def environment() -> Mapping[str, str]:
    """What lets podman, buildah, and what calls them, use our storage and nothing of the user's."""
    HOME.mkdir(parents=True, exist_ok=True)
    runtime = Path(tempfile.gettempdir()) / f"quickstart-{zlib.crc32(str(HOME).encode()):08x}"  # sockets: a short path
    runtime.mkdir(mode=0o700, exist_ok=True)
    (HOME / "tmp").mkdir(exist_ok=True)
    # Overlay, except on top of another overlay, as in a container.
    trial = ["podman", "--root", str(HOME / "trial"), "--runroot", str(runtime / "trial"), "--storage-driver=overlay"]
    overlay = subprocess.run([*trial, "info"], capture_output=True, env=clean_environment()).returncode == 0
    storage = HOME / "storage.conf"
    _write(
        storage,
        f'[storage]\ndriver = "{"overlay" if overlay else "vfs"}"\n'
        f'graphroot = "{HOME / "storage"}"\nrunroot = "{runtime / "run"}"\n',
    )
    engine = HOME / "containers.conf"
    _write(
        engine,
        "[containers]\n"
        'default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]\n'  # root may not raise its own everywhere
        "[engine]\n"
        'cgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "file"\nlock_type = "file"\n'
        f'tmp_dir = "{runtime / "libpod"}"\n'
        f'[network]\nnetwork_backend = "{network()}"\nnetwork_config_dir = "{HOME / "networks"}"\n',
    )
    return clean_environment() | {
        "CONTAINERS_STORAGE_CONF": str(storage),
        "CONTAINERS_CONF": str(engine),
        "BUILDAH_ISOLATION": "chroot",
        "TMPDIR": str(HOME / "tmp"),  # the caches that builds mount are kept there
    }


def _write(file: Path, text: str) -> None:
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


def podman(*arguments: str | Path, check: bool = True) -> str:
    """Run podman, and give its standard output."""
    result = subprocess.run(["podman", *arguments], env=environment(), capture_output=True, text=True, timeout=280)
    assert not check or result.returncode == 0, f"podman {arguments}\n{result.stdout}{result.stderr}"
    return result.stdout


def build(folder: Path, *arguments: str | Path, tag: str) -> None:
    """Build an image from a folder, on the stand-ins."""
    command = ["buildah", "build", "--layers", "--network=host", "--pull-never", "--tag", tag, *arguments, folder]
    result = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, f"{command}\n{result.stdout[-3000:]}{result.stderr[-3000:]}"


def bases() -> None:
    """Make the base images, unless they are there: the names are the upstream ones."""
    require()
    environment()
    with (HOME / "bases.lock").open("w") as lock:
        flock(lock, LOCK_EX)  # the other worker makes them
        if not has(DEBIAN):
            _debian()
        recipe = STAND_INS / "distroless.Dockerfile"
        version = f"localhost/stand-in:{zlib.crc32(recipe.read_bytes()):08x}"
        if not (has(version) and has(DISTROLESS)):
            build(STAND_INS, "--file", recipe, "--tag", version, tag=DISTROLESS)


def has(image: str) -> bool:
    return subprocess.run(["podman", "image", "exists", image], env=environment()).returncode == 0


def _debian() -> None:
    """What debian:trixie-slim is: the packages marked essential, and apt, without documentation."""
    mirrors = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Origin: Debian"],
        capture_output=True,
        text=True,
    ).stdout.split()
    left_out = [
        f"--dpkgopt=path-exclude=/usr/share/{name}/*"
        for name in ("doc", "man", "info", "locale", "lintian", "linda", "groff")
    ]
    slim = ["--variant=minbase", *left_out, "--aptopt=APT::Install-Recommends false"]
    # Whatever mirror this machine has; the suite's updates are of no interest here.
    mirror = [f"deb {site} trixie main" for site in mirrors if not site.endswith("security")][:1]
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        archive = Path(folder) / "debian.tar"
        command = ["mmdebstrap", "--quiet", *slim, "trixie", str(archive), *mirror]
        result = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=280)
        assert result.returncode == 0, result.stderr
        podman("import", "--change", 'CMD ["bash"]', archive, DEBIAN)


@dataclass
class Container:
    """A running container, and how to ask it; it listens on this machine's network."""

    name: str
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has said on standard output and standard error."""
        result = subprocess.run(["podman", "logs", self.name], env=environment(), capture_output=True, text=True)
        return result.stdout + result.stderr

    def get(self, path: str = "/", **options: object) -> httpx2.Response:
        """Ask on a new connection."""
        return httpx2.get(self.url + path, timeout=10, verify=False, **options)  # type: ignore[arg-type]

    def ready(self) -> bool:
        return self.get("/health/ready").is_success

    def stop(self, signal: str = "TERM", seconds: float = 40) -> int:
        """Send the signal, and give the exit status once it has ended."""
        podman("kill", "--signal", signal, self.name)
        return self.wait(seconds)

    def wait(self, seconds: float = 40) -> int:
        """The exit status, once it has ended by itself."""
        eventually(lambda: self.inspect()["State"]["Status"] == "exited", seconds, lambda: self.log)
        return int(self.inspect()["State"]["ExitCode"])

    def inspect(self) -> dict[str, dict[str, str]]:
        answer: list[dict[str, dict[str, str]]] = json.loads(podman("inspect", self.name))
        return answer[0]


@contextmanager
def run(
    image: str, *options: str, command: Sequence[str] = (), ready: bool = True, **settings: str
) -> Iterator[Container]:
    """A container as production confines it: read-only, no capability, no new privilege; removed at the end."""
    container = Container(f"quickstart-{os.getpid()}-{free_port()}")
    given = {"HOST": "127.0.0.1", "PORT": str(container.port), "METRICS_PORT": str(container.metrics_port)} | settings
    variables = [f"--env={name}={value}" for name, value in given.items()]
    try:
        podman(
            "run",
            "--detach",
            "--name",
            container.name,
            "--network=host",
            *CONFINED,
            *variables,
            *options,
            image,
            *command,
        )
        if ready:
            eventually(container.ready, 30, lambda: container.log)
        yield container
    finally:
        podman("rm", "--force", "--time=0", container.name, check=False)


def cold_start(image: str, *options: str) -> float:
    """Seconds from `podman run` to the first 200."""
    started = time.perf_counter()
    with run(image, *options):
        return time.perf_counter() - started
