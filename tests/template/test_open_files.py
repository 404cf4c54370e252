"""The limit of open files, with a kernel that is stood in for: no macOS is at hand."""

import resource
import runpy

import pytest

from asgi_quickstart.options import TEMPLATE

FILE = TEMPLATE / "template/serving/open_files.py"


@pytest.mark.parametrize(("most", "hard"), [(10240, resource.RLIM_INFINITY), (61440, 100_000), (4096, 4096)])
def test_the_limit_of_open_files_is_raised_as_far_as_the_kernel_allows(
    monkeypatch: pytest.MonkeyPatch, most: int, hard: int
) -> None:
    """macOS refuses more than a number of its own, whatever the hard limit is."""
    limits = [(256, hard)]

    def set_limit(what: int, wanted: tuple[int, int]) -> None:
        if wanted[0] > most:
            raise ValueError("current limit exceeds maximum limit")
        limits.append(wanted)

    monkeypatch.setattr(resource, "getrlimit", lambda what: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    runpy.run_path(str(FILE))["raise_limit"]()
    assert limits == [(256, hard), (most, hard)]
