"""The charts in `docs/pictures/`, drawn from the results: `python -m bench.charts`, in the environment with matplotlib.

Their text and lines are readable on a light page and on a dark one, and the same results give the same bytes.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402 # after the choice of what draws

from .chart import STYLE  # noqa: E402

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "latest.json"
PICTURES = HERE.parent / "docs" / "pictures"

# Greys and colours with a contrast of at least 3 to 1 on white and on black.
GREY, OURS, FOUNDING, OTHER = "#808890", "#2f81f7", "#d9660a", "#8b949e"
LINES = [FOUNDING, OURS, "#2da44e", "#a371f7", "#d4576b", "#1b9aaa"]


def colour(contestant: str) -> str:
    """Ours, the founding set-up and the others are told apart."""
    return OURS if contestant.startswith("ours") else FOUNDING if contestant == "founding" else OTHER


def save(name: str) -> None:
    """Write the figure, without a date."""
    pyplot.tight_layout()
    pyplot.savefig(PICTURES / f"performance-{name}.svg", metadata={"Date": None, "Creator": None})
    pyplot.close()


def throughput(figures: dict[str, Any]) -> None:
    """A panel an endpoint, a bar a contestant: multiples of the founding set-up."""
    titles = {"plain": "plain text", "json": "small JSON", "items": "100 validated items", "order": "POST, validated"}
    titles |= {"user": "parameters, dependency", "routes": "last of 40 nested routes", "stream": "streamed body"}
    asked = [name for name in titles if any(row["endpoint"] == name for row in figures["rows"])]
    _, axes = pyplot.subplots(len(asked), 1, figsize=(8, 2.6 * len(asked)), squeeze=False)
    for axis, name in zip(axes[:, 0], asked, strict=True):
        rows = [row for row in figures["rows"] if row["endpoint"] == name and row["ratio"]][::-1]
        bars = axis.barh(
            [row["title"] for row in rows],
            [row["ratio"] for row in rows],
            color=[colour(row["contestant"]) for row in rows],
        )
        axis.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
        axis.axvline(1, color=FOUNDING, linewidth=0.8)
        axis.set_title(f"{titles[name]}: throughput, as a multiple of the founding set-up's", fontsize=10, loc="left")
        axis.tick_params(labelsize=8)
    save("throughput")


def latency(figures: dict[str, Any]) -> None:
    """p50 and p99 of small JSON at half of the contestant's throughput."""
    rows = [row for row in figures["rows"] if row["endpoint"] == "json" and row["p50_ms"]][::-1]
    _, axis = pyplot.subplots(figsize=(8, 4))
    names, colours = [row["title"] for row in rows], [colour(row["contestant"]) for row in rows]
    axis.barh(names, [row["p99_ms"] for row in rows], color=colours, alpha=0.45)
    axis.barh(names, [row["p50_ms"] for row in rows], color=colours)
    axis.set_xscale("log")
    axis.set_xlabel("milliseconds, logarithmic; dark: p50, light: p99")
    axis.set_title("small JSON, at half of the contestant's own throughput", fontsize=10, loc="left")
    save("latency")


def growth(figures: dict[str, Any]) -> None:
    """A panel a quantity, a line a contestant."""
    _, axes = pyplot.subplots(2, 2, figsize=(9, 7))
    for axis, name in zip(axes.flat, ("routes", "middlewares", "connections", "workers"), strict=True):
        lines: dict[str, list[tuple[int, int]]] = {}
        for row in figures[name]:
            lines.setdefault(row["line"], []).append((row["x"], row["rate"]))
        for (line, points), color in zip(lines.items(), LINES, strict=False):
            xs, ys = zip(*sorted(points), strict=True)
            axis.plot(xs, ys, marker="o", markersize=4, label=line, color=color)
        if name in ("routes", "connections"):
            axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_title(f"answers a second by {name}", fontsize=10, loc="left")
        axis.legend(fontsize=8, labelcolor=GREY)
    save("growth")


def memory(figures: dict[str, Any]) -> None:
    """Memory of an idle service with one worker and with two."""
    rows = [row for row in figures["rows"] if row["two_mb"]][::-1]
    _, axis = pyplot.subplots(figsize=(8, 4))
    names, colours = [row["title"] for row in rows], [colour(row["contestant"]) for row in rows]
    axis.barh(names, [row["two_mb"] for row in rows], color=colours, alpha=0.45)
    axis.barh(names, [row["one_mb"] for row in rows], color=colours)
    axis.set_xlabel("MB; dark: one worker, light: two")
    axis.set_title("memory of an idle service", fontsize=10, loc="left")
    save("memory")


CHARTS = {"throughput": [throughput, latency], "growth": [growth], "start": [memory]}


def main() -> None:
    sections = json.loads(RESULTS.read_text())["sections"]
    with matplotlib.rc_context(fname=STYLE):
        for name, charts in CHARTS.items():
            for draw in charts if name in sections else []:
                draw(sections[name]["figures"])


if __name__ == "__main__":
    main()
