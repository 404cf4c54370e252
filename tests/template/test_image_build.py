"""Building the images: what is built again and what is not, the same bytes twice, and what is said to wrong input."""

import base64
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from asgi_quickstart import rendering
from asgi_quickstart.answers import Answers

from .. import containers
from ..service import BIN, Service, clean_environment
from . import images
from .images import BASES, MANAGERS, OURS, Images
from .test_image import inspect

pytestmark = pytest.mark.slow

# Every manager, and both bases.
PAIRS = [(manager, BASES[number % 2]) for number, manager in enumerate(MANAGERS)]
every_manager = pytest.mark.parametrize(("manager", "base"), PAIRS, ids=["-".join(pair) for pair in PAIRS])


def layers(image: str) -> list[str]:
    digests: list[str] = inspect(image)["RootFS"]["Layers"]
    return digests


@every_manager
def test_two_builds_have_the_same_layers(images_of_this_run: Images, manager: str, base: str) -> None:
    image = images_of_this_run(manager, base)
    service = images_of_this_run.service(manager, base)
    images.build(service, f"{manager}-{base}-again", "--no-cache")
    assert layers(image) == layers(f"localhost/{OURS}/{manager}-{base}-again")


def test_every_layer_but_the_base_is_ours_and_an_edit_changes_the_last_one_only(
    images_of_this_run: Images, tmp_path: Path
) -> None:
    before = layers(images_of_this_run("uv", "distroless"))
    assert before[:-3] == layers(containers.DISTROLESS)
    shutil.copytree(images_of_this_run.service("uv", "distroless").folder, tmp_path / "service")
    service = Service(tmp_path / "service")
    service.edit("app/health.py", 'status="ok"', 'status="edited"')
    output = images.build(service, "edited", "--quiet=false")
    after = layers(f"localhost/{OURS}/edited")
    assert before[:-1] == after[:-1] and before[-1] != after[-1]
    rerun = re.findall(r"^\[\d/\d\] STEP \d+/\d+: (.*)\n(?!--> Using cache)", output, re.M)
    assert not [step for step in rerun if "apt-get" in step or "uv sync" in step or "--from=dependencies" in step]
    with containers.run(f"{OURS}/edited") as container:
        assert container.get().json() == {"status": "edited"}


def test_the_umask_of_who_builds_changes_no_layer(images_of_this_run: Images, tmp_path: Path) -> None:
    before = layers(images_of_this_run("uv", "distroless"))
    shutil.copytree(images_of_this_run.service("uv", "distroless").folder, tmp_path / "service")
    subprocess.run(["chmod", "-R", "go=rX", tmp_path / "service/app"], check=True)  # the tests have built with 077
    images.build(Service(tmp_path / "service"), "umask")
    assert before == layers(f"localhost/{OURS}/umask")


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("manager", MANAGERS)
def test_hadolint_has_nothing_against_it(manager: str, base: str) -> None:
    with rendering.rendered(Answers.complete({"manager": manager, "image": base})) as folder:
        result = subprocess.run([BIN / "hadolint", folder / "Dockerfile"], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout
        ignored = re.findall(r"^# hadolint ignore=\S+(.*)$", (folder / "Dockerfile").read_text(), re.M)
        assert all(reason.startswith(" # ") for reason in ignored)


@pytest.mark.parametrize(("buildx", "wanted"), [(True, "docker buildx build --load"), (False, "podman build")])
def test_docker_is_taken_only_with_buildx_and_only_an_image_asks_for_it(
    buildx: bool, wanted: str, tmp_path: Path
) -> None:
    with rendering.rendered(Answers.complete({"name": "orders"})) as folder:
        for name, status in (("docker", int(not buildx)), ("podman", 0)):
            (tmp_path / name).write_text(f"#!/bin/sh\necho asked | tee -a {tmp_path}/asked\nexit {status}\n")
            (tmp_path / name).chmod(0o755)
        environment = clean_environment() | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

        def would_run(word: str) -> str:
            command = ["make", "--dry-run", word]
            return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True).stdout

        assert "ruff" in would_run("check") and not (tmp_path / "asked").exists()
        assert f"\n{wanted} " in would_run("image")


