"""What the middleware of the service costs a request, in one process: by this machine's Python and in the service's image.

Run as `python -m bench.stack [--quick]`; it prints microseconds a request: bare, with all of the stack, and
with each of its middlewares alone; and around an application that does nothing, beside which the processor's caches
have nothing else to hold.
"""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from tests import containers
from tests.service import write_service
from tests.template import images
from tests.template.test_install import user_environment

from . import inprocess
from .contest import SETTINGS

ROUNDS = 40


@contextlib.contextmanager
def written() -> Iterator[Path]:
    """The folder of a new service with the default choices; the environment has it all on."""
    os.environ |= SETTINGS  # before the settings are read
    with tempfile.TemporaryDirectory() as folder:
        yield write_service(Path(folder, "service")).folder


@contextlib.contextmanager
def service() -> Iterator[FastAPI]:
    """Its application."""
    with written() as folder, inprocess.service(folder) as app:
        yield app


def in_image(rounds: int) -> dict[str, Any]:
    """The same in the service's image: the Python and the packages that run in production."""
    if why := containers.missing():
        return {"reason": why}
    containers.bases()
    with tempfile.TemporaryDirectory() as folder:
        shipped = write_service(Path(folder, "service"))
        images.make(shipped, "lock", user_environment("uv", Path(folder)))
        images.build(shipped, "stack")
        printed = containers.podman(
            "run",
            "--rm",
            "--network=none",
            f"--volume={inprocess.__file__}:/inprocess.py:ro",
            *(f"--env={name}={value}" for name, value in SETTINGS.items()),
            "--entrypoint=/opt/venv/bin/python",
            f"localhost/{images.OURS}/stack",
            "/inprocess.py",
            str(rounds),
        )
    figures: dict[str, Any] = json.loads(printed)
    return figures


def section(quick: bool) -> dict[str, Any]:
    """The section `stack` of the results; the quick form has no image."""
    with written() as folder:
        here = inprocess.measure(folder, 3 if quick else ROUNDS)
    return here if quick else here | {"image": in_image(ROUNDS)}


def _rows(figures: dict[str, Any]) -> str:
    lines = [
        "| request | middleware | minimum | median | adds (minimum) | adds (median) |",
        "|---|---|---:|---:|---:|---:|",
    ]
    bare: dict[str, Any] = {}
    for row in figures["rows"]:
        bare = row if row["middleware"] == "bare" else bare
        added = " | ".join("" if row is bare else f"{row[key] - bare[key]:.1f}" for key in ("min_us", "median_us"))
        lines.append(
            f"| {row['request']} | {row['middleware']} | {row['min_us']:.1f} | {row['median_us']:.1f} | {added} |"
        )
    return "\n".join(lines) + "\n"


def table(figures: dict[str, Any]) -> str:
    """The results in Markdown, with what each stack adds to the bare application."""
    text = f"With this machine's Python, {figures['python']}:\n\n{_rows(figures)}"
    image = figures.get("image")
    if not image:
        return text
    if "rows" not in image:
        return f"{text}\nNot measured in the service's image, which needs containers; {image['reason']}.\n"
    return f"In the service's image, with its Python {image['python']}:\n\n{_rows(image)}\n{text}"


if __name__ == "__main__":
    print(table(section("--quick" in sys.argv[1:])), end="")
