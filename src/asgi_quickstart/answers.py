"""What the user chose."""

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .options import Value, options


@dataclass(frozen=True)
class Answers:
    """One value for each option."""

    values: Mapping[str, Value]

    @classmethod
    def complete(cls, given: Mapping[str, Value]) -> "Answers":
        """The given values, and the default of every other option."""
        return cls({option.name: given.get(option.name, option.default) for option in options()})

    def __getitem__(self, name: str) -> str:
        """The one choice of an option."""
        value = self.values[name]
        assert isinstance(value, str)
        return value

    def flags(self) -> list[str]:
        """The flags that give the same answers again."""
        return [f"--{option.name}={option.written(self.values[option.name])}" for option in options()]


def name_from(path: Path) -> str:
    """A project name made from a folder's: `Mein Dienst` gives `mein-dienst`; empty if nothing is left of it."""
    name = os.path.basename(os.path.realpath(path)).casefold()
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9._]+", "-", letters).strip("-._")
