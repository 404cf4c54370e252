"""The tables in `docs/performance.md`, written from the results."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.tables import DOCS, replace

from . import stack
from .endpoints import ENDPOINTS

PAGE = DOCS / "performance.md"


def grid(heads: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; all but the first column are figures."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def failures(figures: Mapping[str, Any]) -> str:
    """Who is missing, and why."""
    return "".join(f"\n{one['title']}: {one['reason']}.\n" for one in figures.get("out", []))


def throughput(figures: Mapping[str, Any]) -> str:
    """Ratios to the founding set-up first, then latencies, then the figures they came from."""
    rows: dict[str, dict[str, Any]] = {}
    for row in figures["rows"]:
        rows.setdefault(row["title"], {})[row["endpoint"]] = row
    asked = [one for one in ENDPOINTS if any(one.name in row for row in rows.values())]
    heads = ["", *(one.title for one in asked)]

    def cells(cell: Callable[[Mapping[str, Any]], str]) -> str:
        body = [[title, *(cell(row[one.name]) for one in asked)] for title, row in rows.items()]
        return grid(heads, body)

    return "\n".join(
        [
            "Throughput, relative to the founding set-up:\n",
            cells(lambda row: f"{row['ratio']:.2f}{plus_minus(row)}" if row["ratio"] else "-"),
            "Responses for the same CPU time of the server, relative to the founding set-up; what else the machine does disturbs"
            " this less:\n",
            cells(lambda row: f"{row['cpu_ratio']:.2f}" if row["cpu_ratio"] else "-"),
            "Latency in milliseconds at half of the contestant's own throughput, p50 / p99:\n",
            cells(lambda row: f"{row['p50_ms']:.2f} / {row['p99_ms']:.2f}" if row["p50_ms"] else "-"),
            "Responses per second, the median (minimum to maximum of the rounds), and the server's CPU time per response:\n",
            cells(lambda row: f"{row['rate']:,} ({row['least']:,} to {row['most']:,})<br>{row['cpu_us']:.0f} µs"),
        ]
    ) + failures(figures)


def plus_minus(row: Mapping[str, Any]) -> str:
    """How far the middle half of the rounds' ratios reaches to either side."""
    return f" ±{row['spread']:.2f}" if row.get("spread") else ""


def start(figures: Mapping[str, Any]) -> str:
    """Start, import, memory; then reload."""
    heads = [
        "",
        "first response",
        "import",
        "memory, one worker",
        "of which the largest process",
        "memory, two workers",
    ]
    rows = [
        [
            row["title"],
            f"{row['first_answer_s']:.2f} s",
            f"{row['import_s']:.2f} s",
            *(f"{row[key]:.0f} MB" if row[key] else "-" for key in ("one_mb", "worker_mb", "two_mb")),
        ]
        for row in figures["rows"]
    ]
    text = grid(heads, rows)
    if figures["reload"]:
        base = next(row["seconds"] for row in figures["reload"] if row["title"].startswith("`uvicorn"))
        text += "\n" + grid(
            ["started by", "edit saved to edit served", "times faster than `uvicorn --reload`", "connections lost"],
            [
                [row["title"], f"{row['seconds']:.2f} s", f"{base / row['seconds']:.1f}", str(row["lost"])]
                for row in figures["reload"]
            ],
        )
    return text + failures(figures)


def growth(figures: Mapping[str, Any]) -> str:
    """A table a quantity: a row a line of its chart."""
    text = []
    for name in ("routes", "middlewares", "connections", "workers"):
        lines: dict[str, dict[int, int]] = {}
        for row in figures[name]:
            lines.setdefault(row["line"], {})[row["x"]] = row["rate"]
        sizes = sorted({row["x"] for row in figures[name]})
        body = [[line, *(f"{rates[x]:,}" if x in rates else "-" for x in sizes)] for line, rates in lines.items()]
        text.append(f"Responses per second by number of {name}:\n\n" + grid(["", *(f"{x:,}" for x in sizes)], body))
    return "\n".join(text) + failures(figures)


