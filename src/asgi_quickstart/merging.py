"""The three-way merge of a service: git's own, in a repository beside it, so that nothing is touched before the result is known.

`base` is what the old template wrote, `theirs` what the new one writes, both with the answers that belong to them. All
files of the service that neither of them has are left out: they are the owner's alone.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import git
from .errors import Error
from .recorded import FILE
from .rendering import names

# What git merges with: a rename is followed file by file; the labels of its conflicts are the two branches.
MERGE = ("-c", "merge.conflictStyle=merge", "-c", "merge.renames=true", "-c", "merge.directoryRenames=false")


@dataclass(frozen=True)
class Merge:
    """The result of a merge, in a repository of its own."""

    folder: Path
    conflicts: frozenset[str]  # markers are in the file
    kept: frozenset[str]  # the owner has edited it, and the template no longer has it
    left_out: Mapping[str, str]  # why the owner has no file of this name
    stages: bytes  # git's index of the conflicts

    def diff(self, *words: str) -> bytes:
        """What it changes in the service, as git prints it."""
        git.run("add", "--all", "--force", folder=self.folder)
        return git.run("diff", "--cached", "--no-renames", *words, "HEAD", folder=self.folder)

    def changes(self) -> dict[str, str]:
        """git's letter (A, D, M, T) for each file that it changes."""
        fields = git.names(self.diff("--name-status", "-z"))
        return dict(zip(fields[1::2], fields[::2], strict=True))

    def before(self, name: str) -> str:
        """A file as the service has it; empty if it has none."""
        there = name in git.names(git.run("ls-tree", "-z", "--name-only", "HEAD", "--", name, folder=self.folder))
        return text(name, git.run("show", f"HEAD:{name}", folder=self.folder)) if there else ""

    def after(self, name: str) -> str:
        """A file as the merge has it; empty if it has none."""
        path = self.folder / name
        return text(name, path.read_bytes()) if path.is_file() else ""


def text(name: str, content: bytes) -> str:
    """A file's text; raises Error if it is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Error(f"{name}: line {line} is not UTF-8: save the file as UTF-8, and commit it") from error


@contextmanager
def merged(base: Path, ours: Path, theirs: Path, unwanted: Iterable[str]) -> Iterator[Merge]:
    """The merge for the service `ours`, without the files `unwanted`; the service itself is only read."""
    index = git.tracked(ours, neutral=False)
    was, comes = (set(map(str, names(folder))) for folder in (base, theirs))
    check(ours, was | comes, index)
    links = {name for name in index.keys() & (was | comes) if not index[name].startswith(b"100")}  # or repositories
    owned = set(index) - links
    with tempfile.TemporaryDirectory(prefix="asgi-quickstart-") as work:
        folder = Path(work)
        share_objects(folder, ours)
        deleted = was - owned
        unnamed = renamed(folder, base, theirs, deleted) - owned - links
        left_out = dict.fromkeys(links & comes, "you have a link there")
        left_out |= dict.fromkeys(unnamed, "you deleted it under its former name")
        commit(folder, "base", base, was - deleted)
        commit(folder, "template", theirs, comes - deleted - left_out.keys(), after="base")
        commit_index(
            folder, "yours", {name: index[name] for name in owned & (was | comes | set(unwanted))}, after="base"
        )
        git.run(*MERGE, "merge", "--quiet", "--no-commit", "template", folder=folder, fine=(0, 1))
        git.run("checkout", "--quiet", "template", "--", FILE, folder=folder)  # only the command writes it
        unmerged = set(git.names(git.run("diff", "--name-only", "--diff-filter=U", "-z", folder=folder)))
        conflicts, kept = unmerged & comes, unmerged - comes
        # Without a name git would list them all.
        stages = git.run("ls-files", "--unmerged", "-z", "--", *conflicts, folder=folder) if conflicts else b""
        for name in unwanted:
            (folder / name).unlink(missing_ok=True)
        yield Merge(folder, frozenset(conflicts), frozenset(kept), left_out, stages)


def check(ours: Path, template: set[str], index: Mapping[str, bytes]) -> None:
    """Refuse what could not be undone: files of the template that git does not track, or obstacles in their place."""
    for name in sorted(template - index.keys()):
        place = ours / name
        for way in (*list(place.parents)[: len(Path(name).parts) - 1], place):
            if index.get(str(way.relative_to(ours)), b"").startswith(b"160000") or os.path.lexists(way / ".git"):
                raise Error(f"{way.relative_to(ours)} is in the way: another repository is there")
            if way == place and (way.is_file() or way.is_symlink()):
                raise Error(
                    f"{name} is ignored by git, so an update of it could not be undone: `git add --force {name}`"
                )
            if way.is_symlink() or way.exists() and (way == place or not way.is_dir()):
                raise Error(
                    f"{way.relative_to(ours)} is in the way: the template has a {'file' if way == place else 'folder'} "
                    "there"
                )


def renamed(folder: Path, base: Path, theirs: Path, deleted: set[str]) -> set[str]:
    """The names in the new template of files that the owner deleted."""
    commit(folder, "before", base, map(str, names(base)))
    commit(folder, "after", theirs, map(str, names(theirs)))
    pairs = git.run("diff", "--name-status", "--diff-filter=R", "-M", "-z", "before", "after", folder=folder)
    fields = git.names(pairs)
    return {new for old, new in zip(fields[1::3], fields[2::3], strict=True) if old in deleted}


def share_objects(folder: Path, service: Path) -> None:
    """Make the repository of the merge; it can read what the service has committed."""
    asked = ("--show-object-format", "--path-format=absolute", "--git-path", "objects")
    form, objects = git.run("rev-parse", *asked, folder=service, neutral=False).rstrip(b"\n").split(b"\n", 1)
    git.run("init", "--quiet", f"--object-format={form.decode()}", folder=folder)
    (folder / ".git/objects/info/alternates").write_bytes(objects + b"\n")


def commit(folder: Path, branch: str, source: Path, chosen: Iterable[str], after: str = "") -> None:
    """A branch with the chosen files of a folder, and no others."""
    begin(folder, branch, after)
    for name in chosen:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, folder / name)
    git.run("add", "--all", "--force", folder=folder)
    git.run("commit", "--quiet", "--allow-empty", "--no-verify", "--message", branch, folder=folder)


def commit_index(folder: Path, branch: str, chosen: Mapping[str, bytes], after: str) -> None:
    """A branch with what an index has under the chosen names: not the files, whose line endings may be others."""
    begin(folder, branch, after)
    lines = b"".join(
        described + b"\t" + os.fsencode(name) + b"\0"
        for name, described in chosen.items()
        if not described.startswith(b"160000")  # another repository
    )
    git.run("update-index", "-z", "--index-info", folder=folder, given=lines)
    git.run("commit", "--quiet", "--allow-empty", "--no-verify", "--message", branch, folder=folder)
    git.run("reset", "--quiet", "--hard", folder=folder)


def begin(folder: Path, branch: str, after: str) -> None:
    """An empty work tree on a new branch."""
    git.run("checkout", "--quiet", *(["-b", branch, after] if after else ["--orphan", branch]), folder=folder)
    git.run("rm", "-r", "--quiet", "--force", "--ignore-unmatch", ".", folder=folder)
