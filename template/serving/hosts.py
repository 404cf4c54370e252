"""The hosts this service answers to."""

import re
from collections.abc import Collection
from functools import lru_cache

NAME = r"[\w.-]+|\[[\da-fA-F:.]+\]"  # or an address
HOST = re.compile(rf"({NAME})(:\d{{1,5}})?".encode())


class Hosts:
    """Checks Host headers against `allowed`: names, `*.example.com` for its subdomains, `*` for any."""

    def __init__(self, allowed: Collection[str]) -> None:
        names = [name.lower() for name in allowed]
        self.names = frozenset(names)
        self.ends = tuple(name[1:] for name in names if name.startswith("*."))
        self.allow = lru_cache(self._allow)  # the same few, again and again

    def _allow(self, host: bytes) -> bool:
        found = HOST.fullmatch(host or b"-")  # HTTP/1.0 may have none, which only `*` allows
        name = found[1].decode().lower() if found else ""
        return bool(found) and ("*" in self.names or name in self.names or name.endswith(self.ends))
