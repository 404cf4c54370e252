"""The options, read from `copier.yml`: the only place that knows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(str(files("asgi_quickstart"))) / "_template"
NONE = "none"  # the answer that takes none of several choices


Value = str | tuple[str, ...]  # a tuple for an option of which several may be chosen


@dataclass(frozen=True)
class Option:
    """A question with its choices, by value; one without choices takes any text that copier's validator accepts."""

    name: str
    help: str
    default: Value
    choices: Mapping[str, str] = field(default_factory=dict)
    several: bool = False
    refusable: bool = False  # copier's validator may reject an answer

    def written(self, value: Value) -> str:
        """A value as its flag has it."""
        return value if isinstance(value, str) else ",".join(value) or NONE


@cache
def document(template: Path = TEMPLATE) -> dict[str, Any]:
    """`copier.yml` as it is."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loaded: dict[str, Any] = yaml.load((template / "copier.yml").read_text("utf-8"), loader)
    return loaded


@cache
def options(template: Path = TEMPLATE) -> tuple[Option, ...]:
    """Every option a user is asked, in the order of the questions."""
    return tuple(
        Option(
            name=name,
            help=question["help"],
            default=tuple(default) if isinstance(default := question["default"], list) else default,
            choices={value: label for label, value in question.get("choices", {}).items()},
            several=question.get("multiselect", False),
            refusable="validator" in question,
        )
        for name, question in document(template).items()
        if not name.startswith("_") and question.get("when", True)
    )
