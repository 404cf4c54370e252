"""The command where the system refuses, where nobody reads on, and where a signal ends it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import Quickstart
from .service import BIN, clean_environment, eventually
from .test_cli import refused

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and /dev/full, which only Linux has")


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


@pytest.mark.slow
def test_who_reads_no_further_stops_nothing(tmp_path: Path) -> None:
    command = f"{BIN}/asgi-quickstart new orders --yes | head -n 1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
    )
    assert (0, "") == (result.returncode, result.stderr)
    assert result.stdout.count("\n") == 1 and (tmp_path / "orders/.venv/bin/gunicorn").exists()


def test_says_in_one_line_that_nobody_reads(tmp_path: Path) -> None:
    command = f"{{ sleep 0.1; {BIN}/asgi-quickstart new orders --dry-run; echo $? > status; }} | true; wait"
    result = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
    )
    refused(result, 0, "standard output cannot be written: nobody reads it any more")
    assert (tmp_path / "status").read_text() == "1\n"


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
