"""What is done once a run of the tests, by whichever worker comes first."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest


@contextmanager
def first(mark: Path) -> Iterator[bool]:
    """Whether nobody has done it yet; the others wait meanwhile, and one of them is the first if it fails."""
    mark.parent.mkdir(parents=True, exist_ok=True)
    with mark.open("a+") as done:
        flock(done, LOCK_EX)
        new = not done.seek(0, os.SEEK_END)  # another worker may have written since it was opened
        yield new
        if new:
            done.write("yes")


def folder_of_the_run(factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run share."""
    folder = factory.getbasetemp()  # each worker has one in that of the run
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
