"""How slow the machine is at this moment: limits in seconds were set on one that was not."""

import time

USUAL = 0.055  # seconds that `_work` takes on the machine of the limits


def slowness() -> float:
    """By what factor a limit in seconds is to be multiplied now; 1 on a machine as quick as that one, or quicker."""
    started = time.perf_counter()
    _work()
    return max(1.0, (time.perf_counter() - started) / USUAL)


def _work() -> None:
    for number in range(1_000_000):
        number * number  # noqa: B018
