"""Makes wizard.svg beside this file: `asgi-quickstart new orders` as it looks in a terminal (tmux) when it is done.

Run it with the Python of the environment that has the command: `.venv/bin/python docs/pictures/wizard.py`.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from asgi_quickstart.options import options

COLUMNS, LINES = 80, 30
SVG = Path(__file__).with_suffix(".svg")


class Tmux:
    """A terminal with a shell, in a folder."""

    def __init__(self, folder: str) -> None:
        self.words = ["tmux", "-u", "-f", "/dev/null", "-S", f"{folder}/socket"]
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        shell = ["env", "PS1=$ ", f"PATH={path}", "sh"]
        self.tell("new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), "-c", folder, *shell)

    def tell(self, *words: str) -> str:
        return subprocess.run([*self.words, *words], check=True, capture_output=True, text=True, timeout=10).stdout

    def press(self, *keys: str) -> None:
        self.tell("send-keys", *keys)

    def wait_for(self, text: str, seconds: float = 20) -> None:
        """Wait until the screen ends with a text, which may be a regular expression."""
        deadline = time.monotonic() + seconds
        while not re.search(text + r"\s*\Z", self.tell("capture-pane", "-p")):
            if time.monotonic() > deadline:
                raise SystemExit(f"never seen: {text}\n{self.tell('capture-pane', '-p')}")
            time.sleep(0.05)


def screen() -> str:
    """What the terminal shows after the last question and the installation, with its colours."""
    with tempfile.TemporaryDirectory() as folder:
        tmux = Tmux(folder)
        try:
            tmux.wait_for(r"\$")
            tmux.press("asgi-quickstart new orders", "Enter")
            for option in options():
                tmux.wait_for(re.escape(option.help) + r"[^?]*")
                tmux.press("Enter")
            tmux.wait_for(r"The same again:\n[^$]*\$", 300)
            return tmux.tell("capture-pane", "-e", "-p").rstrip()
        finally:
            tmux.tell("kill-server")


def svg(text: str) -> str:
    """A picture that loads nothing: rich's, without its web fonts and its address."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(text))
    picture = console.export_svg(title="asgi-quickstart new", unique_id="wizard")
    picture = re.sub(r"@font-face \{.*?\}|<!--.*?-->", "", picture, flags=re.DOTALL)
    assert ["http://www.w3.org/2000/svg"] == re.findall(r"\w+://[^\"')\s]+", picture)
    lines = [line.rstrip() for line in picture.splitlines() if line.strip()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    SVG.write_text(svg(screen()))
