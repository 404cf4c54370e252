"""Every combination of options: rendered, formatted, linted, typed, tested, booted, asked."""

import hashlib
import subprocess
import sys
import tomllib
from collections.abc import Hashable
from pathlib import Path
from types import CodeType

import pytest
from jinja2 import Environment

from asgi_quickstart import rendering
from asgi_quickstart.answers import Answers
from asgi_quickstart.errors import UsageError
from asgi_quickstart.options import document

from .. import once
from ..service import Service, clean_environment, combinations, every_combination, write_service

pytestmark = pytest.mark.slow


def label(combination: dict[str, str]) -> str:
    return "-".join(combination.values())


@pytest.fixture(params=combinations(), ids=label)
def rendered(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    """A service with one combination, on the shared environment."""
    return write_service(tmp_path / "service", **request.param)


def what_it_does(service: Service, *words: str) -> str:
    """A digest of what `make WORDS` does and reads; combinations that share it differ in how they install."""
    digest = hashlib.sha256()
    for name in rendering.names(service.folder):
        if ".venv" not in name.parts and (name.suffix == ".py" or name.name in (".env.example", "Pipfile")):
            digest.update(str(name).encode() + (service.folder / name).read_bytes())
    settings = [line for line in (service.folder / "README.md").read_text().splitlines() if line.startswith("| `")]
    tools = tomllib.loads((service.folder / "pyproject.toml").read_text())["tool"]
    dry = subprocess.run(
        ["make", "--dry-run", *words], cwd=service.folder, env=clean_environment(), capture_output=True, check=True
    )
    digest.update(repr([settings, tools["ruff"], tools["mypy"], tools["pytest"], dry.stdout]).encode())
    return digest.hexdigest()


@pytest.fixture
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was seen to work in this run."""
    return once.folder_of_the_run(tmp_path_factory) / "done"


SHELL = {  # what a developer may have set
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PUBLISH_TOKEN": "of the shell",
    "CHANNEL_HISTORY": "1",
    "CHANNEL_QUEUE": "1",
}


def run(service: Service, *command: str, **environment: str) -> None:
    result = subprocess.run(
        command,
        cwd=service.folder,
        env=clean_environment() | environment | {"MYPY_CACHE_DIR": str(Path(sys.prefix) / "cache" / "mypy-services")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"


def test_passes_its_own_checks_and_tests(rendered: Service, done: Path) -> None:
    with once.first(done / what_it_does(rendered, "check", "test")) as first:
        if first:
            run(rendered, "make", "check")
            run(rendered, "make", "test", **SHELL)


def test_boots_and_answers(rendered: Service, done: Path) -> None:
    with once.first(done / what_it_does(rendered, "run", "dev")) as first:
        if first:
            boots(rendered)


def boots(rendered: Service) -> None:
    with rendered.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2") as service:
        assert service.get().json() == {"status": "ok"}
        assert service.get("/loans/schedule?amount=1000&rate=5&months=12").text.count("\n") == 12
        assert service.get("/docs").status_code == 404
    with rendered.started("dev") as service:
        assert service.get("/docs").status_code == 200


UVICORN = {"serving/connection.py", "serving/cork.py", "serving/requests.py"}
# The files that a choice brings; they are there if one of their choices is made, and else they are not.
OWN: dict[tuple[str, str], set[str]] = {
    ("manager", "pipenv"): {"Pipfile", "tests/test_pipfile.py"},
    ("manager", "poetry"): {"poetry.toml"},
    ("server", "gunicorn"): {"uvicorn.conf.py", "serving/gunicorn.py", *UVICORN},
    ("server", "uvicorn"): {"serving/uvicorn.py", *UVICORN},
    ("server", "granian"): {f"serving/granian{part}.py" for part in ("", "_asgi", "_loop", "_workers")},
    ("server", "hypercorn"): {
        "gunicorn.conf.py",
        "serving/gunicorn.py",
        "serving/hypercorn.py",
        "serving/hypercorn_connection.py",
        "serving/hypercorn_http1.py",
    },
    ("telemetry", "full"): {
        "serving/metrics.py",
        "serving/exporter.py",
        "serving/traces.py",
        "tests/test_telemetry.py",
    },
    ("realtime", "full"): {"channels/hub.py", "app/channels.py", "tests/test_channels.py"},
    ("image", "distroless"): {"Dockerfile", ".dockerignore"},
    ("image", "slim"): {"Dockerfile", ".dockerignore"},
    ("deploy", "compose"): {"compose.yaml", "deploy/compose/Caddyfile", "secrets/.gitignore"},
    ("deploy", "kubernetes"): {"deploy/kubernetes/base/deployment.yaml", "deploy/kubernetes/base/kustomization.yaml"},
    ("deploy", "systemd"): {"deploy/systemd/app.service", "deploy/systemd/release"},
}
NEED_AN_IMAGE = {"compose", "kubernetes"}
OWNED = set[str]().union(*OWN.values())


compile_anew = Environment.compile
compiled: dict[Hashable, CodeType] = {}


def compile_once(self: Environment, source: str, name: str | None = None, filename: str | None = None) -> CodeType:
    """As Jinja compiles, for all of copier's environments, of which each rendering has two."""
    key = type(self), source, name, filename
    if key not in compiled:
        compiled[key] = compile_anew(self, source, name, filename)
    return compiled[key]


@pytest.mark.parametrize("manager", document()["managers"]["default"])
def test_every_combination_has_the_chosen_files_only_and_nothing_of_the_template_language(
    manager: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same texts hundreds of times: compiled once, and git not asked about every file, it takes a third of the time.
    monkeypatch.setattr(Environment, "compile", compile_once)
    monkeypatch.setattr("copier._main.is_git_available", lambda: False)
    words = {"uv", "pipenv", "poetry", "pdm"} - {manager} - ({"uv"} if manager == "pip" else set())  # uv locks for pip
    for combination in every_combination():
        if combination["manager"] != manager:
            continue
        if combination["image"] == "none" and NEED_AN_IMAGE & set(combination["deploy"]):
            with (
                pytest.raises(UsageError, match="an image is needed"),
                rendering.rendered(Answers.complete(combination)),
            ):
                pass
            continue
        with rendering.rendered(Answers.complete(combination)) as folder:
            files = {str(name): (folder / name).read_text() for name in rendering.names(folder)}
        made = {
            (name, one)
            for name, answer in combination.items()
            for one in ([answer] if isinstance(answer, str) else answer)
        }
        assert OWNED & set(files) == set[str]().union(*(OWN.get(choice, set()) for choice in made)), combination
        for name, text in files.items():
            assert not any(mark in text for mark in ("<%", "%>", "# ::")), (combination, name)
            assert "\n\n\n\n" not in text and text.endswith("\n") or not text, (combination, name)
        told = files["Makefile"] + files["README.md"] + files.get("Dockerfile", "")
        assert not [word for word in words if f"{word} " in told], combination
