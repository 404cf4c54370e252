"""Recycling: replacing workers after a number of requests, against memory leaks."""

import os
import random
import signal

MASTER = "SERVICE_MASTER"  # environment variable with the master's process id, for its workers


class Recycling:
    """Asks the master for a new worker whenever about `limit` requests have ended in this one; 0: never.

    Only a master can start the new one before the old one drains: gunicorn replaces its oldest, the others restart all.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit + random.randint(0, limit // 10)  # workers that started together must not all be due at once
        self.count = 0

    def ended(self, requests: int) -> None:
        """Count them."""
        self.count += requests
        if self.limit and self.count >= self.limit:
            self.count = 0  # the master may replace another, older worker first
            master = os.getppid()
            if os.environ.get(MASTER) == str(master):  # otherwise the parent is a shell
                # :: if server in ("gunicorn", "hypercorn")
                os.kill(master, signal.SIGUSR1)
                # :: else
                os.kill(master, signal.SIGHUP)
                # :: endif
