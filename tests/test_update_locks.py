"""`asgi-quickstart update` where it locks, with stand-ins for the managers: what it overwrites, and what it says."""

import subprocess
from pathlib import Path

import pytest

from .made_history import History, Release, commit, edit
from .test_update import Write, contents, updated

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
    result = update(history["1.0.0"], folder, "--manager=pip")
    refused(result, "requirements.txt is there", "move it", "--no-install")
    assert before == contents(folder)
    updated(history["1.0.0"], folder, "--manager=pip")
    assert "mine" == (folder / "requirements.txt").read_text()
