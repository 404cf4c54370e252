"""The package managers: records in `copier.yml`, run with the same commands as in the service's Makefile."""

import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import interrupt
from .errors import Error
from .options import document


@dataclass(frozen=True)
class Manager:
    """One package manager and its commands, as shell lines."""

    name: str
    program: str
    obtain: str
    lock: str
    install: str
    writes: tuple[str, ...]
    leaves: tuple[str, ...]

    @classmethod
    def named(cls, name: str) -> "Manager":
        """The record of a manager."""
        record = document()["managers"]["default"][name]
        words = {key: record[key] for key in ("program", "obtain", "lock", "install")}
        return cls(name, **words, writes=tuple(record["writes"]), leaves=tuple(record["leaves"]))

    @property
    def installed(self) -> bool:
        """Whether its program is installed."""
        return bool(shutil.which(self.program, path=environment()["PATH"]))

    def to_obtain(self) -> list[str]:
        """What to type before `make` finds its program; nothing if that is on the PATH."""
        return [] if shutil.which(self.program) else [self.obtain]

    def run(self, command: str, folder: Path, on_line: Callable[[str], None]) -> None:
        """Run one of this manager's commands in a folder, each line of its output given to `on_line`.

        Raises Error with the output when the command fails, or when the manager is not installed.
        """
        if not self.installed:
            raise Error(
                f"{self.name} is not installed; the files stay in {folder}: `{self.obtain}`, then `make lock setup` there"
            )
        last = deque[str](maxlen=200)
        process: subprocess.Popen[str] | None = None
        try:
            with interrupt.held():  # a process that has started must be known
                process = subprocess.Popen(
                    ["sh", "-ec", command],
                    cwd=folder,
                    env=environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            assert process.stdout
            with process.stdout as lines:
                for line in lines:
                    last.append(line)
                    on_line(line.strip())
            process.wait()
        except BaseException:
            if process:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait()
            raise
        if process.returncode:
            output, way_out = "".join(last), "to continue, `make lock setup` there"
            if "is shadowed by your project" in output:  # uv's words
                way_out = "the service has the name of a package that it needs: choose another with --name"
            raise Error(
                f"{self.name} failed with status {process.returncode}; the files stay in {folder}: {way_out}\n{output}"
            )

    def check_made(self, name: str, folder: Path) -> None:
        """Raise Error if it has not created what it should have in the folder: it worked elsewhere."""
        if not (folder / name).exists():
            raise Error(
                f"{self.name} has created no {name} in {folder}: its configuration, or a project around it, makes it "
                "work elsewhere (uv: add it to that project's `exclude` in [tool.uv.workspace]); then `make lock setup`"
            )


# Variables that are not passed on: those of the make that calls this; and, as in the service's Makefile, those of another
# active environment, of another project, and of a place for the environment other than .venv.
FOREIGN = {
    "MAKEFLAGS",
    "MAKELEVEL",
    *("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV"),
    *("UV_PROJECT", "UV_WORKING_DIR", "UV_PROJECT_ENVIRONMENT", "UV_SYSTEM_PYTHON"),
    *("PIPENV_PIPFILE", "PIPENV_VENV_IN_PROJECT"),
    *("POETRY_VIRTUALENVS_CREATE", "POETRY_VIRTUALENVS_IN_PROJECT"),
    *("PDM_PROJECT", "PDM_USE_VENV", "PDM_VENV_IN_PROJECT"),
}


def environment() -> dict[str, str]:
    """This process's environment without foreign variables, and with the programs beside Python on the PATH."""
    own = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    own["PIP_USER"] = "0"  # "user" in pip's configuration fails in an environment
    own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), own.get("PATH") or os.defpath])
    return own
