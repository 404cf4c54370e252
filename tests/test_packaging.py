"""The wheel: what is in it, and what is not."""

import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

from asgi_quickstart import git, history
from asgi_quickstart.options import TEMPLATE

from .service import BIN, clean_environment

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def names() -> list[str]:
    (wheel,) = (ROOT / "dist").glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_has_the_whole_template(names: list[str]) -> None:
    kept = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    files = [file for file in (ROOT / "template").rglob("*") if file.is_file() and not kept & set(file.parts)]
    expected = {f"asgi_quickstart/_template/template/{file.relative_to(ROOT / 'template')}" for file in files}
    assert expected == {name for name in names if "/_template/template/" in name}
    assert "asgi_quickstart/_template/copier.yml" in names


@pytest.mark.slow
def test_the_line_of_the_readme_installs_the_command(tmp_path: Path) -> None:
    line = re.search(r"^    (uv tool install \.) ", (ROOT / "README.md").read_text(), re.M)
    assert line
    environment = clean_environment() | {
        "HOME": str(tmp_path),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(ROOT / ".cache/uv")),
        "UV_EXCLUDE_NEWER": tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"],
    }
    subprocess.run(line[1].split(), cwd=ROOT, env=environment, check=True)
    command: list[str | Path] = [tmp_path / ".local/bin/asgi-quickstart", "new", "orders", "--dry-run"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "orders/main.py" in result.stdout


def test_has_the_licence_and_no_byte_code(names: list[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.endswith(".pyc") or "_cache" in name]


def test_has_every_state_that_the_template_ever_had() -> None:
    """Else a service that was written from it could not be updated; a release is built after this has passed."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    listed = subprocess.run(
        ["git", "log", "--format=%H", "--", "template", "copier.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    commits = listed.stdout.split()
    assert "false" in git.run("rev-parse", "--is-shallow-repository", folder=ROOT).decode(), "this clone has no history"
    for commit in [commits[0], commits[len(commits) // 2]]:
        with history.template(commit, "a clone") as folder:
            expected = git.run("show", f"{commit}:template/pyproject.toml", folder=ROOT)
            assert expected == (folder / "template/pyproject.toml").read_bytes()
    complete = [
        commit
        for commit in commits
        if git.run("ls-tree", commit, "template", "copier.yml", folder=ROOT).count(b"\n") == 2
    ]
    assert set(complete) <= set((history.HISTORY / "states").read_text().split())


def test_names_its_template_as_git_does(tmp_path: Path) -> None:
    shutil.copytree(TEMPLATE, tmp_path, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    git.run("init", "--quiet", folder=tmp_path)
    git.run("add", "--all", "--force", folder=tmp_path)
    tree = git.run("write-tree", folder=tmp_path).decode()
    assert history.current().partition("+")[2] == tree[:12]
