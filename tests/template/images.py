"""Images of generated services, built by the service's own `make image`, each once a run."""

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from pip._internal.models.index import PyPI

from asgi_quickstart import rendering
from asgi_quickstart.answers import Answers
from asgi_quickstart.options import document

from .. import containers, once
from ..service import Service
from . import probes
from .test_install import TOOLS, dated, user_environment

BASES: list[str] = list(document()["images"]["default"])
MANAGERS: Mapping[str, dict[str, str]] = document()["managers"]["default"]
OURS = "quickstart-test"  # every image of the tests is called that
PLANTED = {
    ".env": "PASSWORD=planted-secret",
    "app/.env.production": "PASSWORD=planted-secret",
    "app/server.key": "planted-secret",
    "app/secrets/database_url": "planted-secret",
    "app/prod.env": "PASSWORD=planted-secret",
    "app/id_ed25519": "planted-secret",
    "app/client.p12": "planted-secret",
    "app/local.sqlite3": "planted-secret",
    "serving/service-account.json": '{"password": "planted-secret"}',
    "credentials.json": '{"password": "planted-secret"}',
    ".git/config": "planted-secret",
    ".netrc": "planted-secret",
}


def write(folder: Path, manager: str, **choices: str) -> Service:
    """A service with endpoints of the tests and with secrets lying about, locked by its manager but not installed."""
    if manager not in ("uv", "pip") and not (TOOLS / manager).exists():
        pytest.skip(f"{manager} is not set up: `make {TOOLS}/{manager}`")
    folder.mkdir(parents=True)
    with rendering.rendered(Answers.complete({"name": "Orders", "manager": manager} | choices)) as files:
        rendering.write(files, folder)
    service = Service(folder)
    probes.add_to(service)
    for name, text in PLANTED.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    for path in (folder / "app", *(folder / "app").iterdir()):  # as whoever has a umask of 077 leaves them
        path.chmod(path.stat().st_mode & ~0o077)
    make(service, "lock", user_environment(manager, folder.parent))
    if manager == "poetry":  # asks the index as every other manager does, where only that is reachable
        service.edit("Dockerfile", '"poetry>', 'poetry-plugin-pypi-mirror "poetry>')
    return service


def make(service: Service, word: str, environment: Mapping[str, str], *variables: str) -> str:
    """The output of `make WORD`, which must succeed."""
    result = try_to_make(service, word, environment, *variables)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


def try_to_make(
    service: Service, word: str, environment: Mapping[str, str], *variables: str
) -> subprocess.CompletedProcess[str]:
    command = ["make", "--silent", word, *variables]
    return subprocess.run(
        command,
        cwd=service.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )


def build(service: Service, tag: str, *options: str) -> str:
    """Build by `make image`; the certificates that this machine trusts are given as a secret."""
    return make(service, "image", containers.environment(), *variables(tag, *options))


def try_to_build(service: Service, *options: str) -> subprocess.CompletedProcess[str]:
    return try_to_make(service, "image", containers.environment(), *variables("refused", *options))


def write_index(file: Path, **variables: str) -> None:
    """Write the variables that a build is given as a secret, with the date as of which uv resolves."""
    file.write_text("".join(f"{name}={value}\n" for name, value in (variables | dated()).items()))


def variables(tag: str, *options: str) -> list[str]:
    index = containers.HOME / "index"
    write_index(index, POETRY_PYPI_MIRROR_URL=PyPI.simple_url, PASSWORD="planted-secret")
    secrets = [f"--secret=id=ca,src={containers.CA}", f"--secret=id=index,src={index}"]
    pull = [] if any(option.startswith("--pull") for option in options) else ["--pull-never"]
    given = [*pull, "--quiet", f"--tag={OURS}/{tag}", *secrets, *options]
    return ["ENGINE=buildah", f"OPTIONS={shlex.join(given)}"]


class Images:
    """The images of this run, by manager, base and server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, manager: str, base: str, **choices: str) -> str:
        """The name of an image; built by whoever asks first."""
        tag = "-".join([manager, base, *choices.values()])
        service = self.service(manager, base, **choices)
        with once.first(service.folder.parent / "built") as first:
            if first:
                build(service, tag)
        return f"localhost/{OURS}/{tag}"

    def service(self, manager: str, base: str, **choices: str) -> Service:
        """The service that an image is built from; written by whoever asks first."""
        folder = self.folder / "-".join([manager, base, *choices.values()])
        with once.first(folder / "written") as first:
            if first:
                write(folder / "service", manager, image=base, **choices)
        return Service(folder / "service")


@pytest.fixture(scope="session")
def images_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Builds an image when it is asked for, once for all workers."""
    containers.bases()
    return Images(once.folder_of_the_run(tmp_path_factory) / "images")
