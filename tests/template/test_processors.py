"""The default number of workers, in a container with a quota and without."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asgi_quickstart.options import TEMPLATE


@pytest.fixture(scope="module")
def processors() -> Callable[[Path], int]:
    spec = importlib.util.spec_from_file_location("processors", TEMPLATE / "template/serving/processors.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.processors  # type: ignore[no-any-return]


CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "150000 100000\n"}, min(2, CPUS)),
        ({"cpu.max": "max 100000\n"}, CPUS),
        ({"cpu.max": "6400000 100000\n"}, CPUS),
        ({"cpu.max": "broken\n"}, CPUS),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, CPUS),
        ({}, CPUS),
    ],
    ids=str,
)
def test_no_more_workers_than_the_quota_allows(
    processors: Callable[[Path], int], tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert processors(tmp_path) == expected
