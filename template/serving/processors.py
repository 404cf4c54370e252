"""The number of CPUs that this process may use, limited by the container's quota."""

import math
import os
from pathlib import Path


def processors(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """The cgroup's quota (version 2 or 1), rounded up, or else the CPUs this process may run on; at least 1."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cpus, quota(cgroup) or cpus))


def quota(cgroup: Path) -> int | None:
    """How many CPUs the cgroup allows, rounded up; None if it sets no limit."""
    try:
        if (cgroup / "cpu.max").exists():
            allowed, period = (cgroup / "cpu.max").read_text().split()
        else:
            allowed, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return None if allowed == "max" or int(allowed) < 0 else math.ceil(int(allowed) / int(period))
    except (OSError, ValueError):
        return None
