"""`asgi-quickstart update` where it locks, with stand-ins for the managers: what it overwrites, and what it says."""

import subprocess
from pathlib import Path

import pytest

from .made_history import History, Release, commit, edit, git
from .test_update import LOCK, OFF, Write, contents, go_back, updated

pytestmark = pytest.mark.slow

LOCKS = """[ "$1" = lock ] && printf '[[package]]\\nname = "six"\\nversion = "2"\\n' > pdm.lock; mkdir -p .venv"""


def update(
    release: Release, folder: Path, *flags: str, manager: str = "pdm", does: str = LOCKS
) -> subprocess.CompletedProcess[str]:
    """Update, lock and install, with a manager that does what is said."""
    program = folder.parent / ".git/bin" / manager  # where nobody looks for changes
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    return release("update", *flags, cwd=folder, PATH=f"{program.parent}:/usr/bin:/bin")


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """It ended with one line that has the words."""
    assert (1, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n")), result
    assert all(word in result.stderr for word in words), result.stderr


@pytest.mark.parametrize("known", ["committed", "ignored"])
def test_the_lock_of_another_manager_is_not_written_over_a_file_of_the_owner(
    history: History, written: Write, known: str
) -> None:
    folder = written()
    if known == "ignored":
        edit(folder / ".gitignore", ".venv/\n", ".venv/\nrequirements.txt\n")
    (folder / "requirements.txt").write_text("mine")
    commit(folder)
    before = contents(folder)
    for flags in ((), ("--no-install",)):  # what is then to be typed would write over it
        refused(update(history["1.0.0"], folder, "--manager=pip", *flags), "requirements.txt already exists", "move it")
        assert before == contents(folder)


def test_a_lock_that_git_ignores_is_not_made_anew(history: History, written: Write) -> None:
    folder = written("1.0.0", "--manager=pdm")
    edit(folder / ".gitignore", ".venv/\n", ".venv/\npdm.lock\n")
    (folder / "pdm.lock").write_text(LOCK)
    commit(folder)
    before = contents(folder)
    refused(
        update(history["2.0.0"], folder), "pdm.lock is ignored by git", "`git add --force pdm.lock`", "--no-install"
    )
    assert before == contents(folder)
    updated(history["2.0.0"], folder)
    assert before["pdm.lock"] == (folder / "pdm.lock").read_bytes()
    git(folder, "reset", "--quiet", "--hard")
    (folder / "pdm.lock").unlink()  # nothing would be lost, and it stays ignored
    result = update(history["2.0.0"], folder)
    assert 0 == result.returncode and (folder / "pdm.lock").exists(), result.stderr
    assert "pdm.lock" not in git(folder, "ls-files")


def test_a_conflict_in_what_poetry_reads_leaves_the_lock_to_the_owner(history: History, written: Write) -> None:
    folder = written()
    (folder / "poetry.toml").write_text("[installer]\nparallel = false\n")
    commit(folder)
    result = update(history["1.0.0"], folder, "--manager=poetry", manager="poetry", does="echo no luck; exit 1")
    assert 1 == result.returncode and "no luck" not in result.stderr
    assert "conflicts are marked in poetry.toml" in result.stderr
    assert "git add poetry.toml" in result.stdout and "make lock setup" in result.stdout


def test_conflicts_are_named_also_where_the_manager_fails(history: History, written: Write) -> None:
    folder = written()
    edit(folder / "main.py", "to be read from top to bottom", "MINE")
    commit(folder)
    result = update(history["3.0.0"], folder, OFF, "--manager=pdm", does="echo no luck; exit 1")
    assert 1 == result.returncode and "no luck" in result.stderr
    assert "\nconflicts are marked in main.py: resolve them" in result.stderr


@pytest.mark.parametrize("status", [0, 1])
def test_an_environment_that_is_a_link_stays_on_the_way_back(
    history: History, written: Write, tmp_path: Path, status: int
) -> None:
    folder = written()
    edit(folder / ".gitignore", ".venv/\n", ".venv\n")
    (folder / "uv.lock").write_text(LOCK)
    commit(folder)
    (tmp_path / ".git/shared").mkdir()
    (folder / ".venv").symlink_to(tmp_path / ".git/shared")
    result = update(history["1.0.0"], folder, "--manager=pdm", does=f"{LOCKS}; exit {status}")
    assert status == result.returncode
    assert (
        "To go back:\n  git -C . restore --staged --worktree . && rm -f ./.pdm-python && make -C . setup\n"
        in result.stdout
    )
    git(folder, "reset", "--quiet", "--hard")
    assert "rm -r .venv" not in updated(history["1.0.0"], folder, "--manager=pdm")
    assert (folder / ".venv").is_symlink()


def test_git_that_is_strict_about_line_endings_takes_the_lock(history: History, written: Write) -> None:
    folder = written()
    git(folder, "config", "core.autocrlf", "input")
    git(folder, "config", "core.safecrlf", "true")
    result = update(history["1.0.0"], folder, "--manager=pdm", does=LOCKS.replace("\\n", "\\r\\n"))
    assert 0 == result.returncode, result.stderr
    assert "pdm.lock" in git(folder, "ls-files")


@pytest.mark.parametrize("flags", [(), ("--manager=pdm",)])
@pytest.mark.parametrize("there", [True, False])
def test_the_way_back_without_a_lock_removes_only_an_environment_that_the_update_has_made(
    history: History, written: Write, flags: tuple[str, ...], there: bool
) -> None:
    folder = written("1.0.0", "--manager=pip" if flags else "--manager=pdm")
    before = contents(folder)
    if there:
        (folder / ".venv").mkdir()
    result = update(history["2.0.0"], folder, *flags, does=LOCKS + ("; touch .pdm-python" if flags else ""))
    assert 0 == result.returncode, result.stderr
    go_back(result.stdout, folder)
    assert before == contents(folder)
    assert there == (folder / ".venv").exists()
    assert "" == git(folder, "status", "--porcelain")
