"""The command `asgi-quickstart`."""

import difflib
import errno
import os
import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from . import interrupt, locking, rendering, updating, wizard
from .answers import Answers, name_from
from .errors import Error, UsageError, one_line
from .managers import Manager, environment
from .options import NONE, Value, document, options

T = TypeVar("T")


def main() -> NoReturn:
    """Run the command; a user's error ends in one line and status 2 (usage), 1 (failure) or 128 + the signal's number."""
    if isinstance(sys.stdout, TextIOWrapper):  # it may be closed
        sys.stdout.reconfigure(errors="surrogateescape")  # a path is any bytes
    try:
        command(standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
    except Error as error:
        stop(str(error), error.exit_status)
    except click.exceptions.NoArgsIsHelpError as error:  # the help, of many lines
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        stop(error.format_message().replace("\n", " "), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        stop("stopped", 130)
    except interrupt.Stopped as error:
        stop("stopped", error.code)
    except SystemExit:  # click's, without a word
        stop("standard output cannot be written: nobody reads it any more", 1)
    except OSError as error:
        stop(cause(error), 1)
    sys.exit(0)


def cause(error: OSError) -> str:
    """The operating system's error on one line; it does not always say where."""
    try:
        if sys.stdout:
            sys.stdout.flush()  # what could not be written is still buffered
    except OSError as refused:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python tries once more when it exits
        return f"standard output cannot be written: {refused.strerror}"
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return f"a file or standard output cannot be written: {error.strerror}"
    try:
        os.getcwd()
    except FileNotFoundError:
        return "the current folder no longer exists: `cd` to another"
    return one_line(error)


def stop(message: str, status: int | str | None) -> NoReturn:
    """Say why on standard error, and exit."""
    with suppress(OSError):  # the terminal may be gone
        click.echo(f"asgi-quickstart: {message}", err=True)
    sys.exit(status)


def say(text: str) -> None:
    """Print, while somebody reads: a pipe that is closed, as by `head`, must not stop what has begun."""
    try:
        click.echo(text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Nearest(click.Choice[str]):
    """A choice that names the nearest valid one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in self.choices:
            return str(value)
        near = difflib.get_close_matches(str(value).lower(), self.choices, n=1, cutoff=0)
        self.fail(f"{value!r} is not one of {', '.join(self.choices)}; did you mean {near[0]}?", param, ctx)


class Several(Nearest):
    """Comma-separated choices; `none`, alone, for none of them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        names = [name.strip() for name in str(value).split(",")]
        if names in ([""], [NONE]):
            return ()
        if NONE in names:
            self.fail(f"{NONE!r} cannot be combined with other choices", param, ctx)
        return tuple(super(Several, self).convert(name, param, ctx) for name in names)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(self.choices)}],..."


def together(ctx: click.Context, param: click.Parameter, given: tuple[tuple[str, ...], ...]) -> Value | None:
    """The choices of all of one option's flags, each once, in the order of the choices; None without a flag."""
    named = {name for names in given for name in names}
    assert isinstance(param.type, Several)
    return tuple(name for name in param.type.choices if name in named) if given else None


class Folder(click.Path):
    """A folder's path; an empty one is an error, such as a variable that is not set, and not this folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty; the current folder is .", param, ctx)
        if str(value).startswith("-"):  # in what is printed it would be taken for a flag
            value = os.path.abspath(value)
        return super().convert(value, param, ctx)


class Verbs(click.Group):
    """Commands; an unknown one is answered with their names."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}, only {', '.join(self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs)
@click.version_option(package_name="asgi-quickstart")
def command() -> None:
    """A quick start for Python 3 ASGI services."""


def option_flags(function: Callable[..., None], *, kept: bool = False) -> Callable[..., None]:
    """One flag for each option in `copier.yml`; `kept` if the service already has answers."""
    for option in reversed(options()):
        default = "the name of the folder" if option.name == "name" else option.written(option.default)
        default = "unchanged" if kept else default
        several = " Comma-separated, or none." if option.several else ""
        shape: dict[str, Any] = {"help": f"{option.help}{several} (default: {default})"}
        if option.several:
            shape |= {"type": Several(list(option.choices)), "multiple": True, "callback": together}
        elif option.choices:
            shape |= {"type": Nearest(list(option.choices))}
        function = click.option(f"--{option.name}", **shape)(function)
    return function


@command.command()
@click.argument("path", type=Folder())
@option_flags
@click.option("--yes", "-y", is_flag=True, help="Ask nothing, take the defaults.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty, over the template's files.")
@click.option("--dry-run", is_flag=True, help="Print the files that would be written, and write none.")
@click.option("--no-install", is_flag=True, help="Write the files only: lock and install nothing.")
@click.option("--run", is_flag=True, help="Serve the new service in development mode afterwards.")
def new(path: Path, yes: bool, force: bool, dry_run: bool, no_install: bool, run: bool, **flags: Value | None) -> None:
    """Write a service into PATH, lock its dependencies and install them."""
    if run and no_install:
        raise UsageError("--run needs the installation that --no-install leaves out: give only one of them")
    rendering.check_target(path, force=force)
    answers = choose(path, {name: value for name, value in flags.items() if value is not None}, yes=yes)
    manager = Manager.named(answers["manager"])
    locks = () if no_install else manager.writes
    if not no_install:
        rendering.check_absent(path, (*locks, ".venv"))
    with rendering.rendered(answers) as folder:
        rendering.check_places(folder, path)
        files = rendering.names(folder)
        if dry_run:
            click.echo("\n".join(str(path / file) for file in [*files, *map(Path, locks)]))
            return
        rendering.write(folder, path)
    say(f"{len(files)} files written to {path}")
    if not no_install:
        install(manager, path)
    first = [*manager.to_obtain(), "make lock setup"] if no_install else ["make test"]
    steps = [f"cd {shlex.quote(str(path))}", *first, "make dev"]
    again = shlex.join(["asgi-quickstart", "new", str(path), *answers.flags()])
    say("\nNext:\n" + "".join(f"  {step}\n" for step in steps) + f"\nThe same again:\n  {again}")
    if not no_install and manager.to_obtain():
        say(f"\n`make setup` and `make lock` need {manager.program}, which is not on your PATH:\n  {manager.obtain}")
    if run:
        serve(path, answers)


def choose(path: Path, flags: dict[str, Value], *, yes: bool) -> Answers:
    """The answers: from flags, else from the wizard on a terminal, else the defaults."""
    name = name_from(path)
    ends = (sys.stdin, sys.stdout)  # either is None when it is closed
    if not yes and all(end and end.isatty() for end in ends):
        flags = wizard.ask(flags, {"name": name})
    elif not name and "name" not in flags:
        raise UsageError(f"no project name can be made from {path.name!r}: give one with --name")
    return Answers.complete({"name": name} | flags)


def install(manager: Manager, path: Path) -> None:
    """Lock and install with the manager, showing progress."""
    work = (("Locking", manager.lock, manager.writes[0]), ("Installing", manager.install, ".venv"))
    try:
        for verb, words, made in work:
            shown(f"{verb} with {manager.name}", partial(manager.run, words, path))
            manager.check_made(made, path)
    except (KeyboardInterrupt, interrupt.Stopped):
        with suppress(OSError):  # the terminal may be gone
            click.echo(f"the files stay in {path}: to continue, `make lock setup` there")
        raise


def shown(title: str, work: Callable[[Callable[[str], None]], T]) -> T:
    """Do something that takes a while, showing the last line of its output."""
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    with console.status(title) as status:
        say(title)
        return work(lambda line: status.update(escape(line[: console.width - 4])))


def serve(path: Path, answers: Answers) -> NoReturn:
    """Replace this process by the service in development mode."""
    words = shlex.split(document()["servers"]["default"][answers["server"]]["dev"])
    os.chdir(path)
    program = Path(".venv/bin", words[0])
    # As `make dev` does: bytecode misses an edit within the same second that keeps the length.
    development = {"ENVIRONMENT": "development", "PYTHONDONTWRITEBYTECODE": "1"}
    os.execve(program, [str(program), *words[1:]], environment() | development)


@command.command(short_help="Update a service to this command's template, or change its choices.")
@click.argument("path", type=Folder(), default=".")
@partial(option_flags, kept=True)
@click.option("--dry-run", is_flag=True, help="Print the diff and a summary, and write nothing.")
@click.option("--no-install", is_flag=True, help="Write the files only: lock and install nothing.")
def update(path: Path, dry_run: bool, no_install: bool, **flags: Value | None) -> None:
    """Bring the service in PATH to this command's template, or to other choices; your edits stay."""
    with updating.planned(path, {name: value for name, value in flags.items() if value is not None}) as plan:
        if not plan.merge.changes():
            click.echo(f"{path} is up to date with this command's template: nothing to do", err=dry_run)
            return
        report = "\n".join(updating.report(plan))
        if dry_run:
            click.echo(report, err=True)
            click.echo(plan.diff(), nl=False)
            return
        old, new = plan.managers
        locks = plan.locks and plan.lockable and not no_install
        if locks and not new.installed:
            raise Error(f"{new.name} is not installed, and nothing was changed: `{new.obtain}`, or give --no-install")
        updating.check_locks(plan, installed=locks)
        versions = locking.versions(old, path)
        click.echo(report)
        click.echo(f"\nTo go back:\n  {updating.way_back(plan, installed=locks)}\n")
        updating.write(plan)
        conflicts = updating.conflicts(plan)
        if locks:
            work = partial(updating.lock_and_install, plan, versions)
            try:
                moved = shown(f"Locking and installing with {new.name}", work)
            except Error as error:
                if conflicts:  # they are in the files all the same
                    raise Error(f"{str(error).rstrip()}\n{conflicts}") from error
                raise
            for name, (was, now) in moved.items():
                say(f"  moved     {name} {was} -> {now}")
        steps = updating.next_steps(plan, installed=locks)
        say("\nNext:\n" + "".join(f"  {step}\n" for step in steps))
        if conflicts:
            raise Error(conflicts)
