"""`asgi-quickstart new`, as it is typed: what it writes, what it prints, how it refuses."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from asgi_quickstart.options import options

from .conftest import Quickstart
from .service import BIN, clean_environment, eventually, free_port


def refused(result: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """It ended with the status and one line that has the words."""
    assert (status, 1) == (result.returncode, result.stderr.count("\n")), result.stderr
    assert result.stderr.startswith("asgi-quickstart: ")
    for word in words:
        assert word in result.stderr


def test_writes_the_files_and_says_what_to_type_next(quickstart: Quickstart) -> None:
    result = quickstart("new", "orders", "--no-install", PATH=f"{BIN}:/usr/bin:/bin")
    assert result.returncode == 0, result.stderr
    files = sorted(str(path.relative_to(quickstart.folder / "orders")) for path in quickstart.folder.rglob("*.*"))
    assert {"main.py", "uvicorn.conf.py", ".copier-answers.yml", "app/health.py", "serving/gunicorn.py"} <= set(files)
    assert 20 <= len(files) <= 46
    assert "cd orders\n  make lock setup\n  make dev\n" in result.stdout
    again = "asgi-quickstart new orders --name=orders --manager=uv --server=gunicorn --telemetry=none --realtime=none --image=distroless --deploy=none"
    assert result.stdout.endswith(f"  {again}\n")


def test_next_is_first_a_manager_that_the_makefile_would_not_find(quickstart: Quickstart) -> None:
    printed = quickstart("new", "orders", "--no-install", PATH="/usr/bin:/bin").stdout
    assert "cd orders\n  pipx install uv\n  make lock setup\n" in printed


def test_the_printed_command_writes_the_same_again(quickstart: Quickstart) -> None:
    choices = ["--manager", "pdm", "--server", "granian", "--deploy", "systemd,kubernetes"]
    first = quickstart("new", "orders", "--no-install", *choices)
    before = contents(quickstart.folder / "orders")
    command = shlex.split(first.stdout.splitlines()[-1])
    (quickstart.folder / "orders").rename(quickstart.folder / "before")
    assert quickstart(*command[1:], "--no-install").returncode == 0
    assert before == contents(quickstart.folder / "orders")


@pytest.mark.parametrize(
    ("flags", "recorded"),
    [
        ([], []),
        (["--deploy=none"], []),
        (["--deploy="], []),
        (["--deploy", "systemd, compose"], ["compose", "systemd"]),
        (["--deploy=systemd", "--deploy=compose,systemd"], ["compose", "systemd"]),
    ],
)
def test_several_choices_are_given_with_commas_or_again(
    quickstart: Quickstart, flags: list[str], recorded: list[str]
) -> None:
    result = quickstart("new", "orders", "--no-install", *flags)
    assert result.returncode == 0, result.stderr
    assert yaml.safe_load((quickstart.folder / "orders/.copier-answers.yml").read_text())["deploy"] == recorded
    assert result.stdout.endswith(f" --deploy={','.join(recorded) or 'none'}\n")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_dry_run_prints_what_would_be_written_and_writes_nothing(quickstart: Quickstart) -> None:
    assert "orders/uv.lock" in quickstart("new", "orders", "--dry-run").stdout.split()
    printed = quickstart("new", "orders", "--dry-run", "--no-install").stdout.split()
    assert [] == list(quickstart.folder.iterdir())
    quickstart("new", "orders", "--no-install")
    assert sorted(printed) == sorted(f"orders/{name}" for name in contents(quickstart.folder / "orders"))


def test_has_a_flag_for_every_option(quickstart: Quickstart) -> None:
    text = quickstart("new", "--help").stdout
    for option in options():
        assert f"--{option.name}" in text
        assert "[" + "|".join(option.choices) + "]" in text.replace("\n", "").replace(" ", "") or not option.choices


@pytest.mark.parametrize("folder", ["with a space", "größe", "日本"])
def test_writes_into_paths_with_spaces_and_other_letters(quickstart: Quickstart, folder: str) -> None:
    result = quickstart("new", f"{folder}/orders", "--no-install")
    assert result.returncode == 0, result.stderr
    assert (quickstart.folder / folder / "orders/main.py").exists()


def test_writes_into_a_path_that_is_not_utf_8(tmp_path: Path) -> None:
    environment = clean_environment() | {"PYTHONIOENCODING": "utf-8:strict"}  # as most locales have it
    command = [os.fsencode(BIN / "asgi-quickstart"), b"new", b"gr\xf6sse", b"--no-install"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    assert (0, b"") == (result.returncode, result.stderr)
    assert b"  cd 'gr\xf6sse'\n" in result.stdout
    assert [b"gr\xf6sse"] == os.listdir(os.fsencode(tmp_path))


def test_prints_a_path_that_begins_with_a_dash_so_that_it_is_no_flag(quickstart: Quickstart) -> None:
    printed = quickstart("new", "--name=orders", "--no-install", "--", "-orders").stdout
    place = quickstart.folder / "-orders"
    assert f"  cd {place}\n" in printed and f"  asgi-quickstart new {place} --name" in printed


def test_makes_the_project_name_from_the_folder(quickstart: Quickstart) -> None:
    quickstart("new", "Mein größter Dienst", "--no-install")
    text = (quickstart.folder / "Mein größter Dienst/pyproject.toml").read_text()
    assert 'name = "mein-grosster-dienst"' in text


def test_writes_into_an_empty_folder_and_into_this_one(quickstart: Quickstart) -> None:
    (quickstart.folder / "orders").mkdir()
    assert quickstart("new", "orders", "--no-install").returncode == 0
    quickstart.folder = quickstart.folder / "here"
    quickstart.folder.mkdir()
    assert quickstart("new", ".", "--no-install").returncode == 0
    assert 'name = "here"' in (quickstart.folder / "pyproject.toml").read_text()


def test_alone_it_prints_its_help(quickstart: Quickstart) -> None:
    result = quickstart()
    assert (2, quickstart("--help").stdout) == (result.returncode, result.stderr)
    assert "\n  new     Write a service" in result.stderr


def test_refuses_an_unknown_flag_choice_and_command(quickstart: Quickstart) -> None:
    refused(quickstart("new", "orders", "--managr", "uv"), 2, "--managr", "--manager")
    refused(quickstart("new", "orders", "--manager", "poerty"), 2, "poerty", "did you mean poetry")
    refused(quickstart("new", "orders", "--deploy", "compose,kuberntes"), 2, "kuberntes", "did you mean kubernetes")
    refused(quickstart("new", "orders", "--deploy", "none,compose"), 2, "'none' cannot be combined")
    refused(quickstart("new", "orders", "--deploy", "compose,"), 2, "'' is not one of")
    refused(quickstart("nwe", "orders"), 2, "nwe", "new")
    refused(quickstart("new"), 2, "PATH")
    refused(quickstart("new", "", "--no-install"), 2, "PATH", "it is empty")
    refused(quickstart("new", "orders", "--run", "--no-install"), 2, "--run", "--no-install")
    assert [] == list(quickstart.folder.iterdir())


@pytest.mark.parametrize("name", ["-orders", "or ders", "größe", "orders\n", "", "a/b", "orders."])
def test_refuses_a_name_that_is_no_project_name(quickstart: Quickstart, name: str) -> None:
    refused(quickstart("new", "orders", f"--name={name}"), 2, "project name")
    assert [] == list(quickstart.folder.iterdir())


@pytest.mark.parametrize("words", [["fastapi"], ["orders", "--name=Uvicorn_Worker"], ["pytest", "--server=granian"]])
def test_refuses_the_name_of_a_package_that_the_service_needs(quickstart: Quickstart, words: list[str]) -> None:
    refused(quickstart("new", "--no-install", *words), 2, "a package that the service needs", "--name")
    assert [] == list(quickstart.folder.iterdir())


def test_refuses_a_folder_that_gives_no_project_name(quickstart: Quickstart) -> None:
    refused(quickstart("new", "日本"), 2, "日本", "--name")
    assert quickstart("new", "日本", "--name=nihon", "--no-install").returncode == 0


def test_refuses_a_path_that_is_a_file(quickstart: Quickstart) -> None:
    (quickstart.folder / "orders").write_text("mine")
    refused(quickstart("new", "orders"), 2, "orders is a file")
    refused(quickstart("new", "orders", "--force"), 2, "orders is a file")
    refused(quickstart("new", "orders/below", "--no-install"), 1, "orders")
    assert "mine" == (quickstart.folder / "orders").read_text()


def test_touches_nothing_in_a_folder_that_is_not_empty(quickstart: Quickstart) -> None:
    folder = quickstart.folder / "orders"
    folder.mkdir()
    (folder / "main.py").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    refused(quickstart("new", "orders"), 2, "not empty", "--force")
    assert {"main.py": b"mine", "notes.txt": b"mine"} == contents(folder)
    assert quickstart("new", "orders", "--force", "--no-install").returncode == 0
    assert b"mine" == contents(folder)["notes.txt"]
    assert b"FastAPI" in contents(folder)["main.py"]


@pytest.mark.parametrize("mine", ["requirements.txt", ".venv"])
def test_force_installs_over_no_lock_and_no_environment_of_the_owners(quickstart: Quickstart, mine: str) -> None:
    place = quickstart.folder / "orders" / mine
    place.parent.mkdir()
    place.write_text("mine")
    words = ("new", "orders", "--force", "--manager=pip")
    refused(quickstart(*words), 2, f"orders/{mine} already exists", "--no-install")
    assert [mine] == os.listdir(place.parent)
    assert quickstart(*words, "--no-install").returncode == 0
    assert "mine" == place.read_text()


@pytest.mark.parametrize("in_the_way", ["main.py", "app"])
@pytest.mark.parametrize("kind", ["other kind", "link"])
def test_force_writes_through_no_link_and_over_nothing_else(quickstart: Quickstart, in_the_way: str, kind: str) -> None:
    folder = quickstart.folder / "orders"
    folder.mkdir()
    precious = quickstart.folder / "precious"
    precious.mkdir()
    place = folder / in_the_way
    if kind == "link":
        place.symlink_to(precious)
    elif in_the_way == "app":
        place.write_text("mine")
    else:
        place.mkdir()
    for flag in ("--no-install", "--dry-run"):
        result = quickstart("new", "orders", "--force", flag)
        refused(result, 2, in_the_way, "in the way")
        assert "" == result.stdout
    assert list(precious.iterdir()) == []
    assert os.listdir(folder) == [in_the_way]


@pytest.mark.slow
def test_run_serves_the_new_service_in_development_mode(quickstart: Quickstart) -> None:
    import httpx2

    port = free_port()
    with subprocess.Popen(
        [BIN / "asgi-quickstart", "new", "orders", "--run"],
        cwd=quickstart.folder,
        env=clean_environment() | {"PORT": str(port)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            eventually(lambda: httpx2.get(f"http://127.0.0.1:{port}/docs").is_success, 120)
        finally:
            process.terminate()
    assert process.returncode == 0


def test_as_a_module_it_is_the_same_command() -> None:
    result = subprocess.run([BIN / "python", "-m", "asgi_quickstart", "--version"], capture_output=True, text=True)
    assert result.stdout.startswith("asgi-quickstart") or "0.1.0" in result.stdout
