"""`asgi-quickstart new`, as it is typed: what it writes, what it prints, how it refuses."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from asgi_quickstart.options import options

from .conftest import Quickstart
from .service import BIN, clean_environment, eventually, free_port

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and /dev/full, which only Linux has")


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


@LINUX
def test_says_when_the_parent_cannot_be_written(quickstart: Quickstart) -> None:
    if os.geteuid() == 0:
        parent = Path("/proc")  # closed even to root
    else:
        parent = quickstart.folder / "closed"
        parent.mkdir(mode=0o555)
    refused(quickstart("new", str(parent / "orders"), "--no-install"), 1, "orders cannot be written")


def test_says_in_one_line_what_the_system_refuses(quickstart: Quickstart) -> None:
    folder = quickstart.folder
    refused(quickstart("new", "a" * 300, "--name=orders", "--no-install"), 1, "aaa: File name too long")
    (folder / "loop").symlink_to("loop")
    refused(quickstart("new", "loop/orders", "--no-install"), 1, "loop", "symbolic links")
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe/main.py")
    refused(quickstart("new", "pipe", "--force", "--no-install"), 2, "pipe/main.py is in the way")
    assert ["main.py"] == os.listdir(folder / "pipe")
    assert ["loop", "pipe"] == sorted(os.listdir(folder))


@LINUX
@pytest.mark.parametrize(
    ("before", "path", "words"),
    [
        ("", "orders > /dev/full", "standard output cannot be written: No space left on device"),
        ("PYTHONUNBUFFERED=1", "orders > /dev/full", "a file or standard output cannot be written: No space"),
        ("mkdir here && cd here && rmdir ../here;", "orders", "the current folder no longer exists"),
        ("here=$PWD/here; mkdir here && cd here && rmdir ../here;", "$here", "the current folder no longer exists"),
        ("ulimit -f 1;", "orders", "cannot be written to /tmp (set TMPDIR to another folder)"),
    ],
    ids=["output", "unbuffered", "folder", "path", "temporary"],
)
def test_says_in_one_line_what_the_shell_has_brought_about(tmp_path: Path, before: str, path: str, words: str) -> None:
    command = f"{before} {BIN}/asgi-quickstart new --no-install --name=orders {path}"
    result = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env=clean_environment() | {"TMPDIR": "/tmp"},
        capture_output=True,
        text=True,
    )
    refused(result, 1, words)


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_closed_end_is_no_terminal(tmp_path: Path, closed: str) -> None:
    command = f"{BIN}/asgi-quickstart new orders --no-install {closed}"
    result = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
    )
    assert (0, "") == (result.returncode, result.stderr)
    assert (tmp_path / "orders/main.py").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a full disk")
def test_a_full_disk_names_the_file_that_has_no_room(quickstart: Quickstart) -> None:
    disk = quickstart.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine allows no mounts")
    try:
        refused(quickstart("new", "disk/orders", "--no-install"), 1, "disk/orders/", "No space left on device")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@LINUX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["import", "lock"])
def test_a_signal_ends_it_with_one_line_and_deletes_nothing(
    quickstart: Quickstart, moment: str, number: signal.Signals
) -> None:
    folder = quickstart.folder / "orders"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (quickstart.folder / "bin").mkdir()
    slow = quickstart.folder / "bin/pdm"
    slow.write_text("#!/bin/sh\necho $$ > ../at_work\necho at work\nexec sleep 60\n")
    slow.chmod(0o755)
    at_work = quickstart.folder / "at_work"
    environment = clean_environment() | {"PATH": f"{slow.parent}:/usr/bin:/bin"}
    with subprocess.Popen(
        [BIN / "asgi-quickstart", "new", "orders", "--force", "--manager=pdm"],
        cwd=quickstart.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # else it is ignored if these tests ignore it
    ) as process:
        assert process.stdout and process.stderr
        if moment == "lock":
            assert any("Locking" in line for line in iter(process.stdout.readline, ""))
            manager = eventually(lambda: at_work.read_text().strip() if at_work.exists() else "")
        else:
            eventually(lambda: "asgi-quickstart" in Path(f"/proc/{process.pid}/cmdline").read_text())
            eventually(lambda: "site-packages" in Path(f"/proc/{process.pid}/maps").read_text())
        process.send_signal(number)
        started = time.monotonic()
        errors, printed = process.stderr.read(), process.stdout.read()
    assert time.monotonic() - started < 5
    assert (128 + number, "asgi-quickstart: stopped") == (process.returncode, errors.strip())
    assert moment != "lock" or "the files stay in orders: to continue, `make lock setup` there" in printed
    assert "mine" == (folder / "notes.txt").read_text()
    if moment == "lock":
        eventually(lambda: ended(manager))


def ended(pid: str) -> bool:
    """Whether a process has ended, though perhaps nobody has asked how."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True


CARELESS = """
import signal, sys

class Finder:
    def find_spec(name, path=None, target=None):
        if name == "LATE":
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                pass

sys.meta_path.insert(0, Finder)
"""


@pytest.mark.parametrize("module", ["asgi_quickstart.cli", "copier"])
def test_ctrl_c_ends_it_though_a_module_loses_it_while_it_is_imported(module: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(CARELESS.replace("LATE", module))
    run = subprocess.run(
        [BIN / "asgi-quickstart", "new", "orders", "--no-install"],
        cwd=tmp_path,
        env=clean_environment() | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (130, "", "asgi-quickstart: stopped\n") == (run.returncode, run.stdout, run.stderr)
    assert not (tmp_path / "orders").exists()


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