def tool(figures: Mapping[str, Any]) -> str:
    """Generators."""
    heads = ["", "to the files", "to the first response", "files", "packages"]
    rows = [
        [
            row["title"],
            f"{row['files_s']:.1f} s",
            f"{row['first_answer_s']:.1f} s" if row["first_answer_s"] else "-",
            str(row["files"]),
            str(row["packages"]),
        ]
        for row in figures["rows"]
    ]
    python = f"\nAll with Python {figures['python']}.\n" if "python" in figures else ""
    return grid(heads, rows) + python + failures(figures)


def client(figures: Mapping[str, Any]) -> str:
    """The load's own limit."""
    rows = [[row["server"], row["client"], f"{row['rate']:,}", f"{row['cpu_us']:.1f} µs"] for row in figures["rows"]]
    return grid(["server", "client", "responses per second", "the client's CPU time per response"], rows)


def layers(figures: Mapping[str, Any]) -> str:
    """What each layer takes, and the profile."""
    rows = [[row["layer"], f"{row['min_us']:.1f}", f"{row['median_us']:.1f}"] for row in figures["rows"]]
    shares = [[row["package"], f"{row['share']:.1%}"] for row in figures["profile"]]
    return (
        "Microseconds per request:\n\n"
        + grid(["", "minimum", "median"], rows)
        + "\nThe whole service under a profiler, which makes small functions look slower than they are:\n\n"
        + grid(["package", "share of the time, own functions only"], shares)
        + "\nA full garbage collection in a worker, while every request waits, takes {kept_ms:.1f} ms; without `gc.freeze()`, which\n"
        "keeps from it what was loaded, {not_kept_ms:.1f} ms.\n".format(**figures["full_collection"])
    )


def parts(figures: Mapping[str, Any]) -> str:
    """The service without each of its parts."""
    rows = [[row["title"], f"{row['ratio']:.2f}", f"{row['cpu_us']:.0f} µs"] for row in figures["rows"]]
    return grid(["", "throughput", "the server's CPU time per response"], rows) + failures(figures)


TABLES: dict[str, Callable[[Any], str]] = {
    "throughput": throughput,
    "start": start,
    "growth": growth,
    "tool": tool,
    "client": client,
    "stack": stack.table,
    "layers": layers,
    "parts": parts,
}


def origin(section: Mapping[str, Any]) -> str:
    """Where a section's figures come from."""
    machine, figures = section["machine"], section["figures"]
    commit = f", commit {section['commit']}" if "commit" in section else ""
    return (
        f"\nMedian of {figures['rounds']} rounds, {section['date']}{commit}: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {machine['system']}, {machine['kernel']}, Python {machine['python']}.\n"
    )


PICTURES = {
    "throughput": {
        "throughput": "Throughput of each contestant on each endpoint",
        "latency": "p50 and p99 at half of the contestant's own throughput",
    },
    "start": {"memory": "Memory of an idle service"},
    "growth": {"growth": "Responses per second by number of routes, middlewares, connections and workers"},
}


def pictures(name: str) -> str:
    """The charts of a section, see `charts.py`."""
    return "".join(f"![{words}](pictures/performance-{file}.svg)\n\n" for file, words in PICTURES.get(name, {}).items())


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """The text of every section, as it stands between the page's marks."""
    sections = results["sections"]
    missing = {name: "Not measured yet.\n" for name in TABLES}
    written = {
        name: pictures(name) + TABLES[name](section["figures"]) + origin(section) for name, section in sections.items()
    }
    return missing | written | {"versions": _versions(results)}


def _versions(results: Mapping[str, Any]) -> str:
    """Every version that was measured; a section may have been measured later than another."""
    named: dict[str, list[str]] = {}
    for section in results["sections"].values():
        for name, version in section["versions"].items():
            if version not in named.setdefault(name, []):
                named[name].append(version)
    text = ", ".join(f"{name} {' and '.join(found)}" for name, found in sorted(named.items()))
    return f"{text or 'Not measured yet'}.\n"


def write(results: Mapping[str, Any]) -> None:
    """Put the tables into the page."""
    for name, text in tables(results).items():
        replace(PAGE, name, text)
