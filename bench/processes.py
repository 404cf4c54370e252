"""What Linux knows about the processes of a server: memory and processor time. Elsewhere nothing is known."""

import os
from collections.abc import Iterator
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def of(session: int) -> Iterator[Path]:
    """The folders in /proc of the processes that belong to a session."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int(_fields(folder)[3]) == session:
                yield folder
        except OSError:  # it ended meanwhile
            continue


def seconds(session: int) -> float:
    """Processor time of a session's processes since they began, the system's on their behalf too."""
    return sum(map(busy, of(session)))


def busy(folder: Path) -> float:
    """Processor time of one process, in seconds."""
    return sum(map(int, _fields(folder)[11:13])) / TICK


def megabytes(session: int) -> list[float]:
    """Resident memory of each process, the largest first; a page that several share is split among them (PSS)."""
    return sorted(map(pss, of(session)), reverse=True)


def _fields(folder: Path) -> list[str]:
    """The fields of `stat` from the third on; the name before them may have spaces."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


def pss(folder: Path) -> float:
    """Resident memory of one process in MB, see `megabytes`."""
    for line in (folder / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"{folder}/smaps_rollup has no Pss")
