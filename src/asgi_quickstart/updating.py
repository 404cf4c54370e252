"""`asgi-quickstart update`: one merge, from what a service records to what is wanted."""

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import git, history, interrupt, locking, pipfile, worktree, writing
from .answers import Answers
from .errors import Error, Refusal, one_line
from .managers import Manager
from .merging import Merge, merged
from .options import TEMPLATE, Value
from .recorded import Recorded, read, wrong
from .rendering import rendered


@dataclass(frozen=True)
class Update:
    """A planned update of a service."""

    path: Path
    recorded: Recorded
    before: Answers
    after: Answers
    merge: Merge

    @property
    def managers(self) -> tuple[Manager, Manager]:
        """The old one, and the new one."""
        return Manager.named(self.before["manager"]), Manager.named(self.after["manager"])

    @property
    def switched(self) -> bool:
        """Whether the manager changes."""
        return self.before["manager"] != self.after["manager"]

    @property
    def lockable(self) -> bool:
        """Whether the manager can read its input: there is no conflict in it."""
        return not {"pyproject.toml", "Pipfile", "poetry.toml"} & self.merge.conflicts

    def diff(self) -> bytes:
        """What it changes, as git prints it in the repository that the service is in."""
        prefix = os.fsdecode(git.run("rev-parse", "--show-prefix", folder=self.path, neutral=False)).rstrip("\n")
        return self.merge.diff("--binary", f"--src-prefix=a/{prefix}", f"--dst-prefix=b/{prefix}")

    @cached_property
    def locks(self) -> bool:
        """Whether the lock has to be remade."""
        if self.switched or not self.lockable or "Pipfile" in self.merge.changes():
            return True
        one, other = (
            locking.inputs(text("pyproject.toml"), self.managers[1]) for text in (self.merge.before, self.merge.after)
        )
        return bool(one != other)


@contextmanager
def planned(path: Path, flags: Mapping[str, Value]) -> Iterator[Update]:
    """The update of the service in a folder, before anything is written; raises Error if it is not possible."""
    worktree.check(path)
    recorded = read(path)
    with ExitStack() as stack:
        old = stack.enter_context(history.template(recorded.commit, recorded.source))
        before, after = recorded.answers(old), recorded.answers(TEMPLATE, flags)
        leaving = Manager.named(before["manager"]) if before["manager"] != after["manager"] else None
        try:
            base = stack.enter_context(rendered(before, old))
        except Refusal as refusal:
            raise wrong(refusal.option, str(refusal)) from refusal
        theirs = stack.enter_context(rendered(after))
        merge = stack.enter_context(merged(base, path, theirs, leaving.writes if leaving else ()))
        update = Update(path, recorded, before, after, merge)
        if leaving and update.lockable:
            locking.inputs(merge.after("pyproject.toml"), leaving)  # before anything is written
            try:
                move_pipfile(update)
            except ValueError as error:
                raise Error(f"pyproject.toml or Pipfile cannot be read: {error}") from error
        yield update


def move_pipfile(update: Update) -> None:
    """Move the owner's requirements to a Pipfile, or from one."""
    folder, project = update.merge.folder, update.merge.after("pyproject.toml")
    file = folder / "Pipfile"
    if update.after["manager"] == "pipenv" and file.exists():
        file.write_text(pipfile.following(file.read_text("utf-8"), project), "utf-8")
    elif (
        update.before["manager"] == "pipenv"
        and file.exists()
        and not pipfile.missing(update.merge.after("Pipfile"), project)
    ):
        file.unlink()  # whatever the owner has edited there is in pyproject.toml


def write(update: Update) -> None:
    """Write the files; raises Error if that is interrupted."""
    try:
        with interrupt.held():
            writing.write(update.merge, update.path)
            if update.switched:
                for name in update.managers[0].leaves:
                    (update.path / name).unlink(missing_ok=True)
    except (Error, OSError) as error:
        raise Error(f"{one_line(error)}; the update is incomplete: go back, fix that, and update again") from error


def lock_and_install(update: Update, kept: Mapping[str, str], say: locking.Say) -> dict[str, tuple[str, str]]:
    """Lock with the versions to keep, and install; returns the versions that moved."""
    manager = update.managers[1]
    try:
        with environment_of(update) if update.switched else nullcontext():
            locking.lock(manager, update.path, kept, say)
            manager.check_made(manager.writes[0], update.path)
            manager.run(manager.install, update.path, say)
            manager.check_made(".venv", update.path)
    finally:  # the way back removes only what git tracks
        stage_locks(manager, update.path)
    now = locking.versions(manager, update.path)
    return {name: (kept[name], now[name]) for name in now if kept.get(name, now[name]) != now[name]}


