"""Writes a merge into its service."""

import os
from collections.abc import Iterable
from pathlib import Path

from . import git
from .merging import Merge

NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")  # nothing is checked out


def write(merge: Merge, service: Path) -> None:
    """Write what the merge changes into the service and into git's index, conflicts as git has them.

    git writes the files, so that they have the line endings and pass the filters that are configured.
    """
    changes = merge.changes()
    index = git.tracked(merge.folder)
    stages = [line.split(b"\t", 1) for line in merge.stages.split(b"\0") if line]
    objects = [*(index[name].split()[1] for name in changes if name in index), *(was.split()[1] for was, _ in stages)]
    packed = git.run("pack-objects", "--quiet", "--stdout", folder=merge.folder, given=b"\n".join(objects))
    git.run("unpack-objects", "-q", folder=service, given=packed, neutral=False)

    for name in changes.keys() - index.keys():
        remove(service, name)
    prefix = git.run("rev-parse", "--show-prefix", folder=service, neutral=False).rstrip(b"\n")
    forget = b"0 " + b"0" * len(git.run("rev-parse", "HEAD", folder=merge.folder).strip())

    def tell(lines: Iterable[tuple[bytes, bytes]]) -> None:
        given = b"".join(described + b"\t" + prefix + name + b"\0" for described, name in lines)
        git.run("update-index", "-z", "--index-info", folder=service, given=given, neutral=False)

    tell((index.get(name, forget), os.fsencode(name)) for name in changes)
    with_names(service, (name for name in changes if name in index), *NO_HOOKS, "restore", "--worktree")
    if stages:  # git must forget the one version before it takes the three
        tell([*((forget, name) for name in {name for _, name in stages}), *((was, name) for was, name in stages)])


def remove(service: Path, name: str) -> None:
    """Remove a file, and the folders that are empty without it."""
    path = service / name
    path.unlink(missing_ok=True)
    for parent in path.parents:
        if parent == service or not parent.is_dir() or os.listdir(parent):
            break
        parent.rmdir()


def stage(service: Path, chosen: Iterable[str]) -> None:
    """Add files to git's index, so that it can restore what was there before; whatever a lock's line endings are."""
    with_names(service, chosen, "-c", "core.safecrlf=false", "add", "--all")


def with_names(service: Path, chosen: Iterable[str], *words: str) -> None:
    """Run git on files, if there are any."""
    if listed := b"".join(os.fsencode(name) + b"\0" for name in chosen):
        words = ("--literal-pathspecs", *words, "--pathspec-from-file=-", "--pathspec-file-nul")
        git.run(*words, folder=service, given=listed, neutral=False)
