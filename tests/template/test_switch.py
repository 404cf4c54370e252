"""Every option changed from each of its choices to each other one, on a real service: locked, installed, tested, booted."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from asgi_quickstart import locking, rendering
from asgi_quickstart.answers import Answers
from asgi_quickstart.managers import Manager
from asgi_quickstart.options import options

from ..made_history import IDENTITY, commit, git
from ..service import BIN, Service
from .test_install import MANAGERS, TOOLS, user_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HELD_BACK = (
    "anyio",
    "click",
    "iniconfig",
    "pydantic-settings",
)  # two levels of dependency, the group dev, a direct one


def walk(choices: list[str]) -> list[str]:
    """A way over every ordered pair of choices, once, that ends where it begins."""
    unused = {choice: [other for other in choices if other != choice] for choice in choices}
    stack, way = [choices[0]], []
    while stack:  # Hierholzer's algorithm
        if unused[stack[-1]]:
            stack.append(unused[stack[-1]].pop())
        else:
            way.append(stack.pop())
    return way[::-1]


def halves(way: list[str]) -> list[list[str]]:
    """The way in two parts, for two processors; both begin and end with its first choice."""
    middle = min((place for place, choice in enumerate(way) if choice == way[0]), key=lambda n: abs(2 * n - len(way)))
    return [way[: middle + 1], way[middle:]]


def test_the_walk_has_every_ordered_pair() -> None:
    way = walk(list("abcde"))
    pairs = {f"{one}{other}" for one in "abcde" for other in "abcde" if one != other}
    assert len(pairs) == 20 == len(way) - 1 and pairs == {
        f"{one}{other}" for one, other in zip(way, way[1:], strict=False)
    }
    first, second = halves(way)
    assert first + second[1:] == way and "a" == first[0] == first[-1] == second[0] == second[-1]


class Switched:
    """A service that is written, and switched again and again, by a user who has every manager."""

    def __init__(self, folder: Path) -> None:
        environment = dict(user_environment("uv", folder))
        # In whole days, it would refuse what the others have locked; with the versions of their locks it needs none.
        environment.pop("POETRY_SOLVER_MIN_RELEASE_AGE", None)
        programs = [str(TOOLS / manager / "bin") for manager in MANAGERS if (TOOLS / manager).exists()]
        path = os.pathsep.join([*programs, environment["PATH"]])
        self.environment: Mapping[str, str] = {**environment, **IDENTITY, "PATH": path}
        self.service = Service(folder / "orders")
        self.tested: list[dict[str, str]] = []
        self.run(BIN / "asgi-quickstart", "new", "orders", "--yes", cwd=folder)
        git(self.service.folder, "init", "--quiet")
        commit(self.service.folder)

    def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        result = subprocess.run(
            command,
            cwd=cwd or self.service.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def versions(self, manager: str) -> dict[str, str]:
        return locking.versions(Manager.named(manager), self.service.folder)

    def hold_back(self) -> tuple[dict[str, str], dict[str, str]]:
        """Lock older versions of a few packages with uv; returns these, and the newest."""
        newest = self.versions("uv")
        older = [word for name in HELD_BACK for word in ("--upgrade-package", f"{name}<{newest[name]}")]
        self.run(BIN / "uv", "lock", *older)
        self.run("make", "setup")
        commit(self.service.folder)
        held = {name: version for name, version in self.versions("uv").items() if name in HELD_BACK}
        assert not [name for name, version in held.items() if version == newest[name]]
        return held, newest

    def merge(self, manager: str, theirs: str, ours: str) -> None:
        """Merge a branch that needs another package, and resolve the conflict in the lock as the README says."""
        own, lock, locked = "    # Yours go below.\n", MANAGERS[manager]["lock_file"], self.versions(manager)
        branch = git(self.service.folder, "branch", "--show-current").strip()
        for name, on in ((theirs, ["-b", theirs]), (ours, [branch])):
            git(self.service.folder, "checkout", "--quiet", *on)
            self.service.edit("pyproject.toml", own, f'{own}    "{name}",\n')
            with (self.service.folder / lock).open("a") as file:
                file.write(f"# with {name}\n")  # quicker than to lock
            commit(self.service.folder)
        with pytest.raises(subprocess.CalledProcessError):
            git(self.service.folder, "merge", theirs)
        assert f"UU {lock}" in git(self.service.folder, "status", "--porcelain")
        git(self.service.folder, "checkout", "--ours", "pyproject.toml")
        self.service.edit("pyproject.toml", own, f'{own}    "{theirs}",\n')
        for command in re.findall("`([^`]+)`", MANAGERS[manager]["conflict"])[1:]:
            self.run("sh", "-c", command)
        now = self.versions(manager)
        assert {theirs, ours} == now.keys() - locked.keys() and locked == {name: now[name] for name in locked}
        commit(self.service.folder)

    def to(self, **choices: str) -> str:
        """Switch, and see that the service is as if it had been written so, works, and can be committed."""
        flags = [f"--{name}={choice}" for name, choice in choices.items()]
        printed = self.run(BIN / "asgi-quickstart", "update", *flags)
        commit(self.service.folder)
        answers = Answers.complete({"name": "orders", **choices})
        locks = Manager.named(answers["manager"]).writes
        files = {
            name: (self.service.folder / name).read_bytes() for name in git(self.service.folder, "ls-files").split()
        }
        assert {name for name in files if name not in locks} | set(locks) == set(files)
        with rendering.rendered(answers) as folder:
            expected = {str(name): (folder / name).read_bytes() for name in rendering.names(folder)}
        assert expected == {name: content for name, content in files.items() if name not in locks}
        if choices in self.tested:  # the same files again, with the same versions
            self.run(".venv/bin/python", "-m", "pytest", "--collect-only")
        else:
            self.run("make", "test")
            self.tested.append(choices)
        with self.service.started("run", **self.environment, HOST="127.0.0.1", WEB_CONCURRENCY="1") as service:
            assert service.get().json() == {"status": "ok"}
        assert "" == git(self.service.folder, "status", "--porcelain")
        return printed


@pytest.mark.parametrize("way", halves(walk(list(MANAGERS))), ids=lambda way: "-".join(way))
def test_every_manager_takes_over_from_every_other_one_with_the_same_versions(way: list[str], tmp_path: Path) -> None:
    for manager in way:
        if manager not in ("uv", "pip") and not (TOOLS / manager).exists():
            pytest.skip(f"{manager} is not set up: `make {TOOLS}/{manager}`")
    switched = Switched(tmp_path)
    assert way[0] == "uv"
    held, _ = switched.hold_back()
    for before, after in zip(way, way[1:], strict=False):
        locked = switched.versions(before)
        printed = switched.to(manager=after)
        assert "  moved  " not in printed
        now = switched.versions(after)
        assert {name: now[name] for name in now if name in locked} == {
            name: locked[name] for name in now if name in locked
        }
        assert held == {name: now[name] for name in held}


def test_a_version_moves_only_where_it_must_and_is_said_to_have_moved(tmp_path: Path) -> None:
    if not (TOOLS / "poetry").exists():
        pytest.skip(f"poetry is not set up: `make {TOOLS}/poetry`")
    switched = Switched(tmp_path)
    held, newest = switched.hold_back()
    switched.merge("uv", "six", "toolz")
    switched.service.edit(
        "pyproject.toml", "    # Yours go below.\n", f'    # Yours go below.\n    "anyio>={newest["anyio"]}",\n'
    )
    commit(switched.service.folder)
    printed = switched.run(BIN / "asgi-quickstart", "update", "--manager=poetry")
    assert [line.strip() for line in printed.splitlines() if line.startswith("  moved  ")] == [
        f"moved     anyio {held['anyio']} -> {newest['anyio']}"
    ]
    now = switched.versions("poetry")
    assert {**held, "anyio": newest["anyio"]} == {name: now[name] for name in held}
    commit(switched.service.folder)
    switched.merge("poetry", "attrs", "wrapt")


@pytest.mark.parametrize("name", [option.name for option in options()[2:] if option.choices and not option.several])
def test_every_choice_takes_over_from_every_other_one(name: str, tmp_path: Path) -> None:
    choices = next(option for option in options() if option.name == name).choices
    switched = Switched(tmp_path)
    way = walk([Answers.complete({})[name], *(choice for choice in choices if choice != Answers.complete({})[name])])
    for choice in way[1:]:
        switched.to(**{name: choice})
