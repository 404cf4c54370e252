"""The limit of open files, which connections are too."""

import resource
from contextlib import suppress

MOST = 65536


def raise_limit() -> None:
    """Raise it as far as this user may: where it is 1024, as in many containers, it is less than MAX_CONCURRENCY needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # macOS has one more limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
