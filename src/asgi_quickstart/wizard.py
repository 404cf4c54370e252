"""The questions, asked on a terminal."""

from collections.abc import Mapping

from .options import Option, options


def ask(given: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Ask for each option that is not given; Ctrl-C raises KeyboardInterrupt."""
    return dict(given) | {
        option.name: _ask(option, defaults.get(option.name, option.default))
        for option in options()
        if option.name not in given
    }


def _ask(option: Option, default: str) -> str:
    import questionary  # slow to import: only when something is asked

    if option.choices:
        choices = [questionary.Choice(label, value) for value, label in option.choices.items()]
        question = questionary.select(option.help, choices, default=default)
    else:
        question = questionary.text(option.help, default=default)
    answer: str = question.unsafe_ask()
    return answer
