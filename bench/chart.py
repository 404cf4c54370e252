"""The look of the charts in docs/: readable on a light and a dark page, and the same bytes for the same figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

STYLE = Path(__file__).with_suffix(".mplstyle")


@contextmanager
def chart(file: Path, width: float, height: float, description: str) -> Iterator[Figure]:
    """A figure to draw on, in inches; it is written as SVG, with the description in it and without the date."""
    with matplotlib.rc_context(fname=STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        figure.savefig(file, format="svg", metadata={"Date": None, "Description": description})
