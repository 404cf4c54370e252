"""What a service records about itself in `.copier-answers.yml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .answers import Answers
from .errors import Error
from .options import Option, Value, document, options

FILE = ".copier-answers.yml"


@dataclass(frozen=True)
class Recorded:
    """Source and version of the template, and what was chosen."""

    source: str
    commit: str
    values: Mapping[str, Any]

    def answers(self, template: Path, flags: Mapping[str, Value] | None = None) -> Answers:
        """The answers for a template, a flag before what is recorded; raises Error that names a key whose value is invalid.

        Without flags it is the template that wrote the service, so that every option must be there, and no other.
        """
        known = {option.name: option for option in options(template)}
        if flags is None:
            for key in self.values:
                if key not in known:
                    raise wrong(key, f"there is no such option; the options are {', '.join(known)}")
        values = {}
        for name, option in known.items():
            if flags and name in flags:
                values[name] = flags[name]
            elif name in self.values:
                values[name] = _valid(option, self.values[name], now=flags is not None)
            elif flags is None and document(template)[name].get("when", True) is True:
                raise wrong(name, "it is missing")
            else:
                values[name] = option.default
        return Answers(values)


def _valid(option: Option, value: Any, *, now: bool) -> Value:
    """A recorded value, if the option can have it."""
    named = value if option.several and isinstance(value, list) else [value]
    unfit = [one for one in named if not isinstance(one, str) or option.choices and one not in option.choices]
    if option.several and not isinstance(value, list):
        unfit = [value]
    if unfit:
        way_out = f"; choose with --{option.name}" if now else ""
        expected = f"one of {', '.join(option.choices)}" if option.choices else "text"
        raise wrong(option.name, f"{unfit[0]!r} is not {'a list with ' * option.several}{expected}{way_out}")
    return tuple(value) if option.several else str(value)


def wrong(key: str, why: str) -> Error:
    """An error about a key."""
    return Error(f"{FILE}: {key}: {why}")


def read(folder: Path) -> Recorded:
    """What the service in a folder records; raises Error when that is no longer what was written there."""
    if (folder / FILE).is_symlink():  # git stores only its target
        raise Error(f"{folder / FILE} is a link: put the file itself in its place, and commit it")
    try:
        content = yaml.safe_load((folder / FILE).read_text("utf-8"))
    except FileNotFoundError:
        raise Error(f"{folder} has no {FILE}: it is not a service of asgi-quickstart") from None
    except (OSError, ValueError, AttributeError, LookupError, TypeError) as error:  # a YAML tag does not fit its value
        raise Error(f"{folder / FILE} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise Error(f"{FILE}: line {mark.line + 1 if mark else 1} is not YAML; `git log -p {FILE}` shows it") from error
    if not isinstance(content, dict):
        raise Error(f"{FILE}: it has no keys; `git log -p {FILE}` shows what it had")
    for key in ("_src_path", "_commit"):
        if not isinstance(content.get(key), str) or not content[key]:
            raise wrong(key, "it is missing" if key not in content else f"{content[key]!r} is not text")
    values = {str(key): value for key, value in content.items() if not str(key).startswith("_")}
    return Recorded(content["_src_path"], content["_commit"], values)
