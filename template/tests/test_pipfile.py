"""Pipenv reads the Pipfile, other tools read pyproject.toml: both must ask for the same."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def requirement(name: str, wanted: str | dict[str, str | list[str]]) -> str:
    """A line of the Pipfile, as pyproject.toml has it."""
    if isinstance(wanted, str):
        return name + wanted.removeprefix("*")
    return f"{name}[{','.join(wanted.get('extras', []))}]{wanted['version']}"


def test_pipfile_and_pyproject_ask_for_the_same() -> None:
    pipfile = tomllib.loads((ROOT / "Pipfile").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for section, asked in (
        ("packages", project["project"]["dependencies"]),
        ("dev-packages", project["dependency-groups"]["dev"]),
    ):
        assert sorted(asked) == sorted(requirement(*line) for line in pipfile[section].items()), section
