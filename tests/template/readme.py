"""The commands of a service's README, as the tests run them."""

import re

from ..service import Service


def removal(service: Service) -> str:
    """The line that removes the example."""
    line = re.search(r"^    (.*rm app/loans.py .*)$", (service.folder / "README.md").read_text(), re.M)
    assert line
    return line[1]


def commands(service: Service, title: str) -> list[str]:
    """The lines of the first block below a title."""
    section = (service.folder / "README.md").read_text().partition(f"\n### {title}\n")[2]
    block = re.search(r"(?:^    .*\n)+", section, re.M)
    assert block, title
    return [line.strip() for line in block[0].splitlines()]
