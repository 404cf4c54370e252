"""Recycling: new workers for old ones after so many requests, against memory that leaks."""

import os
import random
import signal

MASTER = "SERVICE_MASTER"  # the environment variable in which a master tells its workers its process id


class Recycling:
    """Asks the master for a new worker each time that `limit` requests (and some) have ended in this one; 0: never.

    It is the master's business, because only a master starts the new worker before the old one drains: gunicorn replaces
    its oldest, the others restart theirs in turn.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit + random.randint(0, limit // 10)  # what started together must not all be due at once
        self.count = 0

    def ended(self, requests: int) -> None:
        """Count them."""
        self.count += requests
        if self.limit and self.count >= self.limit:
            self.count = 0  # it may be another that was replaced, being older
            master = os.getppid()
            if os.environ.get(MASTER) == str(master):  # else started by hand: the parent is a shell
                # :: if server in ("gunicorn", "hypercorn")
                os.kill(master, signal.SIGUSR1)
                # :: else
                os.kill(master, signal.SIGHUP)
                # :: endif
