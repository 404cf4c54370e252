"""The questions, asked on a terminal."""

from collections.abc import Mapping

import click

from .answers import Answers
from .errors import Refusal
from .options import Option, Value, options
from .rendering import rendered

# The terminal's own colours, which can be read on dark and on light.
STYLE = {
    "qmark": "fg:ansigreen",
    "question": "bold",
    "instruction": "fg:ansibrightblack",
    "pointer": "fg:ansicyan bold",
    "selected": "noreverse",  # questionary's "selected" is the default choice, wherever the pointer is
    "answer": "fg:ansicyan nobold",
}


def ask(given: Mapping[str, Value], defaults: Mapping[str, Value]) -> dict[str, Value]:
    """Ask for each option that is not given; Ctrl-C and Ctrl-D raise click.Abort.

    Raises Refusal before the first question if a validator rejects what is given.
    """
    if given:
        _validate(given)
    # A validator may look at answers of other options: with such a flag, any answer may be rejected.
    all_refusable = any(option.refusable and option.name in given for option in options())
    answers = dict(given)
    for option in options():
        if option.name not in given:
            default = defaults.get(option.name, option.default)
            answers[option.name] = _ask(option, default, answers, refusable=option.refusable or all_refusable)
    return answers


def _ask(option: Option, default: Value, answers: Mapping[str, Value], *, refusable: bool) -> Value:
    """One answer; a rejected one is shown again for correction, because earlier answers are not the reason."""
    import questionary  # slow to import: only when something is asked

    answer = _answer(option, default)
    while refusable:
        try:
            _validate({**answers, option.name: answer})
            break
        except Refusal as refusal:
            questionary.print(f"  {refusal}", style="fg:ansired")
            answer = _answer(option, answer)
    return answer


def _answer(option: Option, default: Value) -> Value:
    import questionary

    style = questionary.Style.from_dict(STYLE)
    choices = [
        questionary.Choice(label, value, checked=option.several and value in default)
        for value, label in option.choices.items()
    ]
    try:
        if option.several:
            hint = "(space chooses)"
            return tuple(questionary.checkbox(option.help, choices, style=style, instruction=hint).unsafe_ask())
        if choices:
            return str(
                questionary.select(
                    option.help, choices, str(default), style=style, instruction="(arrow keys)"
                ).unsafe_ask()
            )
        return str(questionary.text(option.help, str(default), style=style).unsafe_ask())
    except (EOFError, KeyboardInterrupt):
        raise click.Abort from None


def _validate(answers: Mapping[str, Value]) -> None:
    """Raise Refusal if one of copier's validators rejects the answers, with defaults for the others."""
    with rendered(Answers.complete(answers)):
        pass
