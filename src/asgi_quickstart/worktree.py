"""The git work tree of a service, and what an update needs of it: that git can restore everything."""

import os
from pathlib import Path

from . import git
from .errors import Error, UsageError


def check(path: Path) -> None:
    """Refuse a folder whose files git could not restore."""
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder: name the one with the service")
    if not inside(path):
        raise Error(
            f"{path} is not in a git work tree, so an update could not be undone: `git init`, and commit the service"
        )
    if (path / ".venv.before").exists():
        undo = "`rm -rf .venv && mv .venv.before .venv`, or remove it"
        raise Error(f"{path / '.venv.before'} is left from an update that was interrupted: {undo}")
    lock = path / os.fsdecode(git.run("rev-parse", "--git-path", "index.lock", folder=path, neutral=False)).rstrip("\n")
    if lock.exists():
        raise Error(f"{lock} exists: wait for the git that is running, or remove it if there is none")
    for line in git.names(git.run("ls-files", "-v", "-z", folder=path, neutral=False)):
        mark, name = line.split(" ", 1)
        if mark == "S":
            undo = f"`git sparse-checkout disable`, or `git update-index --no-skip-worktree {name}`"
            raise Error(f"{name} is marked skip-worktree, so git would not write it: {undo}")
        if mark.islower():
            undo = f"`git update-index --no-assume-unchanged {name}`"
            raise Error(f"{name} is marked assume-unchanged, so git would not see your changes to it: {undo}")
    changed = git.run("status", "--porcelain", "--untracked-files=normal", "--", ".", folder=path, neutral=False)
    if changed:
        first = os.fsdecode(changed.splitlines()[0][3:])
        raise Error(
            f"{path} has changes that are not committed ({first}), so an update could not be undone: commit or stash them"
        )


def inside(path: Path) -> bool:
    """Whether a folder is in a work tree; raises Error if git refuses to say."""
    try:
        return git.run("rev-parse", "--is-inside-work-tree", folder=path, neutral=False).strip() == b"true"
    except Error as error:
        if "not a git repository (or any" in str(error):  # otherwise it names a repository that is gone
            return False
        raise
