"""A lock anew, with the versions that another manager has locked."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from asgi_quickstart import locking
from asgi_quickstart.managers import Manager

KEPT = {"anyio": "1", "six": "1"}
GROUP = {"kept-versions": ["anyio==1", "six==1"]}
TODAY = '{"default": {"anyio": {"version": "==2"}, "six": {"version": "==2"}}, "develop": {}}'


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("manager", "file", "text", "asked"),
    [
        ("poetry", "pyproject.toml", "[dependency-groups] #\ndev = []\n", {"dependency-groups": GROUP | {"dev": []}}),
        ("poetry", "pyproject.toml", "[project]\n", {"project": {}, "dependency-groups": GROUP}),
        ("pipenv", "Pipfile", '[packages]\nsix = "*"\n', {"packages": {"anyio": "==1", "six": "==1"}}),
    ],
)
def test_asks_for_the_versions_whatever_ends_the_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, manager: str, file: str, text: str, asked: Any, ending: str
) -> None:
    seen = []

    def run(_: Manager, command: str, folder: Path, say: locking.Say) -> None:
        seen.append(tomllib.loads((folder / file).read_bytes().decode()))
        (folder / "Pipfile.lock").write_text(TODAY)

    monkeypatch.setattr(Manager, "run", run)
    monkeypatch.setattr(locking, "consistent", lambda folder, kept: kept)
    content = text.replace("\n", ending).encode()
    (tmp_path / file).write_bytes(content)
    locking.lock(Manager.named(manager), tmp_path, KEPT, print)
    assert asked in seen
    assert content == (tmp_path / file).read_bytes()
