"""A made history of the template: three releases of the command, each a wheel built from one git repository.

What changes: 2.0.0 adds a module and an option, renames a module, changes lines in most files, asks for one more
package; 3.0.0 removes a module, and calls a choice of an option otherwise.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .service import BIN, clean_environment

ROOT = Path(__file__).parents[1]
KEPT = ("src", "template", "copier.yml", "hatch_build.py", "pyproject.toml", "README.md", "LICENSE")
IDENTITY = {f"GIT_{who}_{what}": "owner@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
VERSIONS = ("1.0.0", "2.0.0", "3.0.0")


def git(folder: Path, *words: str) -> str:
    """What git prints."""
    environment = clean_environment() | IDENTITY
    return subprocess.run(
        ["git", *words], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


def commit(folder: Path, message: str = "as it is") -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)


@dataclass(frozen=True)
class Release:
    """The command as one release has it, in a folder of its own."""

    version: str
    folder: Path

    def __call__(self, *arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "python", "-m", "asgi_quickstart", *arguments],
            cwd=cwd,
            env=clean_environment() | IDENTITY | {"PYTHONPATH": str(self.folder)} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )


@dataclass(frozen=True)
class History:
    """The repository, with a tag a release, and the releases."""

    repository: Path
    releases: Mapping[str, Release]

    def __getitem__(self, version: str) -> Release:
        return self.releases[version]


def make(folder: Path) -> History:
    """Write the history and build its releases."""
    repository = folder / "asgi-quickstart"
    repository.mkdir()
    git(repository, "init", "--quiet")
    for name in KEPT:
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "*_cache", ".venv")
        if source.is_dir():
            shutil.copytree(source, repository / name, ignore=ignore)
        else:
            shutil.copy(source, repository / name)
    releases = {}
    for version, change in zip(VERSIONS, (first, second, third), strict=True):
        change(repository)
        was = re.search(r"^version = .*$", (repository / "pyproject.toml").read_text(), re.M)
        assert was
        edit(repository / "pyproject.toml", was[0], f'version = "{version}"')
        releases[version] = release(repository, version, folder / version)
    return History(repository, releases)


def release(repository: Path, version: str, folder: Path) -> Release:
    """Commit, tag, and build the wheel of what is there."""
    commit(repository, version)
    git(repository, "tag", f"v{version}")
    return built(repository, version, folder)


def built(repository: Path, version: str, folder: Path) -> Release:
    """The command as it is built from a checkout."""
    uv = str(BIN / "uv")
    environment = clean_environment() | {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(folder / "cache")}
    build = [
        uv,
        "build",
        "--wheel",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        str(folder / "dist"),
    ]
    subprocess.run(build, cwd=repository, env=environment, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    place = [
        uv,
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--python",
        sys.executable,
        "--target",
        str(folder / "site"),
    ]
    subprocess.run([*place, str(wheel)], env=environment, check=True, capture_output=True)
    return Release(version, folder / "site")


def edit(file: Path, old: str, new: str) -> None:
    """Replace the first of what must be there in a file, or write a new one."""
    text = file.read_text() if file.exists() else ""
    assert old in text, f"{file} has no {old!r}"
    file.write_text(text.replace(old, new, 1))


def first(root: Path) -> None:
    """As it is today, with a module that 3.0.0 removes, and one that 2.0.0 renames."""
    edit(root / "template/serving/passing.py", "", module("PASSING"))
    edit(root / "template/serving/former.py", "", module("FORMER"))


def module(name: str) -> str:
    lines = (f"{name}_{number} = {number}\n" for number in range(20))
    return '"""A module."""\n\n' + "".join(lines)


def second(root: Path) -> None:
    """More of everything, and another name."""
    template = root / "template"
    edit(template / "serving/former.py", "FORMER_3 = 3", "FORMER_3 = 33")
    (template / "serving/former.py").rename(template / "serving/latter.py")
    edit(template / "serving/added.py", "", module("ADDED"))
    edit(template / "app/greeting.py", "", '"""A greeting."""\n\nGREETING = "<% greeting %>"\n')
    edit(root / "copier.yml", "# How each server", f"{GREETING}# How each server")
    edit(root / "copier.yml", "_exclude:\n", "_exclude:\n  - \"<% 'app/greeting.py' if greeting == 'none' %>\"\n")
    edit(template / "pyproject.toml", '    "fastapi>=', '    "anyio>=4.0",\n    "fastapi>=')
    edit(template / "README.md", "## Layout\n", "## Layout, and more\n")
    edit(template / "Makefile", "## Run the tests", "## Run all tests")
    edit(template / ".env.example", "# HOST=0.0.0.0 ", "# HOST=0.0.0.0#")
    edit(template / "main.py", "wiring, to be read from top to bottom", "wiring, from top to bottom")
    edit(template / "app/loans.py", "An example to copy from", "An example")
    edit(template / "tests/test_loans.py", "import json\n", "import json\nimport math  # noqa: F401\n")


GREETING = """greeting:
  type: str
  help: How is it greeted?
  default: none
  choices:
    none - not at all: none
    warm - with a module: warm

"""


def third(root: Path) -> None:
    """A module less, and `telemetry` without `none`: it is called `off`."""
    template = root / "template"
    (template / "serving/passing.py").unlink()
    edit(template / "serving/latter.py", "FORMER_17 = 17", "FORMER_17 = 1717")
    for file in [root / "copier.yml", *template.rglob("*")]:
        if file.is_file():
            text = file.read_text()
            for quote in "'\"":
                text = text.replace(f"telemetry == {quote}none{quote}", f"telemetry == {quote}off{quote}")
            file.write_text(text)
    question = "  default: none\n  choices:\n    none - nothing to install, nothing to pay: none\n"
    edit(root / "copier.yml", question, question.replace(" none\n", " 'off'\n").replace("none -", "off -"))
