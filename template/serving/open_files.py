"""The limit of open files, which includes connections."""

import resource
from contextlib import suppress

MOST = 65536


def raise_limit() -> None:
    """Raise it as far as allowed: the usual 1024 is less than MAX_CONCURRENCY needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # macOS has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
