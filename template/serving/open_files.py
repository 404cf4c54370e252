"""The limit of open files, which includes connections."""

import resource
from contextlib import suppress

MOST = 65536


def raise_limit() -> None:
    """Raise it as far as allowed: the usual 1024 is less than MAX_CONCURRENCY needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        for most in range(MOST, soft, -1024):
            with suppress(OSError, ValueError):  # more than `hard`, or than macOS allows, often 10,240
                return resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
