"""The Pipfile, which has the same requirements as `pyproject.toml`: the owner's move between the two."""

import json
import re
import tomllib
from collections.abc import Iterable
from typing import Any

# The tables that correspond.
SECTIONS = {"packages": ("project", "dependencies"), "dev-packages": ("dependency-groups", "dev")}


def following(pipfile: str, project: str) -> str:
    """A Pipfile with the requirements of `pyproject.toml`, and otherwise as it was."""
    wanted = tomllib.loads(project)
    for section, (table, key) in SECTIONS.items():
        lines = [line(text) for text in wanted.get(table, {}).get(key, []) if isinstance(text, str)]
        head, _, rest = pipfile.partition(f"[{section}]\n")
        after = rest.partition("\n[")
        pipfile = "".join([head, f"[{section}]\n", *(f"{own}\n" for own in lines), *after[1:]])
    return pipfile


def line(text: str) -> str:
    """A requirement as a line of a Pipfile."""
    from packaging.requirements import Requirement

    asked = Requirement(text)
    version = _toml(str(asked.specifier) or "*")
    if not asked.extras and not asked.marker and not asked.url:
        return f"{_key(asked.name)} = {version}"
    fields = [f"file = {_toml(asked.url)}" if asked.url else f"version = {version}"]
    if asked.extras:
        fields.append(f"extras = [{', '.join(map(_toml, sorted(asked.extras)))}]")
    if asked.marker:
        fields.append(f"markers = {_toml(str(asked.marker))}")
    return f"{_key(asked.name)} = {{{', '.join(fields)}}}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: str) -> str:
    return json.dumps(value)


def missing(pipfile: str, project: str) -> list[str]:
    """The packages that a Pipfile names and `pyproject.toml` does not."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    asked, wanted = tomllib.loads(pipfile), tomllib.loads(project)
    named: Iterable[Any] = (one for table, key in SECTIONS.values() for one in wanted.get(table, {}).get(key, []))
    known = {canonicalize_name(Requirement(text).name) for text in named if isinstance(text, str)}
    return [name for section in SECTIONS for name in asked.get(section, {}) if canonicalize_name(name) not in known]
