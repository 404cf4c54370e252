"""The package managers as the command calls them: what they hear of, and what of theirs is a failure."""

import re

import pytest

from asgi_quickstart.managers import FOREIGN, environment
from asgi_quickstart.options import TEMPLATE

from .conftest import Quickstart
from .test_cli import refused


def test_a_manager_that_is_not_installed_leaves_the_files_and_names_the_command(quickstart: Quickstart) -> None:
    result = quickstart("new", "orders", "--manager=pdm", PATH="/usr/bin:/bin")
    refused(result, 1, "pdm is not installed", "pipx install", "the files stay in orders")
    assert (quickstart.folder / "orders/main.py").exists()


def test_a_manager_hears_of_no_other_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    makefile = (TEMPLATE / "template/Makefile").read_text().replace("\\\n", "")
    (unexported,) = re.findall(r"^unexport (.*)", makefile, re.M)
    assert FOREIGN == {"MAKEFLAGS", "MAKELEVEL", *unexported.split()}
    for name in FOREIGN:
        monkeypatch.setenv(name, "/elsewhere")
    assert "/elsewhere" not in environment().values()


@pytest.mark.parametrize(("makes", "missing"), [(":", "pdm.lock"), ("echo > pdm.lock", ".venv")])
def test_a_manager_that_was_at_work_elsewhere_is_no_success(quickstart: Quickstart, makes: str, missing: str) -> None:
    program = quickstart.folder / "bin/pdm"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{makes}\n")
    program.chmod(0o755)
    result = quickstart("new", "orders", "--manager=pdm", PATH=f"{program.parent}:/usr/bin:/bin")
    refused(result, 1, f"pdm has created no {missing} in orders", "`make lock setup`")


def test_a_manager_that_fails_leaves_the_files_and_shows_its_output(quickstart: Quickstart) -> None:
    result = quickstart("new", "orders", UV_OFFLINE="1", UV_CACHE_DIR=str(quickstart.folder / "empty"))
    assert result.returncode == 1
    assert result.stderr.startswith(
        "asgi-quickstart: uv failed with status 1; the files stay in orders: to continue, `make lock setup` there\n"
    )
    assert "because the network was disabled" in " ".join(result.stderr.replace("│", "").split()).lower()
    assert "Traceback" not in result.stderr
    assert (quickstart.folder / "orders/main.py").exists()
