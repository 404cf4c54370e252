"""Every manager, from an empty folder: lock, install from the lock alone, check, test, boot, ask, refuse drift."""

import os
import re
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pip._internal.models.index import PyPI

from asgi_quickstart.options import document

from ..service import BIN, Service, clean_environment, eventually, write_service

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"
TOOLS = ROOT / os.environ.get("TOOLS", ".cache/managers")
MANAGERS = document()["managers"]["default"]


def as_of() -> str:
    """The moment as of which dependencies are resolved; empty means today."""
    if os.environ.get("LATEST"):
        return ""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    return str(tool["uv"]["exclude-newer"])


def dated() -> dict[str, str]:
    """The variable that makes uv resolve as of then."""
    return {"UV_EXCLUDE_NEWER": as_of()} if as_of() else {}


def user_environment(manager: str, folder: Path) -> Mapping[str, str]:
    """A user who has the manager, an empty HOME, and releases up to the kept date."""
    programs = [TOOLS / manager / "bin"] if manager not in ("uv", "pip") else [BIN] if manager == "uv" else []
    (folder / "home").mkdir()
    environment = clean_environment() | {
        "HOME": str(folder / "home"),
        "PATH": os.pathsep.join([*map(str, programs), *os.environ["PATH"].split(os.pathsep)]),
        **{f"{name}_CACHE_DIR": str(CACHE / name.lower()) for name in ("UV", "PIP", "PIPENV", "POETRY", "PDM")},
        "POETRY_PYPI_MIRROR_URL": PyPI.simple_url,  # the plugin asks the index as every other manager does
    }
    if moment := as_of():
        days = (datetime.now(UTC) - datetime.fromisoformat(moment)).days + 1
        frozen = folder / "pdm.toml"
        frozen.write_text(f'[strategy]\nexclude-newer = "{moment}"\n')
        environment |= {
            "UV_EXCLUDE_NEWER": moment,
            "PIP_UPLOADED_PRIOR_TO": moment,
            "PDM_CONFIG_FILE": str(frozen),
            "POETRY_SOLVER_MIN_RELEASE_AGE": str(days),
        }
    return environment


@pytest.fixture(params=MANAGERS)
def manager(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name not in ("uv", "pip") and not (TOOLS / name).exists():
        pytest.skip(f"{name} is not set up: `make {TOOLS.relative_to(ROOT)}/{name}`")
    return name


def test_from_an_empty_folder_to_the_first_answer(manager: str, tmp_path: Path) -> None:
    environment = {**user_environment(manager, tmp_path), "PIP_USER": "1"}  # as some containers for development have it
    folder = tmp_path / "größer als nötig" / "orders"

    def run(*command: str | Path, cwd: Path = folder, status: int = 0) -> str:
        result = subprocess.run(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280
        )
        output = result.stdout + result.stderr
        assert (result.returncode == 0) == (status == 0), output
        return output

    run(BIN / "asgi-quickstart", "new", folder, f"--manager={manager}", cwd=tmp_path)

    lock = (folder / MANAGERS[manager]["lock_file"]).read_text()
    assert "sha256:" in lock

    shutil.rmtree(folder / ".venv")
    run("make", "setup")
    assert lock == (folder / MANAGERS[manager]["lock_file"]).read_text()
    run("make", "check", "test")

    service = Service(folder)
    with service.started("run", **environment, HOST="127.0.0.1"):
        assert service.get().json() == {"status": "ok"}

    run("make", "lock", "setup")
    assert lock == (folder / MANAGERS[manager]["lock_file"]).read_text()

    manifest = "Pipfile" if manager == "pipenv" else "pyproject.toml"
    line = (
        ('fastapi = ">=0', 'six = ">=1.16"\nfastapi = ">=0')
        if manager == "pipenv"
        else ('    "fastapi>', '    "six>=1.16",\n    "fastapi>')
    )
    service.edit(manifest, *line)
    run("make", "setup", status=2)


def test_a_service_called_like_a_package_that_another_one_needs_is_to_have_another_name(tmp_path: Path) -> None:
    command: list[str | Path] = [BIN / "asgi-quickstart", "new", tmp_path / "click", "--yes", "--manager=uv"]
    environment = user_environment("uv", tmp_path)
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    line = result.stderr.partition("\n")[0]
    assert "the service has the name of a package that it needs" in line and "--name" in line, result.stderr


@pytest.mark.parametrize(
    ("manager", "word"), [("pip", "setup"), ("pip", "lock"), ("pipenv", "setup"), ("uv", "production")]
)
def test_an_environment_that_python_could_not_finish_is_made_again(tmp_path: Path, manager: str, word: str) -> None:
    service = write_service(tmp_path / "service", manager=manager)
    (service.folder / ".venv").unlink()
    program = (service.folder / ".venv/bin" if word == "production" else tmp_path / "bin") / "python3"
    program.parent.mkdir(parents=True)
    (program.parent / "uvicorn").touch()
    program.write_text('#!/bin/sh\nmkdir -p "$3/bin"\necho no ensurepip in "$3" >&2\nexit 1\n')
    program.chmod(0o755)
    environment = clean_environment() | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    for _ in range(2):
        result = subprocess.run(["make", word], cwd=service.folder, env=environment, capture_output=True, text=True)
        assert result.returncode != 0
        assert re.search(r"^no ensurepip in \.(venv|audit_cache)$", result.stderr, re.M), result.stderr


def test_two_words_of_make_are_done_one_after_the_other(tmp_path: Path) -> None:
    service = write_service(tmp_path / "service")
    begun = "timeout 1 sh -c 'until test -e ../set_up; do sleep 0.02; done'"
    (tmp_path / "uv").write_text(f"#!/bin/sh\n[ $1 = sync ] && exec touch ../set_up\n! {begun}\n")
    (tmp_path / "uv").chmod(0o755)
    environment = clean_environment() | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["make", "-j", "lock", "setup"], cwd=service.folder, env=environment, check=True)


