"""The commands of a service's README, as the tests run them."""

import re

from ..service import Service


def commands(service: Service, title: str) -> list[str]:
    """The lines of the first block below a title."""
    section = (service.folder / "README.md").read_text().partition(f"\n### {title}\n")[2]
    block = re.search(r"(?:^    .*\n)+", section, re.M)
    assert block, title
    return [line.strip() for line in block[0].splitlines()]
