"""The code in docs/: a test runs what the page shows."""

import re

from .tables import DOCS


def blocks(text: str) -> list[str]:
    """The indented blocks of a page or of a part of it."""
    found = re.findall(r"(?:^    .*\n(?:\n+(?=    ))?)+", text, re.M)
    return [re.sub(r"^    ", "", lines, flags=re.M) for lines in found]


def block(page: str, after: str) -> str:
    """The first indented block that follows a text on that page."""
    _, found, rest = (DOCS / page).read_text().partition(after)
    assert found, f"{page} has no {after!r}"
    return blocks(rest)[0]
