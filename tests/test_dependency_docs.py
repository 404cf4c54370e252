"""docs/dependency-management.md says what was measured, and the words of copier.yml."""

import json
import re

import pytest

from bench.install import MARK, PAGE, RESULTS, table

from .tables import part
from .template.test_install import MANAGERS

WORDS = {
    "get it": "obtain",
    "add one": "add",
    "add one for development": "add_dev",
    "remove one": "remove",
    "upgrade one": "upgrade_one",
    "upgrade all": "upgrade",
    "after a merge conflict in the lock": "conflict",
}


def comparison() -> dict[str, dict[str, str]]:
    """The page's first table: the cells of each row, by manager."""
    lines = re.findall(r"^\|.*\|$", PAGE.read_text().partition("\n## ")[0], re.M)
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    names = [name.lower() for name in head[1:]]
    return {label: dict(zip(names, cells, strict=True)) for label, *cells in rows}


def test_the_figures_are_those_of_the_committed_results() -> None:
    results = json.loads(RESULTS.read_text())
    assert list(MANAGERS) == [row["manager"] for row in results["rows"]]
    assert table(results) == part(PAGE.read_text(), MARK)


def test_every_manager_has_a_column_and_a_section() -> None:
    sections = [title.lower() for title in re.findall(r"^## (.+)$", PAGE.read_text(), re.M)]
    assert list(MANAGERS) == [title for title in sections if title in MANAGERS]
    assert {tuple(MANAGERS)} == {tuple(row) for row in comparison().values()}


@pytest.mark.parametrize("label", WORDS)
def test_the_comparison_has_the_words_of_the_records(label: str) -> None:
    words = {name: record[WORDS[label]] for name, record in MANAGERS.items()}
    assert words == {name: cell.strip("`") if label == "get it" else cell for name, cell in comparison()[label].items()}
