"""The package managers: records in `copier.yml`, run here with the words that the service's Makefile has."""

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
    """What one package manager is called and told; each command is a line for the shell."""

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
        """Whether its program is there."""
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
            with interrupt.held():  # what has begun must not be lost
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
            output, way_out = "".join(last), "`make lock setup` there goes on"
            if "is shadowed by your project" in output:  # as uv has it
                way_out = "the service is called like a package that it needs: give it another name, with --name"
            raise Error(
                f"{self.name} failed with status {process.returncode}; the files stay in {folder}: {way_out}\n{output}"
            )

    def check_made(self, name: str, folder: Path) -> None:
        """Raise Error when it has left the folder without a file that it should have made: it was at work elsewhere."""
        if not (folder / name).exists():
            raise Error(
                f"{self.name} has made no {name} in {folder}: its configuration or a project around it leads it "
                "elsewhere (uv: add it to that project's `exclude` in [tool.uv.workspace]); then `make lock setup`"
            )


# What of the environment belongs to somebody else: the make that calls this; and what the service's Makefile does not pass
# on either, another environment that is active, another project, and another place for an environment than .venv.
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
    """This process's environment, without what is foreign to a service, and with the programs beside it."""
    own = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), own.get("PATH") or os.defpath])
    return own
