"""The hosts for which this service answers."""

import re
from collections.abc import Collection
from functools import lru_cache

NAME = r"[\w.-]+|\[[\da-fA-F:.]+\]"  # or an address
HOST = re.compile(rf"({NAME})(:\d{{1,5}})?".encode())


class Hosts:
    """Knows whether a Host header is one of `allowed`: names, `*.example.com` for all below it, `*` for any."""

    def __init__(self, allowed: Collection[str]) -> None:
        names = [name.lower() for name in allowed]
        self.names = frozenset(names)
        self.ends = tuple(name[1:] for name in names if name.startswith("*."))
        self.allow = lru_cache(self._allow)  # few are asked for, again and again

    def _allow(self, host: bytes) -> bool:
        found = HOST.fullmatch(host or b"-")  # HTTP/1.0 needs none, and then only any host will do
        name = found[1].decode().lower() if found else ""
        return bool(found) and ("*" in self.names or name in self.names or name.endswith(self.ends))
