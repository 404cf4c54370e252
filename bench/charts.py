"""The charts in docs/performance.md, drawn from the results."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from tests.tables import DOCS

from .chart import chart
from .endpoints import ENDPOINTS

PICTURES = DOCS / "pictures"
OURS, FOUNDING, OTHER = "#0090d0", "#d55e00", "#808890"  # of chart.mplstyle


def colour(contestant: str) -> str:
    """Ours, the founding set-up and the others are told apart."""
    return OURS if contestant.startswith("ours") else FOUNDING if contestant == "founding" else OTHER


def bars(axes: Axes, rows: list[Mapping[str, Any]], figure: str, behind: str | None = None) -> None:
    """A bar a contestant, the first on top; a second figure lies behind it, lighter."""
    names, colours = [row["title"] for row in rows], [colour(row["contestant"]) for row in rows]
    if behind:
        axes.barh(names, [row[behind] for row in rows], color=colours, alpha=0.45)
    else:  # beside the name and not the bar, where other lines may be
        names = [f"{name}  {row[figure]:.2f}" for name, row in zip(names, rows, strict=True)]
    axes.barh(names, [row[figure] for row in rows], color=colours)
    axes.invert_yaxis()
    axes.grid(False)
    axes.tick_params(labelsize=8)


def throughput(figures: Mapping[str, Any]) -> None:
    """A panel an endpoint: multiples of the founding set-up."""
    asked = [one for one in ENDPOINTS if any(row["endpoint"] == one.name for row in figures["rows"])]
    words = "Throughput of each contestant on each endpoint, relative to the founding set-up."
    with chart(PICTURES / "performance-throughput.svg", 8, 2.7 * len(asked), words) as figure:
        panels = figure.subplots(len(asked), 1, squeeze=False)
        for axes, endpoint in zip(panels[:, 0], asked, strict=True):
            rows = [row for row in figures["rows"] if row["endpoint"] == endpoint.name and row["ratio"]]
            bars(axes, rows, "ratio")
            axes.axvline(1, color=FOUNDING, linewidth=0.8, marker="")
            axes.set_title(f"{endpoint.title}: throughput, relative to the founding set-up")


def latency(figures: Mapping[str, Any]) -> None:
    """Small JSON at half of the contestant's throughput."""
    rows = [row for row in figures["rows"] if row["endpoint"] == "json" and row["p50_ms"]]
    words = "Latency in milliseconds, p50 and p99, at half of the contestant's own throughput."
    with chart(PICTURES / "performance-latency.svg", 8, 4, words) as figure:
        axes = figure.subplots()
        bars(axes, rows, "p50_ms", "p99_ms")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("milliseconds, logarithmic; dark: p50, light: p99")
        axes.set_title("Small JSON, at half of the contestant's own throughput")


def memory(figures: Mapping[str, Any]) -> None:
    """One worker, and two."""
    rows = [row for row in figures["rows"] if row["two_mb"]]
    words = "Memory of an idle service with one worker and with two, in MB."
    with chart(PICTURES / "performance-memory.svg", 8, 4, words) as figure:
        axes = figure.subplots()
        bars(axes, rows, "one_mb", "two_mb")
        axes.set_xlabel("MB; dark: one worker, light: two")
        axes.set_title("Memory of an idle service")


def growth(figures: Mapping[str, Any]) -> None:
    """A panel a quantity, a line a contestant."""
    words = "Responses per second by number of routes, middlewares, connections and workers."
    with chart(PICTURES / "performance-growth.svg", 9, 7, words) as figure:
        for axes, name in zip(figure.subplots(2, 2).flat, QUANTITIES, strict=True):
            lines: dict[str, list[tuple[int, int]]] = {}
            for row in figures[name]:
                lines.setdefault(row["line"], []).append((row["x"], row["rate"]))
            for line, points in lines.items():
                xs, ys = zip(*sorted(points), strict=True)
                axes.plot(xs, ys, label={"fastapi": "FastAPI", "starlette": "Starlette"}.get(line, line))
            if name in ("routes", "connections"):
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter("{x:,.0f}")
            else:
                axes.set_xticks(sorted({row["x"] for row in figures[name]}))
            axes.yaxis.set_major_formatter("{x:,.0f}")
            axes.set_ylim(0, axes.get_ylim()[1] * (1.1 + 0.06 * len(lines)))  # room for the legend
            axes.set_title(f"Responses per second by number of {name}")
            axes.legend(fontsize=8)


QUANTITIES = ("routes", "middlewares", "connections", "workers")
CHARTS = {"throughput": [throughput, latency], "growth": [growth], "start": [memory]}


def draw(results: Mapping[str, Any]) -> None:
    """Write the charts of the sections that were measured."""
    for name, charts in CHARTS.items():
        for one in charts if name in results["sections"] else []:
            one(results["sections"][name]["figures"])
