"""The questions, asked on a terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from .answers import Answers
from .errors import UsageError
from .options import Option, options
from .rendering import rendered

if TYPE_CHECKING:
    import questionary

# The terminal's own colours, which can be read on dark and on light.
STYLE = {
    "qmark": "fg:ansigreen",
    "question": "bold",
    "instruction": "fg:ansibrightblack",
    "pointer": "fg:ansicyan bold",
    "selected": "noreverse",  # questionary's "selected" is the default choice, wherever the pointer is
    "answer": "fg:ansicyan nobold",
}


def ask(given: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Ask for each option that is not given; Ctrl-C and Ctrl-D raise click.Abort."""
    return dict(given) | {
        option.name: _ask(option, defaults.get(option.name, option.default))
        for option in options()
        if option.name not in given
    }


def _ask(option: Option, default: str) -> str:
    """One answer; a text that is refused is shown again, to be mended."""
    import questionary  # slow to import: only when something is asked

    style = questionary.Style.from_dict(STYLE)
    if option.choices:
        choices = [questionary.Choice(label, value) for value, label in option.choices.items()]
        return _answer(questionary.select(option.help, choices, default, style=style, instruction="(arrow keys)"))
    text = _answer(questionary.text(option.help, default, style=style))
    while refusal := _refusal(option, text):
        questionary.print(f"  {refusal}", style="fg:ansired")
        text = _answer(questionary.text(option.help, text, style=style))
    return text


def _answer(question: "questionary.Question") -> str:
    try:
        answer: str = question.unsafe_ask()
    except (EOFError, KeyboardInterrupt):
        raise click.Abort from None
    return answer


def _refusal(option: Option, text: str) -> str:
    """What copier's validator says against a text; empty if it accepts it."""
    try:
        with rendered(Answers.complete({option.name: text})):
            return ""
    except UsageError as error:
        return str(error)
