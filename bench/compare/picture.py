"""The figures as a chart: what a quick request waits, and the memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from bench.chart import chart


def draw(results: Mapping[str, Any], file: Path, description: str) -> None:
    """Write the chart of these results."""
    beyond = results["bound"] * 1000
    with chart(file, 9, 4.2, description) as figure:
        wait, memory = figure.subplots(1, 2)
        for name, rows in results["contestants"].items():
            clients = [row["clients"] for row in rows]
            wait.plot(clients, [row["p99"] or beyond for row in rows], label=name.replace("`", ""))
            memory.plot(clients, [row["megabytes"] for row in rows])
        finish(wait, "What a quick request waits: p99, in milliseconds")
        wait.axhline(beyond, color="gray", linestyle=":", linewidth=1, marker="")
        place = {"xytext": (0, 5), "textcoords": "offset points", "fontsize": "small"}
        wait.annotate(f"no answer within {results['bound']:g} s", (1, beyond), **place)
        wait.set_yscale("log")
        wait.set_ylim(top=beyond * 2)
        wait.yaxis.set_major_formatter("{x:,.0f}")
        finish(memory, "Memory of all processes, in MB")
        memory.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=3, fontsize="small")


def finish(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.grid(axis="y")
    axes.set_xlabel("long-lived clients")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