@pytest.mark.parametrize("before", ["nothing", "what `make lock` has made"])
def test_a_first_installation_that_fails_leaves_no_half_environment(tmp_path: Path, before: str) -> None:
    service = write_service(tmp_path / "service")
    (service.folder / ".venv").unlink()
    if before != "nothing":
        (service.folder / ".venv/bin").mkdir(parents=True)
    (tmp_path / "uv").write_text(
        "#!/bin/sh\nmkdir -p .venv/bin\ntouch .venv/bin/uvicorn\necho no network >&2\nexit 1\n"
    )
    (tmp_path / "uv").chmod(0o755)
    environment = clean_environment() | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for _ in range(2):
        result = subprocess.run(["make", "test"], cwd=service.folder, env=environment, capture_output=True, text=True)
        assert result.returncode != 0
        assert "no network\n" in result.stderr
    assert not (service.folder / ".venv").exists()


def test_a_link_in_the_place_of_the_environment_is_left_alone(tmp_path: Path) -> None:
    service = write_service(tmp_path / "service")
    (service.folder / ".venv").unlink()
    (tmp_path / "elsewhere").mkdir()
    (service.folder / ".venv").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "uv").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "uv").chmod(0o755)
    environment = clean_environment() | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(["make", "test"], cwd=service.folder, env=environment, capture_output=True).returncode != 0
    assert (service.folder / ".venv").is_symlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_first_installation_that_is_broken_off_leaves_no_half_environment(
    tmp_path: Path, number: signal.Signals
) -> None:
    service = write_service(tmp_path / "service")
    (service.folder / ".venv").unlink()
    (tmp_path / "uv").write_text("#!/bin/sh\nmkdir -p .venv/bin\ntouch .venv/bin/uvicorn ../at_work\nexec sleep 60\n")
    (tmp_path / "uv").chmod(0o755)
    with subprocess.Popen(
        ["make", "test"],
        cwd=service.folder,
        env=clean_environment() | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        start_new_session=True,  # a terminal tells all of them
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as make:
        eventually((tmp_path / "at_work").exists)
        os.killpg(make.pid, number)
    assert make.returncode != 0
    assert not (service.folder / ".venv").exists()
