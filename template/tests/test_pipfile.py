"""Pipenv reads the Pipfile, other tools read pyproject.toml: both must have the same requirements."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def requirement(name: str, wanted: str | dict[str, str | list[str]]) -> Requirement:
    """A line of the Pipfile, in the form of pyproject.toml."""
    line = {"version": wanted} if isinstance(wanted, str) else wanted
    version = str(line.get("version", "")).removeprefix("*")
    source = f" @ {line['file']}" if "file" in line else version
    marker = f" ; {line['markers']}" if "markers" in line else ""
    return Requirement(f"{name}[{','.join(line.get('extras', []))}]{source}{marker}")


def test_pipfile_and_pyproject_have_the_same_requirements() -> None:
    pipfile = tomllib.loads((ROOT / "Pipfile").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for section, asked in (
        ("packages", project["project"]["dependencies"]),
        ("dev-packages", project["dependency-groups"]["dev"]),
    ):
        assert set(map(Requirement, asked)) == {requirement(*line) for line in pipfile[section].items()}, section
