"""The code in docs/: a test runs what the page shows."""

import re

from .tables import DOCS


def block(page: str, after: str) -> str:
    """The first indented block that follows a text on that page."""
    _, found, rest = (DOCS / page).read_text().partition(after)
    assert found, f"{page} has no {after!r}"
    lines = re.search(r"(?:^    .*\n(?:\n+(?=    ))?)+", rest, re.M)
    assert lines, f"{page} has no block after {after!r}"
    return re.sub(r"^    ", "", lines[0], flags=re.M)
