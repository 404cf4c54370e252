"""Whatever an owner has edited is still there after an update; the service passes its tests; a second update is none.

Hypothesis makes the edits up. A failure prints the line `@reproduce_failure(...)` that makes up the same again.
"""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from asgi_quickstart import updating
from asgi_quickstart.options import Value, options

from ..made_history import History, commit, edit, git
from ..service import BIN, clean_environment, write_service
from .readme import removal

pytestmark = pytest.mark.slow
set_hypothesis_home_dir(Path(__file__).parents[2] / ".cache" / "hypothesis")

RENAMED = {"serving/former.py": "serving/latter.py"}
OWN_NAME = "mine_{}"


@dataclass
class Owner:
    """Edits a service, and knows what must still be there."""

    folder: Path
    marks: dict[str, list[str]] = field(default_factory=dict)  # by file, the lines of the owner
    deleted: set[str] = field(default_factory=set)

    def files(self) -> list[str]:
        return [name for name in git(self.folder, "ls-files").split("\n") if name and name not in self.deleted]

    def mark(self, file: str, line: str) -> None:
        self.marks.setdefault(file, []).append(line)

    def after(self, file: str, anchor: str, line: str) -> None:
        """Add a line below the last one that has the anchor; nothing where the file is gone."""
        path = self.folder / file
        if not path.exists():
            return
        lines = path.read_text().split("\n")
        places = [number for number, text in enumerate(lines) if anchor in text]
        lines.insert(places[-1] + 1 if places else len(lines) - 1, line)
        path.write_text("\n".join(lines))
        self.mark(file, line)

    # What an owner does, by the number of the edit.

    def route(self, number: int) -> None:
        name = OWN_NAME.format(number)
        code = f'from fastapi import APIRouter\n\nrouter = APIRouter(prefix="/{name}")\n\n\n@router.get("")\nasync def get() -> int:\n    return {number}\n'
        (self.folder / f"app/{name}.py").write_text(code)
        self.mark(f"app/{name}.py", f"    return {number}")
        self.after("main.py", "from app.", f"from app.{name} import router as {name}")
        self.after("main.py", "app.include_router(", f"app.include_router({name})")

    def setting(self, number: int) -> None:
        name = OWN_NAME.format(number)
        self.after("app/settings.py", "loans_max_months", f"    {name}: int = {number}")
        self.after(".env.example", "LOANS_MAX_MONTHS", f"# {name.upper()}={number}")
        self.after("README.md", "| `LOANS_MAX_MONTHS`", f"| `{name.upper()}` | `{number}` | mine |")

    def dependency(self, number: int) -> None:
        self.after("pyproject.toml", "Yours go below", f'    "mine-{number}",')

    def word(self, number: int) -> None:
        self.after("Makefile", "Add your own targets", f"mine{number}: ## Mine")

    def prose(self, number: int) -> None:
        self.after("README.md", "# service", f"What number {number} is for.")
        self.after("README.md", "no such line", f"Number {number} is at the end.")

    def ignored(self, number: int) -> None:
        self.after(".gitignore", "_cache/", f"mine-{number}/")

    def file(self, number: int, folder: str) -> None:
        name = f"{folder}{OWN_NAME.format(number)}.txt"
        (self.folder / name).write_text(f"number {number}\n")
        self.mark(name, f"number {number}")

    def comment(self, number: int, file: int, place: int) -> None:
        """A line in any file of the template, at any place."""
        names = [name for name in self.files() if (self.folder / name).is_file() and name != ".copier-answers.yml"]
        name = names[file % len(names)]
        lines = (self.folder / name).read_text().split("\n")
        lines.insert(place % len(lines), f"# owner's line {number}")
        (self.folder / name).write_text("\n".join(lines))
        self.mark(name, f"# owner's line {number}")

    def changed(self, number: int, name: str) -> None:
        path = self.folder / f"serving/{name}.py"
        if path.exists():
            path.write_text(
                path.read_text().replace(f"{name.upper()}_{number} = {number}\n", f"MINE_{number} = {number}\n")
            )
            self.mark(f"serving/{name}.py", f"MINE_{number} = {number}")

    def delete(self, name: str) -> None:
        with_it = ["tests/test_settings.py"] if name in ("README.md", ".env.example") else []  # which reads these
        if not any(one in self.marks for one in (name, *with_it)):
            for one in (name, *with_it):
                (self.folder / one).unlink(missing_ok=True)
                self.deleted.add(one)