def conflicts(update: Update) -> str:
    """What to do about the conflicts; empty if there are none."""
    named = ", ".join(sorted(update.merge.conflicts))
    return f"conflicts are marked in {named}: resolve them, then `git add`" if named else ""


def check_locks(update: Update, *, installed: bool) -> None:
    """Refuse to lock over a file that is not the service's own lock, or that git could not restore."""
    for name in update.managers[1].writes:
        if not os.path.lexists(update.path / name):
            continue
        if update.switched:  # with --no-install too: the next step is `make lock`
            raise Error(f"{update.path / name} already exists and would be overwritten: move it")
        if installed and name not in git.tracked(update.path, neutral=False):
            why = f"{name} is ignored by git, so an update of it could not be undone"
            raise Error(f"{why}: `git add --force {name}`, or give --no-install")


def stage_locks(manager: Manager, path: Path) -> None:
    """Stage the lock files, unless the owner has git ignore them."""
    written = [name for name in manager.writes if (path / name).exists()]
    ignored = git.run("check-ignore", "--", *written, folder=path, neutral=False, fine=(0, 1, 128)).decode().split()
    writing.stage(path, [name for name in written if name not in ignored])


@contextmanager
def environment_of(update: Update) -> Iterator[None]:
    """Have another manager create `.venv`; the old one is removed if that works, and put back if it does not."""
    place, aside = update.path / ".venv", update.path / ".venv.before"
    if place.is_symlink() or not (place / "pyvenv.cfg").is_file():
        yield
        return
    place.rename(aside)
    try:
        yield
    except BaseException as error:
        with interrupt.held():
            shutil.rmtree(place, ignore_errors=True)
            aside.rename(place)
        if isinstance(error, Error):
            raise Error(f"{error}\n.venv is as it was; to go back:\n  {way_back(update, installed=False)}") from error
        raise
    with interrupt.held():
        shutil.rmtree(aside)


def way_back(update: Update, *, installed: bool) -> str:
    """The command that undoes it."""
    path, place = shlex.quote(str(update.path)), update.path / ".venv"
    locked = (update.path / update.managers[0].writes[0]).exists()  # otherwise nothing can be installed
    steps = [f"git -C {path} restore --staged --worktree ."]
    if left := [f"{path}/{name}" for name in update.managers[1].leaves if update.switched]:
        steps.append(f"rm -f {' '.join(left)}")
    if installed and not place.is_symlink() and (update.switched if locked else not place.exists()):
        steps.append(f"rm -rf {path}/.venv")
    return " && ".join([*steps, f"make -C {path} setup"] if installed and locked else steps)


def next_steps(update: Update, *, installed: bool) -> list[str]:
    """What to type now."""
    steps = [f"cd {shlex.quote(str(update.path))}"] if update.path != Path() else []
    steps += ["git diff --staged", *(f"git add {shlex.quote(name)}" for name in sorted(update.merge.conflicts))]
    if update.locks and not installed:
        place = update.path / ".venv"
        steps += ["rm -r .venv"] if update.switched and place.exists() and not place.is_symlink() else []
        steps += [*update.managers[1].to_obtain(), "make lock setup"]
    return [*steps, "make test"]


def report(update: Update) -> Iterator[str]:
    """What changes, a line each."""
    chosen = ", ".join(
        f"{name} {_written(old)} -> {_written(new)}"
        for name, new in update.after.values.items()
        if (old := update.before.values.get(name, new)) != new
    )
    was = update.recorded.commit if "+" in update.recorded.commit else update.recorded.commit[:12]
    yield f"{update.path}: {was} -> {history.current()}{f'; {chosen}' if chosen else ''}"
    words = {"A": "new", "D": "removed"}
    for name, letter in update.merge.changes().items():
        if name not in update.merge.conflicts:
            yield f"  {words.get(letter, 'changed'):8}  {name}"
    for name in sorted(update.merge.kept):
        if (update.merge.folder / name).exists():
            yield f"  kept      {name}: you have edited it, and the template no longer has it"
    for name, why in sorted(update.merge.left_out.items()):
        yield f"  left out  {name}: {why}"
    for name in sorted(update.merge.conflicts):
        yield f"  conflict  {name}"


def _written(value: Value) -> str:
    return value if isinstance(value, str) else ",".join(value) or "none"
