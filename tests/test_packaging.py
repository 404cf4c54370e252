"""The wheel: what is in it, and what is not."""

import zipfile
from pathlib import Path

import pytest

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


def test_has_the_licence_and_no_byte_code(names: list[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.endswith(".pyc") or "_cache" in name]
