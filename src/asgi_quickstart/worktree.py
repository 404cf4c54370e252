"""The git work tree that a service is in, and what an update needs of it: that git can bring everything back."""

from pathlib import Path

from . import git
from .errors import Error, UsageError


def check(path: Path) -> None:
    """Refuse a folder whose files git could not bring back."""
    if not path.is_dir():
        raise UsageError(f"{path} is no folder: name the one with the service")
    if not inside(path):
        raise Error(f"{path} is no git work tree, so an update could not be undone: `git init`, and commit the service")
    if git.run("status", "--porcelain", "--", ".", folder=path, neutral=False):
        raise Error(
            f"{path} has changes that are not committed, so an update could not be undone: commit or stash them"
        )


def inside(path: Path) -> bool:
    """Whether a folder is in a work tree; raises Error when git does not want to say."""
    try:
        return git.run("rev-parse", "--is-inside-work-tree", folder=path, neutral=False).strip() == b"true"
    except Error as error:
        if "not a git repository" in str(error):
            return False
        raise
