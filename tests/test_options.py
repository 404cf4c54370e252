"""One list of options: `copier.yml` knows them, and everything else agrees with it."""

import re
from itertools import chain
from pathlib import Path

from jinja2 import Environment, meta

from asgi_quickstart import locking
from asgi_quickstart.options import TEMPLATE, document, options

from .tables import DOCS, options_table, part

COPIERS_OWN = {"_copier_answers", "_copier_conf"}


def template_files() -> list[Path]:
    skipped = {"__pycache__"}
    files = (TEMPLATE / "template").rglob("*")
    return [file for file in files if file.is_file() and not skipped & set(file.parts)]


def variables(text: str) -> set[str]:
    """The variables that a template's text asks for."""
    copiers = Environment(extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"], **document()["_envops"])
    return meta.find_undeclared_variables(copiers.parse(text))


def test_the_template_uses_every_option_and_no_other_variable() -> None:
    used = set(chain.from_iterable(variables(file.read_text()) for file in template_files()))
    used |= set(chain.from_iterable(variables(pattern) for pattern in document()["_exclude"]))
    known = {name for name in document() if not name.startswith("_")}
    assert used - COPIERS_OWN == known
    assert {option.name for option in options()} <= used


def test_every_choice_has_its_record() -> None:
    by_name = {option.name: set(option.choices) for option in options()}
    assert by_name["manager"] == set(document()["managers"]["default"])
    assert by_name["server"] == set(document()["servers"]["default"])
    assert by_name["image"] == set(document()["images"]["default"]) | {"none"}
    shapes = {frozenset(record) for record in document()["managers"]["default"].values()}
    assert len(shapes) == 1
    assert by_name["manager"] == set(locking.LOCKS)


def test_everything_excluded_is_in_the_template() -> None:
    for pattern in document()["_exclude"]:
        if pattern.startswith("<%"):
            assert (TEMPLATE / "template" / pattern.split("'")[1]).exists(), pattern


def test_the_page_has_the_options_of_copier_yml() -> None:
    assert options_table() == part((DOCS / "command.md").read_text(), "options"), "run `make docs`"


def test_no_project_can_be_called_like_a_package_that_the_service_needs() -> None:
    asked = re.findall(r'^    "([A-Za-z0-9._-]+)[^"]*",$', (TEMPLATE / "template/pyproject.toml").read_text(), re.M)
    assert {"fastapi", "granian", "uv"} <= set(asked)
    assert sorted(asked) == re.findall(r'"([a-z][a-z0-9-]+)"', document()["name"]["validator"])