DRIFT = {
    "uv": "The lockfile at `uv.lock` needs to be updated",
    "pip": "requirements.txt no longer matches pyproject.toml: make lock",
    "pipenv": "Pipfile.lock is out-of-date. Run $ pipenv lock to update.",
    "poetry": "pyproject.toml changed significantly since poetry.lock was last generated. Run `poetry lock` to fix",
    "pdm": "Lockfile doesn't satisfy the project requirements",
}


def said(result: subprocess.CompletedProcess[str]) -> str:
    """What a build has said, in one line; without what it would have said, as buildah repeats the command that failed."""
    return re.sub(r'echo ".*?"', "", " ".join((result.stdout + result.stderr).split()))


@every_manager
def test_a_lock_that_is_out_of_date_is_refused(
    images_of_this_run: Images, manager: str, base: str, tmp_path: Path
) -> None:
    images_of_this_run(manager, base)  # so that only the last steps are new
    shutil.copytree(images_of_this_run.service(manager, base).folder, tmp_path / "service")
    service = Service(tmp_path / "service")
    if manager == "pipenv":
        service.edit("Pipfile", 'fastapi = ">=0', 'six = ">=1.16"\nfastapi = ">=0')
    else:
        service.edit("pyproject.toml", '    "fastapi>', '    "six>=1.16",\n    "fastapi>')
    result = images.try_to_build(service)
    assert result.returncode != 0
    assert said(result).count(DRIFT[manager]) == 1, result.stderr


def test_a_hash_that_is_another_is_not_taken_for_an_old_lock(images_of_this_run: Images, tmp_path: Path) -> None:
    shutil.copytree(images_of_this_run.service("pip", "slim").folder, tmp_path / "service")
    requirements = tmp_path / "service/requirements.txt"
    requirements.write_text(re.sub("sha256:.{8}", "sha256:00000000", requirements.read_text()))
    result = images.try_to_build(Service(tmp_path / "service"))
    assert result.returncode != 0
    assert "DO NOT MATCH THE HASHES" in said(result) and DRIFT["pip"] not in said(result)


def test_a_file_that_does_not_compile_is_let_pass_in_a_dependency_and_not_in_the_service(
    images_of_this_run: Images, tmp_path: Path
) -> None:
    shutil.copytree(images_of_this_run.service("uv", "distroless").folder, tmp_path / "service")
    service = Service(tmp_path / "service")
    service.edit("Dockerfile", "RUN find /opt/venv", "RUN echo '(' > /opt/venv/other.py && find /opt/venv")
    images.build(service, "other")
    (service.folder / "app/own.py").write_text("(")
    result = images.try_to_build(service, "--quiet=false")
    assert result.returncode != 0 and "Error compiling './app/own.py'" in said(result)


def test_a_base_that_cannot_be_reached_is_named(images_of_this_run: Images) -> None:
    service = images_of_this_run.service("uv", "distroless")
    base = "127.0.0.1:1/python3:nonroot"
    result = images.try_to_build(service, "--pull=true", f"--build-arg=BASE={base}")
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert result.returncode != 0
    assert len(errors) == 1 and base in errors[0] and "connection refused" in errors[0], result.stderr


def test_a_secret_that_the_owner_requires_and_nobody_gives_is_named(images_of_this_run: Images, tmp_path: Path) -> None:
    shutil.copytree(images_of_this_run.service("uv", "distroless").folder, tmp_path / "service")
    service = Service(tmp_path / "service")
    service.edit("Dockerfile", "type=secret,id=index ", "type=secret,id=house,required=true ")
    result = images.try_to_build(service)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert result.returncode != 0
    assert len(errors) == 1 and "secret" in errors[0] and "house" in errors[0], result.stderr


