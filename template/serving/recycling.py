"""Recycling: new workers for old ones after so many requests, against memory that leaks."""

import os
import random
import signal

MASTER = "SERVICE_MASTER"  # the environment variable in which a master tells its workers its process id


class Recycling:
    """Asks the master for a new worker each time that `limit` requests (and some) have ended; 0: never.

    It is the master's business, because only a master starts the new worker before the old one drains.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit + random.randint(0, limit // 10)  # the workers must not all be due at once
        self.count = 0

    def ended(self, requests: int) -> None:
        """Count them."""
        self.count += requests
        if self.limit and self.count >= self.limit:
            self.count = 0
            replace_a_worker()


def replace_a_worker() -> None:
    """Tell the master, if there is one: gunicorn adds a worker and ends its oldest; the others restart theirs in turn."""
    master = os.getppid()
    if os.environ.get(MASTER) != str(master):  # started by hand: the parent is a shell
        return
    gunicorn = os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")
    for number in (signal.SIGTTIN, signal.SIGTTOU) if gunicorn else (signal.SIGHUP,):
        os.kill(master, number)
