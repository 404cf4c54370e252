"""Reads the versions in a lock, and locks again with the same ones where possible."""

import json
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import Error
from .managers import Manager, environment

Say = Callable[[str], None]
Versions = Mapping[str, str]  # by package: "1.0", or with a marker, "1.0 ; sys_platform == 'win32'"


def versions(manager: Manager, folder: Path) -> dict[str, str]:
    """The versions in a service's lock, without packages that it has in two versions, for two platforms."""
    from packaging.utils import canonicalize_name

    files = [file for file in manager.writes if (folder / file).is_file()]
    try:
        found = [entry for file in files for entry in _entries(file, (folder / file).read_text("utf-8"))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Error(f"{' or '.join(files)} in {folder} cannot be read as a lock: {error}") from error
    return {canonicalize_name(name): version for name, version in unequivocal(found).items()}


def unequivocal(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The packages that occur in one version only."""
    by_name: dict[str, set[str]] = {}
    for name, version in found:
        by_name.setdefault(name, set()).add(version)
    return {name: versions.pop() for name, versions in sorted(by_name.items()) if len(versions) == 1}


def _entries(file: str, text: str) -> Iterator[tuple[str, str]]:
    if file == "Pipfile.lock":
        for section in ("default", "develop"):
            for name, entry in json.loads(text)[section].items():
                if "version" in entry:
                    yield name, entry["version"].removeprefix("==")
    elif file.endswith(".lock"):
        for package in tomllib.loads(text)["package"]:
            if "version" in package and not {"virtual", "editable", "directory"} & set(package.get("source", ())):
                yield package["name"], package["version"]
    else:
        yield from re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==([^\s;\\]+)", text, re.M)


def inputs(project: str, manager: Manager) -> Any:
    """What a lock depends on, from the text of `pyproject.toml`."""
    try:
        content = tomllib.loads(project)
    except tomllib.TOMLDecodeError as error:
        raise Error(f"pyproject.toml cannot be read: {error}") from error
    asked = {key: content.get("project", {}).get(key) for key in ("dependencies", "requires-python", "name")}
    return asked, content.get("dependency-groups"), content.get("tool", {}).get(manager.name)


def lock(manager: Manager, folder: Path, kept: Versions, say: Say) -> None:
    """Lock, and keep the given versions where the requirements allow it."""
    alike = LOCKS.get(manager.name)
    own = any((folder / file).exists() for file in manager.writes)
    if not alike or not kept or own and manager.name != "pipenv":  # all but Pipenv keep what their own lock names
        manager.run(manager.lock, folder, say)
        return
    together = consistent(folder, kept)
    try:
        alike(manager, folder, together or (kept if manager.name != "pdm" else {}), say)
    except Error:  # this manager finds them incompatible: then today's
        manager.run(manager.lock, folder, say)


def consistent(folder: Path, kept: Versions) -> Versions | None:
    """Compatible versions that meet `pyproject.toml`, as many as possible of them those to keep, with markers.

    uv takes them as preferences, the other managers as pins. None if uv reaches no index, because one is configured for
    the manager alone.
    """
    groups = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("dependency-groups", {})
    with tempfile.TemporaryDirectory() as place:
        output = Path(place, "requirements.txt")
        output.write_text(_listed(kept))
        words = ["uv", "pip", "compile", "--quiet", "--universal", "--no-header", "--no-annotate", "pyproject.toml"]
        words += [word for name in groups for word in ("--group", name)]
        done = subprocess.run([*words, "--output-file", output], cwd=folder, env=environment(), capture_output=True)
        if done.returncode:
            return None
        return unequivocal(re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==(.*)", output.read_text(), re.M))


def _bare(kept: Versions) -> dict[str, str]:
    return {name: version.partition(";")[0].strip() for name, version in kept.items()}


def _listed(kept: Versions) -> str:
    return "".join(f"{name}=={version}\n" for name, version in _bare(kept).items())


def _by_group(manager: Manager, folder: Path, kept: Versions, say: Say) -> None:
    """Lock with a group that requires the versions, then without it: the manager keeps what is locked."""
    group = f"kept-versions = {json.dumps([f'{name}=={version}' for name, version in kept.items()])}\n"
    with edited(folder / "pyproject.toml") as text:
        changed = below("dependency-groups", group, text)
        (folder / "pyproject.toml").write_text(changed or f"{text}\n[dependency-groups]\n{group}", "utf-8")
        manager.run(manager.lock, folder, say)
    manager.run(manager.lock, folder, say)


def below(head: str, lines: str, text: str) -> str:
    """TOML with more lines below a table's head, whatever ends its own lines; empty if it has no such head."""
    found = re.search(rf"(?m)^\[{head}\].*\n", text)
    return text[: found.end()] + lines + text[found.end() :] if found else ""


def _by_output(manager: Manager, folder: Path, kept: Versions, say: Say) -> None:
    """uv keeps the versions that it finds in its output file."""
    for file in manager.writes:
        (folder / file).write_text(_listed(kept), "utf-8")
    manager.run(manager.lock, folder, say)


def _by_override(manager: Manager, folder: Path, kept: Versions, say: Say) -> None:
    """PDM does not check overrides against what packages require: only with versions that are compatible."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "versions.txt").write_text(_listed(kept), "utf-8")
        manager.run(f"{manager.lock} --override {place}/versions.txt", folder, say)


def _by_pipfile(manager: Manager, folder: Path, kept: Versions, say: Say) -> None:
    """Lock as it is; then with the versions in the Pipfile, and copy these packages into the lock."""
    from packaging.utils import canonicalize_name

    kept = _bare(kept)
    manager.run(manager.lock, folder, say)
    lock_file = folder / "Pipfile.lock"
    today = json.loads(lock_file.read_text("utf-8"))
    if all(kept.get(name, version) == version for name, version in versions(manager, folder).items()):
        return
    asked: dict[str, set[str]] = {}
    with edited(folder / "Pipfile") as text:
        for section, head in (("default", "packages"), ("develop", "dev-packages")):
            known = tomllib.loads(text).get(head, {})
            asked[section] = {canonicalize_name(name) for name in known}
            for name in known:
                if version := kept.get(canonicalize_name(name)):
                    text = re.sub(
                        rf'(?m)^("?{re.escape(name)}"? = .*?)"(?:\*|[<>=~!][^"]*)"', rf'\g<1>"=={version}"', text
                    )
            more = [
                f'{name} = "=={kept[name]}"\n' for name in today[section] if name in kept and name not in asked[section]
            ]
            text = below(head, "".join(more), text) or text
        (folder / "Pipfile").write_text(text, "utf-8")
        try:
            manager.run(manager.lock, folder, say)
            pinned = json.loads(lock_file.read_text("utf-8"))
        finally:
            lock_file.write_text(json.dumps(today, indent=4) + "\n", "utf-8")
    for section, direct in asked.items():
        for name, entry in pinned[section].items():
            if canonicalize_name(name) not in direct:
                entry.pop("index", None)  # only packages that the Pipfile names have it
        today[section] = pinned[section]
    lock_file.write_text(json.dumps(today, indent=4) + "\n", "utf-8")


LOCKS = {"uv": _by_group, "poetry": _by_group, "pip": _by_output, "pdm": _by_override, "pipenv": _by_pipfile}


@contextmanager
def edited(file: Path) -> Iterator[str]:
    """A file's text; whatever is written to it meanwhile is undone."""
    text = file.read_bytes()
    try:
        yield text.decode("utf-8")
    finally:
        file.write_bytes(text)
