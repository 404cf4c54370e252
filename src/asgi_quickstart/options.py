"""The options, read from `copier.yml`: the only place that knows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(str(files("asgi_quickstart"))) / "_template"


@dataclass(frozen=True)
class Option:
    """A question with its choices, by value; one without choices takes any text that copier's validator accepts."""

    name: str
    help: str
    default: str
    choices: Mapping[str, str] = field(default_factory=dict)


@cache
def document() -> dict[str, Any]:
    """`copier.yml` as it is."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loaded: dict[str, Any] = yaml.load((TEMPLATE / "copier.yml").read_text("utf-8"), loader)
    return loaded


@cache
def options() -> tuple[Option, ...]:
    """Every option a user is asked, in the order of the questions."""
    return tuple(
        Option(
            name=name,
            help=question["help"],
            default=question["default"],
            choices={value: label for label, value in question.get("choices", {}).items()},
        )
        for name, question in document().items()
        if not name.startswith("_") and question.get("when", True)
    )
