"""The states of the template: the one in use, and every earlier one, which the package contains.

A state is known by its tree, as git names it: the digest of `copier.yml` and `template/`. A service written by the
command records `VERSION+TREE`, one written by `copier copy` the commit it was copied from.
"""

import hashlib
import io
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

from . import git
from .errors import Error
from .options import TEMPLATE

HISTORY = TEMPLATE.parent / "_history"
SHORT = 12  # digits of a tree in a version


@cache
def current() -> str:
    """The version of this command and of its template, as a service records it."""
    return f"{version('asgi-quickstart')}+{tree(TEMPLATE)[:SHORT]}"


def tree(folder: Path) -> str:
    """The name that git gives to a folder with these files."""
    lines = []
    for path in folder.iterdir():
        if path.name == "__pycache__":  # an installer compiles what it installs
            continue
        if path.is_dir():
            lines.append((path.name + "/", b"40000", path.name, tree(path)))
        else:
            mode = b"100755" if os.access(path, os.X_OK) else b"100644"
            lines.append((path.name, mode, path.name, _digest(b"blob", path.read_bytes())))
    entries = (mode + b" " + name.encode() + b"\0" + bytes.fromhex(digest) for _, mode, name, digest in sorted(lines))
    return _digest(b"tree", b"".join(entries))


def _digest(kind: bytes, content: bytes) -> str:
    return hashlib.sha1(kind + b" %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def template(commit: str, source: str) -> Iterator[Path]:
    """The template that a service records as `commit` of `source`, in a folder.

    Raises Error when this command does not know it, or is older.
    """
    written_by, _, digits = commit.partition("+")
    if digits and _newer(written_by, version("asgi-quickstart")):
        raise Error(
            f"the service was written by asgi-quickstart {written_by}, which is newer than this one, "
            f"{version('asgi-quickstart')}: upgrade the command"
        )
    if digits and digits == tree(TEMPLATE)[:SHORT]:
        yield TEMPLATE
        return
    found = _tree_of(digits) if digits else _tree_at(commit)
    if not found:
        raise Error(
            f"_commit: {commit} of {source} is not a template that this asgi-quickstart, {current()}, knows: it is newer, "
            "was never committed, or is another project's"
        )
    with tempfile.TemporaryDirectory(prefix="asgi-quickstart-") as name:
        folder = Path(name)
        git.run("init", "--quiet", "--bare", "objects", folder=folder)
        git.run("unpack-objects", "-q", folder=folder / "objects", given=(HISTORY / "objects.pack").read_bytes())
        packed = git.run("archive", "--format=tar", found, folder=folder / "objects")
        archive = tarfile.open(fileobj=io.BytesIO(packed))
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12's Python has none
        archive.extractall(folder / "template")
        yield folder / "template"


def _newer(one: str, other: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(one) > Version(other)
    except InvalidVersion:
        return False


def _states() -> dict[str, str]:
    """The tree of each commit."""
    try:
        lines = (HISTORY / "states").read_text("utf-8").splitlines()
    except FileNotFoundError:  # built without git's history
        return {}
    return dict(line.split() for line in lines)


def _tree_of(digits: str) -> str | None:
    return next((name for name in _states().values() if name.startswith(digits)), None)


def _tree_at(commit: str) -> str | None:
    """By a commit's name, or by the output of `git describe`."""
    digits = commit.rpartition("-g")[2]
    if not re.fullmatch(r"[0-9a-f]{7,40}", digits):
        return None
    return next((tree for name, tree in _states().items() if name.startswith(digits)), None)