class Private(SimpleHTTPRequestHandler):
    """An index of the files in a folder, for those who know the password."""

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Basic " + base64.b64encode(b"me:index-password").decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.end_headers()
            return
        parts = self.path.strip("/").split("/")
        if parts[0] != "simple":
            return super().do_GET()
        wheels = [file.name for file in Path(self.directory).iterdir()]
        of_project = [name for name in wheels if name.split("-")[0].lower().replace("_", "-") == parts[1]]
        body = "".join(f'<a href="/{name}">{name}</a>' for name in of_project).encode()
        self.send_response(200 if of_project else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def private_index(wheels: Path, folder: Path) -> Iterator[str]:
    """Serves wheels over TLS, with a certificate that nobody knows: its address, without the password."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    authority: list[str | Path] = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca-key.pem"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split()
    for given in (
        ["-keyout", authority[3], "-out", authority[1], "-subj", "/CN=authority"],
        ["-keyout", key, "-out", certificate, "-subj", "/CN=localhost", *names, *authority],
    ):
        subprocess.run([*new, *given], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Private, directory=str(wheels))) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"localhost:{server.server_port}"
        finally:
            server.shutdown()


def test_a_private_index_with_a_certificate_of_its_own_is_used_and_leaves_no_trace(
    images_of_this_run: Images, tmp_path: Path
) -> None:
    """By pip, which installs every manager, and by a manager that does not read pip's variables."""
    wheels = tmp_path / "wheels"
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version=3.13", f"--dest={wheels}"]
    requirements = ["--requirement", images_of_this_run.service("pip", "distroless").folder / "requirements.txt"]
    for wanted in (requirements, ["uv>=0.13,<0.14"]):
        command: list[str | Path] = [sys.executable, "-m", "pip", "download", *options, *wanted]
        subprocess.run(command, check=True, env=clean_environment())
    services = {}
    for manager in ("pip", "uv"):
        shutil.copytree(images_of_this_run.service(manager, "distroless").folder, tmp_path / manager)
        services[manager] = Service(tmp_path / manager)
        # Built again from here; what comes before, Debian's packages, is not.
        services[manager].edit("Dockerfile", "\nENV VIRTUAL_ENV=", f"\nENV AGAIN={time.time()} VIRTUAL_ENV=")
    with private_index(wheels, tmp_path) as address:
        url = f"https://me:index-password@{address}/simple"
        images.write_index(
            tmp_path / "index", PIP_INDEX_URL=url, PIP_NO_CACHE_DIR="1", UV_DEFAULT_INDEX=url, UV_NO_CACHE="1"
        )
        ca = f"--secret=id=ca,src={tmp_path / 'ca.pem'}"
        index = f"--secret=id=index,src={tmp_path / 'index'}"
        refused = images.try_to_build(services["pip"], index)  # with the certificates of this machine
        assert refused.returncode != 0 and "certificate" in refused.stderr.lower(), refused.stderr
        lock = services["uv"].folder / "uv.lock"  # as if locked with this index
        named = re.sub(r'registry = "[^"]+"', f'registry = "https://{address}/simple"', lock.read_text())
        lock.write_text(re.sub(r'url = "[^"]+/([^/"]+)"', rf'url = "https://{address}/\1"', named))
        for manager, service in services.items():
            images.build(service, f"private-{manager}", ca, index)
    for manager in services:
        archive = tmp_path / f"{manager}.tar"
        containers.podman("save", "--output", archive, f"{OURS}/private-{manager}")
        content = archive.read_bytes()
        for secret in (b"index-password", base64.b64encode(b"me:index-password"), b"planted-secret", address.encode()):
            assert secret not in content
        assert b"uvicorn.conf.py" in content  # layers are not compressed: what is in them is found
        with containers.run(f"{OURS}/private-{manager}") as container:
            assert container.get().json() == {"status": "ok"}
