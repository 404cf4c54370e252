"""The access log: one line per request, with its status, duration and client."""

import json
import logging
import sys
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from asgi_correlation_id import correlation_id

Request = tuple[str, str, tuple[str, int] | None, int, float, str]  # method, path, client, status, seconds, id

AT_ONCE = 4096  # bytes that a pipe takes atomically; longer writes may be interleaved with other workers'

logger = logging.getLogger("access")


def log_readable(requests: Sequence[Request]) -> None:
    """One line each, for developers."""
    for method, path, _, status, seconds, name in requests:
        correlation_id.set(name)
        logger.info("%s %s %d %.1f ms", quote(method), quote(path), status, seconds * 1000)


def log_json(requests: Sequence[Request]) -> None:
    """One line of JSON each, all with the current time; without `logging`, which takes 25 microseconds a line."""
    if logger.isEnabledFor(logging.INFO):
        end = f', "time": "{datetime.now(UTC).isoformat()}"}}\n'
        lines = ""
        for method, path, client, status, seconds, name in requests:
            begin = beginning(method, path, client and client[0], status)
            line = f'{begin}, "seconds": {seconds:.6f}, "request_id": "{name}"{end}'
            if len(lines) + len(line) > AT_ONCE:
                write(lines)
                lines = ""
            lines += line
        write(lines)


def write(lines: str) -> None:
    """Write in one system call; where that fails, as on a full disk, drop the lines."""
    try:
        sys.stdout.write(lines)
        sys.stdout.flush()
    except OSError as error:
        warnings.warn(f"no access log: {error}", RuntimeWarning, stacklevel=1)  # shown once, on standard error


@lru_cache  # most requests resemble earlier ones
def beginning(method: str, path: str, client: str | None, status: int) -> str:
    """The beginning of a line."""
    method, path = quote(method), quote(path)  # a line break or a quote in them must not forge log entries
    return (
        f'{{"level": "INFO", "logger": "access", "message": "{method} {path} {status}", '
        f'"method": "{method}", "path": "{path}", "status": {status}, "client": {json.dumps(client)}'
    )
