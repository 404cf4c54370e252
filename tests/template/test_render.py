"""Every combination of options: rendered, formatted, linted, typed, tested, booted, asked."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asgi_quickstart import rendering

from ..service import Service, clean_environment, combinations, write_service

pytestmark = pytest.mark.slow


def label(combination: dict[str, str]) -> str:
    return "-".join(combination.values())


@pytest.fixture(params=combinations(), ids=label)
def rendered(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    """A service with one combination, on the shared environment."""
    return write_service(tmp_path / "service", **request.param)


def code_of(service: Service) -> str:
    """What format, lint, types and tests depend on; combinations that share it are checked once."""
    digest = hashlib.sha256()
    for name in rendering.names(service.folder):
        if ".venv" not in name.parts and name.suffix in (".py", ".toml", ".example", ".md") or name.name == "Makefile":
            digest.update(str(name).encode() + (service.folder / name).read_bytes())
    return digest.hexdigest()


def run(service: Service, *command: str) -> None:
    result = subprocess.run(
        command,
        cwd=service.folder,
        env=clean_environment() | {"MYPY_CACHE_DIR": str(Path(sys.prefix) / "cache" / "mypy-services")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"


def test_passes_its_own_checks_and_tests(rendered: Service) -> None:
    run(rendered, "make", "check")
    run(rendered, "make", "test")


def test_boots_and_answers(rendered: Service) -> None:
    with rendered.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2") as service:
        assert service.get().json() == {"status": "ok"}
        assert service.get("/loans/schedule?amount=1000&rate=5&months=12").text.count("\n") == 12
        assert service.get("/docs").status_code == 404
    with rendered.started("dev") as service:
        assert service.get("/docs").status_code == 200


def test_nothing_of_the_template_language_is_left(rendered: Service) -> None:
    for name in rendering.names(rendered.folder):
        if ".venv" not in name.parts:
            text = (rendered.folder / name).read_text()
            assert not any(mark in text for mark in ("<%", "%>", "# ::")), name
            assert "\n\n\n\n" not in text and text.endswith("\n") or not text, name


def test_only_the_chosen_managers_files_are_there(rendered: Service, request: pytest.FixtureRequest) -> None:
    manager = request.node.callspec.params["rendered"]["manager"]
    own = {"pipenv": {"Pipfile"}, "poetry": {"poetry.toml"}}
    expected = own.get(manager, set())
    assert expected == {"Pipfile", "poetry.toml"} & set(os.listdir(rendered.folder))
    others = {"uv", "pipenv", "poetry", "pdm"} - {manager} - ({"uv"} if manager == "pip" else set())  # uv locks for pip
    text = (rendered.folder / "Makefile").read_text() + (rendered.folder / "README.md").read_text()
    assert not [other for other in others if f"{other} " in text]