numbers = st.integers(0, 19)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["route", "setting", "dependency", "word", "prose", "ignored"]), numbers),
        st.tuples(st.just("file"), numbers, st.sampled_from(["", "app/", "serving/", "docs/"])),
        st.tuples(st.just("comment"), numbers, st.integers(0, 60), st.integers(0, 100)),
        st.tuples(st.just("changed"), numbers, st.sampled_from(["former", "passing"])),
        st.tuples(st.just("delete"), st.sampled_from(["tests/test_logs.py", ".env.example", "serving/passing.py", "serving/former.py", "README.md", "Makefile"])),
    ),
    min_size=1,
    max_size=12,
    unique=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def services(history: History, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A service of each release but the last, committed."""
    place = tmp_path_factory.mktemp("services")
    for version in ("1.0.0", "2.0.0"):
        (place / version).mkdir()
        result = history[version]("new", "service", "--no-install", cwd=place / version)
        assert result.returncode == 0, result.stderr
        (place / version / "service/docs").mkdir()
        git(place / version / "service", "init", "--quiet")
        commit(place / version / "service")
    return {version: place / version / "service" for version in ("1.0.0", "2.0.0")}


@pytest.fixture(scope="module")
def outcomes() -> Iterator[Counter[str]]:
    """How many updates were clean, and how many had a conflict."""
    counted: Counter[str] = Counter()
    yield counted
    print(dict(counted))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
def test_every_edit_is_still_there_and_the_service_works(
    history: History,
    services: dict[str, Path],
    outcomes: Counter[str],
    tmp_path_factory: pytest.TempPathFactory,
    version: str,
) -> None:
    @settings(
        max_examples=8,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(EDITS)
    def holds(edits: list[tuple[str, *tuple[object, ...]]]) -> None:
        folder = tmp_path_factory.mktemp("edited") / "service"
        shutil.copytree(services[version], folder)
        owner = Owner(folder)
        for kind, *arguments in edits:
            getattr(owner, kind)(*arguments)
        commit(folder)
        conflicts = update(history, folder)
        outcomes["conflict" if conflicts else "clean"] += 1
        there(owner, conflicts)
        if not conflicts:
            passes(folder)
        commit(folder)
        assert not update(history, folder, "nothing to do")
        assert "" == git(folder, "status", "--porcelain")
        shutil.rmtree(folder)

    holds()


def update(history: History, folder: Path, says: str = "To go back") -> set[str]:
    """Update to the last release; returns the files with a conflict, which are all that have markers."""
    result = history["3.0.0"]("update", "--telemetry=off", "--no-install", cwd=folder)
    assert says in result.stdout, result.stdout + result.stderr
    conflicts = {line.split()[1] for line in result.stdout.splitlines() if line.startswith("  conflict ")}
    assert result.returncode == (1 if conflicts else 0)
    if says != "To go back":  # the markers of the update before are still there
        return set()
    marked = {
        name
        for name in git(folder, "ls-files").split()
        if (folder / name).exists() and "<<<<<<<" in (folder / name).read_text()
    }
    assert conflicts == marked
    return conflicts


def there(owner: Owner, conflicts: set[str]) -> None:
    """Every line of the owner is where it was, or where the template has moved the file; what was deleted is away."""
    for name, lines in owner.marks.items():
        places = [place for place in (name, RENAMED.get(name, name)) if (owner.folder / place).exists()]
        text = "\n".join((owner.folder / place).read_text() for place in places).split("\n")
        for line in lines:
            assert line in text, (name, line)
    for name in owner.deleted:
        assert not (owner.folder / name).exists(), name


def passes(folder: Path) -> None:
    """The tests of the service pass, but those that start a server."""
    (folder / ".venv").symlink_to(sys.prefix)
    command: list[str | Path] = [BIN / "python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += ["-k", "not real_server and not production and not pipfile"]
    result = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout
    (folder / ".venv").unlink()


# Together they take every choice that comes with lines of its own, and leave it again.
CHOICES: list[dict[str, Value]] = [
    {"telemetry": "full", "realtime": "full", "server": "uvicorn", "image": "slim", "deploy": ("compose",)},
    {"server": "granian", "image": "none", "deploy": ("systemd",)},
    {"telemetry": "none", "server": "hypercorn", "image": "distroless", "deploy": ("kubernetes",)},
    {"realtime": "none", "server": "gunicorn", "deploy": ()},
]


def test_without_the_example_no_choice_causes_a_conflict(tmp_path: Path) -> None:
    for option in options()[2:]:
        taken = {one for choices in CHOICES if option.name in choices for one in words(choices[option.name])}
        assert taken == set(option.choices), option.name
    service = write_service(tmp_path / "service")
    edit(service.folder / ".gitignore", ".venv/\n", ".venv\n")  # a link here
    git(service.folder, "init", "--quiet")
    commit(service.folder)
    subprocess.run(removal(service), shell=True, cwd=service.folder, check=True, env=clean_environment())
    for choices in CHOICES:
        commit(service.folder)
        with updating.planned(service.folder, choices) as plan:
            assert not plan.merge.conflicts, choices
            updating.write(plan)


def words(value: Value) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
