"""Recycling: new workers for old ones after so many requests, against memory that leaks."""

import os
import random
import signal

MASTER = "SERVICE_MASTER"  # the environment variable in which a master tells its workers its process id


class Recycling:
    """Asks the master to restart its workers when `limit` requests (and some) have ended in this one; 0: never.

    It is the master's business, because only a master starts the new workers before the old ones drain.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit + random.randint(
            0, limit // 10
        )  # machines that started together must not all be due at once
        self.count = 0

    def ended(self, requests: int) -> None:
        """Count them."""
        self.count += requests
        if self.limit and self.count >= self.limit:
            self.count = 0
            master = os.getppid()
            if os.environ.get(MASTER) == str(master):  # else started by hand: the parent is a shell
                os.kill(master, signal.SIGHUP)
