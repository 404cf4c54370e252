"""The questions of `asgi-quickstart new`, on a real terminal: what is asked, what the keys do, what comes of it."""

import io
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest

from asgi_quickstart.answers import Answers
from asgi_quickstart.options import Option, Value, options
from asgi_quickstart.rendering import rendered

from .conftest import Quickstart
from .service import BIN, clean_environment
from .tables import DOCS
from .test_cli import contents

# Newer versions of Python warn of any fork beside threads; what pexpect's child does next is exec.
pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")

NAME, LAST = options()[0], options()[-1]
ENTER, SPACE, UP, DOWN, BACKSPACE = "\r", " ", "\x1b[A", "\x1b[B", "\x7f"
CTRL_C, CTRL_D, CTRL_U = "\x03", "\x04", "\x15"
COLOURS = r"(?:\x1b\[[0-9;?]*[a-zA-Z])*"


class Terminal:
    """`asgi-quickstart new orders` on a terminal, in an empty folder; its standard error is kept beside that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "empty"
        self.folder.mkdir()
        self.shown = io.StringIO()

    def new(self, *arguments: str, columns: int = 110) -> None:
        command = [str(BIN / "asgi-quickstart"), "new", "orders", "--no-install", *arguments]
        self.process = pexpect.spawn(
            "sh",
            ["-c", 'exec "$@" 2>../errors', "sh", *command],
            cwd=self.folder,
            # pexpect is no terminal that says where its cursor is, when it is asked to
            env=clean_environment() | {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"},
            dimensions=(40, columns),
            encoding="utf-8",
            timeout=30,
        )
        self.process.logfile_read = self.shown
        self.process.delaybeforesend = None

    def shows(self, *parts: str) -> None:
        """Wait for a text below all that was waited for before; its parts may have different colours."""
        self.process.expect(COLOURS.join(map(re.escape, parts)))

    def press(self, *keys: str) -> None:
        self.process.send("".join(keys))

    def asks(self, option: Option, *keys: str) -> None:
        """Wait for the question, and answer it."""
        self.shows(option.help)
        self.press(*keys, ENTER)

    def ended(self) -> tuple[int, str]:
        """Wait for the end: the exit status, and what standard error has."""
        self.process.expect(pexpect.EOF)
        self.process.close()
        return self.process.exitstatus, (self.folder.parent / "errors").read_text()

    def asked(self) -> list[Option]:
        """The options whose questions were shown so far."""
        return [option for option in options() if option.help in self.shown.getvalue()]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.process.close(force=True)


def files(**given: Value) -> dict[str, bytes]:
    """The files of a service called orders, with the given answers."""
    with rendered(Answers.complete({"name": "orders", **given})) as folder:
        return contents(folder)


def test_enter_at_every_question_writes_the_same_as_yes(terminal: Terminal, quickstart: Quickstart) -> None:
    terminal.new()
    for option in options():
        terminal.shows(option.help)
        terminal.shows(*shown_first(option))
        terminal.press(ENTER)
    assert (0, "") == terminal.ended()
    quickstart("new", "orders", "--yes", "--no-install")
    assert contents(quickstart.folder / "orders") == contents(terminal.folder / "orders")


def test_the_picture_in_the_readme_is_of_today() -> None:
    picture = (DOCS / "pictures/wizard.svg").read_text().replace("&#160;", " ")
    assert f"{len(files())} files written to orders" in picture
    assert all(option.help in picture for option in options())


def shown_first(option: Option) -> list[str]:
    """What the pointer stands at: the default, or the first of several."""
    if option.several:
        return [" » ", "○ ", next(iter(option.choices.values()))]
    return [" » ", option.choices[str(option.default)]] if option.choices else ["orders"]


def test_questions_choices_and_their_order_are_those_of_the_options(terminal: Terminal) -> None:
    terminal.new()
    for option in options():
        terminal.shows(option.help)
        for label in option.choices.values():
            terminal.shows(label)
        terminal.press(ENTER)
    terminal.shows("files written")
    assert (0, "") == terminal.ended()


@pytest.mark.parametrize(("key", "step"), [(DOWN, 1), (UP, -1)], ids=["down", "up"])
def test_arrow_keys_choose(terminal: Terminal, key: str, step: int) -> None:
    chosen = {option.name: beside_default(option, step) for option in options() if option.choices}
    terminal.new()
    for option in options():
        terminal.asks(option, key)
    flags = Answers.complete({"name": "orders", **chosen}).flags()
    terminal.shows(f"asgi-quickstart new orders {' '.join(flags)}\r\n")
    assert (0, "") == terminal.ended()
    assert files(**chosen) == contents(terminal.folder / "orders")


def beside_default(option: Option, step: int) -> Value:
    """The choice one step below the default, or above it; the list has no ends. Moving alone chooses none of several."""
    if option.several:
        return ()
    values = list(option.choices)
    return values[(values.index(str(option.default)) + step) % len(values)]


def test_the_space_key_chooses_several(terminal: Terminal) -> None:
    """The last option: the others are answered by flags."""
    (option,) = [option for option in options() if option.several]
    others = [flag for flag in Answers.complete({"name": "orders"}).flags() if not flag.startswith(f"--{option.name}=")]
    first, *_, last = option.choices
    terminal.new(*others)
    terminal.shows("(space chooses)")
    terminal.press(SPACE, UP, SPACE, ENTER)
    terminal.shows(f"--{option.name}={first},{last}\r\n")
    assert (0, "") == terminal.ended()
    assert files(**{option.name: (first, last)}) == contents(terminal.folder / "orders")


def test_forty_columns_are_enough(terminal: Terminal) -> None:
    terminal.new(columns=40)
    for option in options():
        terminal.shows(option.help)
        if option.choices:
            terminal.shows("(space chooses)" if option.several else "(arrow keys)")
        for label in option.choices.values():
            terminal.shows(label[:20])
        terminal.press(DOWN, ENTER)
    assert (0, "") == terminal.ended()
    chosen = {option.name: beside_default(option, 1) for option in options() if option.choices}
    assert files(**chosen) == contents(terminal.folder / "orders")


@pytest.mark.parametrize("given", options(), ids=lambda option: option.name)
def test_what_a_flag_answers_is_not_asked(terminal: Terminal, given: Option) -> None:
    value = list(given.choices)[-1] if given.choices else "paper"
    others = [option for option in options() if option != given]
    terminal.new(f"--{given.name}={value}")
    for option in others:
        terminal.asks(option)
    assert (0, "") == terminal.ended()
    assert others == terminal.asked()
    assert files(**{given.name: (value,) if given.several else value}) == contents(terminal.folder / "orders")


@pytest.mark.parametrize("arguments", [["--yes"], Answers.complete({"name": "orders"}).flags()], ids=["yes", "flags"])
def test_asks_nothing_when_all_is_answered(terminal: Terminal, arguments: list[str]) -> None:
    terminal.new(*arguments)
    assert (0, "") == terminal.ended()
    assert [] == terminal.asked()
    assert files() == contents(terminal.folder / "orders")


@pytest.mark.parametrize("terminal_end", ["stdin", "stdout"])
def test_asks_nothing_when_either_end_is_no_terminal(tmp_path: Path, terminal_end: str) -> None:
    ours, theirs = pty.openpty()
    result = subprocess.run(
        [BIN / "asgi-quickstart", "new", "orders", "--no-install"],
        cwd=tmp_path,
        env=clean_environment(),
        stdin=theirs if terminal_end == "stdin" else subprocess.DEVNULL,
        stdout=theirs if terminal_end == "stdout" else subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=30,
    )
    output = os.read(ours, 10_000) if terminal_end == "stdout" else result.stdout
    os.close(ours)
    os.close(theirs)
    assert (0, b"") == (result.returncode, result.stderr)
    assert output.splitlines()[0].endswith(b"files written to orders")
    assert files() == contents(tmp_path / "orders")


@pytest.mark.parametrize(
    ("last", "keys"),
    [(NAME, CTRL_C), (LAST, CTRL_C), (NAME, CTRL_U + CTRL_D)],
    ids=["first", "last", "ctrl-d"],
)
def test_ctrl_c_at_a_question_ends_it_with_one_line_and_writes_nothing(
    terminal: Terminal, last: Option, keys: str
) -> None:
    terminal.new()
    for option in options()[: options().index(last)]:
        terminal.asks(option)
    terminal.shows(last.help)
    terminal.press(keys)
    assert (130, "asgi-quickstart: stopped\n") == terminal.ended()
    assert [] == list(terminal.folder.iterdir())


def test_a_name_that_is_refused_is_shown_again_with_the_validators_reason(
    terminal: Terminal, quickstart: Quickstart
) -> None:
    reason = quickstart("new", "orders", "--name=orders.").stderr.rpartition(": ")[2].strip()
    assert "project name" in reason
    terminal.new()
    terminal.asks(NAME, ".")
    terminal.shows(f"  {reason}")
    terminal.shows(f"{NAME.help} ", "orders.")
    assert [NAME] == terminal.asked()
    terminal.press(BACKSPACE, ENTER)
    for option in options()[1:]:
        terminal.asks(option)
    assert (0, "") == terminal.ended()
    assert files() == contents(terminal.folder / "orders")


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--image=none", "--deploy=compose"], "an image is needed for compose"), (["--name=or ders"], "project name")],
)
def test_flags_that_are_refused_end_it_before_the_first_question(
    terminal: Terminal, flags: list[str], words: str
) -> None:
    terminal.new(*flags)
    status, errors = terminal.ended()
    assert (2, 1) == (status, errors.count("\n")) and words in errors
    assert [] == terminal.asked() and [] == list(terminal.folder.iterdir())


def test_an_answer_that_does_not_go_with_a_flag_is_refused_at_its_question(terminal: Terminal) -> None:
    terminal.new("--deploy=compose")
    for option in options():
        if option.name == "image":
            terminal.asks(option, UP)
            terminal.shows("an image is needed for compose")
            terminal.asks(option, DOWN)
        elif option.name != "deploy":
            terminal.asks(option)
    assert (0, "") == terminal.ended()
    assert files(deploy=("compose",)) == contents(terminal.folder / "orders")


def test_an_answer_that_does_not_go_with_an_earlier_one_can_be_taken_back(terminal: Terminal) -> None:
    terminal.new("--image=none")
    for option in options():
        if option.name == "deploy":
            terminal.asks(option, SPACE)
            terminal.shows("leave compose out")
            terminal.asks(option, SPACE)
        elif option.name != "image":
            terminal.asks(option)
    assert (0, "") == terminal.ended()
    assert files(image="none") == contents(terminal.folder / "orders")
