"""The processes of a service that was started by `make run`."""

from pathlib import Path

from ..service import Service


def master(service: Service) -> int:
    """The process that `make run` has started."""
    assert service.process
    return children(service.process.pid)[0]


def workers(service: Service) -> list[int]:
    """The children of the master that serve."""
    return [pid for pid in children(master(service)) if serves(pid)]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def serves(pid: int) -> bool:
    """Not the helper process of multiprocessing, and not one that has just ended."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return bool(line) and "resource_tracker" not in line
