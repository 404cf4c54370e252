"""The one call into copier: answers in, files out."""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import history, interrupt
from .answers import Answers
from .errors import Error, Refusal, UsageError, one_line
from .options import TEMPLATE


@contextmanager
def rendered(answers: Answers, template: Path = TEMPLATE, version: str = "") -> Iterator[Path]:
    """A temporary folder with the service's files; `version` is that of the template, this command's by default."""
    with interrupt.at_once():
        import copier  # slow to import: only when something is rendered
        from copier.errors import CopierError

    # Lists, because copier writes them down, and YAML has no tuples.
    data = {name: list(value) if isinstance(value, tuple) else value for name, value in answers.values.items()}
    data["version"] = version or history.current()
    with tempfile.TemporaryDirectory(prefix="asgi-quickstart-") as folder:
        try:
            copier.run_copy(
                str(template),
                folder,
                data=data,
                settings=copier.Settings(),  # the user's are for other templates
                defaults=True,
                quiet=True,
                overwrite=True,
            )
        except OSError as error:
            os.getcwd()  # if it is gone, that is the cause, and this raises it
            place = f"{tempfile.gettempdir()} (set TMPDIR to another folder)"
            raise Error(f"the files cannot be written to {place}: {one_line(error)}") from error
        except (CopierError, ValueError) as error:
            if refused := re.match(r"Validation error for question '(\w+)': (.*)", str(error), re.S):
                raise Refusal(refused[2], refused[1]) from error
            raise UsageError(str(error)) from error
        yield Path(folder)


def names(folder: Path) -> list[Path]:
    """Every file below a folder, relative to it, sorted."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def check_target(path: Path, *, force: bool) -> None:
    """Refuse a path that is not a folder, or a folder that is not empty."""
    if path.is_symlink() and not path.exists():
        raise UsageError(f"{path} is a link to nothing: name another path")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file: name a new or an empty folder")
    if path.is_dir() and not force:
        try:
            filled = next(path.iterdir(), None) is not None
        except OSError as error:
            raise Error(f"{path} cannot be read: {error.strerror}") from error
        if filled:
            raise UsageError(f"{path} is not empty: name another folder, or let --force overwrite the template's files")


def check_absent(path: Path, names: Iterable[str]) -> None:
    """Refuse a folder with files of the owner that would be overwritten by an installation."""
    for name in names:
        if os.path.lexists(path / name):
            raise UsageError(f"{path / name} already exists and would be overwritten: move it, or give --no-install")


def check_places(source: Path, path: Path) -> None:
    """Refuse a folder with something else in the place of a file or folder of `source`."""
    for name in names(source):
        for place in (name, *name.parents[:-1]):
            target = path / place
            fits = target.is_file() if place == name else target.is_dir()
            if target.is_symlink() or target.exists() and not fits:
                raise UsageError(
                    f"{target} is in the way: the template has a {'file' if place == name else 'folder'} there"
                )


def write(source: Path, path: Path) -> None:
    """Put the files of `source` into `path`; whatever else is there stays as it is."""
    for name in names(source):
        target = path / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((source / name).read_bytes())
        except OSError as error:
            raise Error(f"{error.filename or target} cannot be written: {error.strerror}") from error
