"""The figures in docs/wsgi-and-asgi.md and in the README."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.tables import DOCS, replace

from . import picture

RESULTS = Path(__file__).parents[1] / "results" / "compare.json"
PAGE = DOCS / "wsgi-and-asgi.md"
README = DOCS.parent / "README.md"
CHART = DOCS / "pictures" / "wsgi-and-asgi.svg"
MARK = "compare"


def write(results: Mapping[str, Any]) -> None:
    """Put the figures into the page, the chart and the README."""
    replace(PAGE, MARK, tables(results))
    replace(README, MARK, sentence(results))
    picture.draw(results, CHART, digest(results))


def digest(results: Mapping[str, Any]) -> str:
    """What the chart bears, so that it is seen when it is older than the figures."""
    return hashlib.sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()


def tables(results: Mapping[str, Any]) -> str:
    """The figures in Markdown, who was disqualified, and where they come from."""
    return "\n\n".join(filter(None, [waits(results), costs(results), out(results), origin(results)])) + "\n"


def waits(results: Mapping[str, Any]) -> str:
    """A row a level, a column a contestant."""
    contestants = results["contestants"]
    lines = [f"| long-lived clients | {' | '.join(contestants)} |", "|---:" * (len(contestants) + 1) + "|"]
    for level in zip(*contestants.values(), strict=True):
        cells = [wait(row, results["bound"]) for row in level]
        lines.append(f"| {level[0]['clients']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def wait(row: Mapping[str, Any], bound: float) -> str:
    """What a quick request waits: the median and the p99, and how many had no answer."""
    lost = row["unanswered"] + row["wrong"]
    if lost == row["asked"]:
        return "**none answered**"
    median, p99 = (f"over {bound:g} s" if row[name] is None else f"{row[name]:,.1f}" for name in ("median", "p99"))
    cell = f"{median} / {p99} ms" if row["p99"] is not None else f"{median}{' ms' if row['median'] else ''} / {p99}"
    return cell + (f", **{lost / row['asked']:.0%} unanswered**" if lost else "")


def costs(results: Mapping[str, Any]) -> str:
    """A row a contestant: the streams, the memory and the processor with the fewest and the most clients."""
    rows = results["contestants"].values()
    most = max(row["clients"] for levels in rows for row in levels)
    lines = [
        f"| with {most:,} long-lived clients | streams that run | threads | memory | memory a client | of one processor |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, levels in results["contestants"].items():
        first, last = levels[0], levels[-1]
        running, asked = last["streams"]
        client = (last["megabytes"] - first["megabytes"]) / (last["clients"] - first["clients"]) * 1024
        each = f"{client:.0f} KB" if running > asked * 0.9 else ""  # else they are not there
        lines.append(
            f"| {name} | {running:,} of {asked:,} | {last['threads']:,} | {last['megabytes']:.0f} MB "
            f"| {each} | {last['processor']:.0%} |"
        )
    return "\n".join(lines)


def out(results: Mapping[str, Any]) -> str:
    return "\n".join(
        f"Disqualified: {name}: {reason.splitlines()[0]}" for name, reason in results["disqualified"].items()
    )


def origin(results: Mapping[str, Any]) -> str:
    asked = max(row["asked"] for rows in results["contestants"].values() for row in rows)
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    return (
        f"Median / p99 of {asked} requests in {results['rounds']} rounds, {results['processes']} processes each. "
        f"{results['date']}, {results['machine']}, {versions}."
    )


def sentence(results: Mapping[str, Any]) -> str:
    """The key figures in words: the service first, then each WSGI set-up, all with the most clients."""
    with_most = {name: rows[-1] for name, rows in results["contestants"].items()}
    *_, service = with_most.values()
    wsgi = [f"{name[6:]}: {brief(row)}" for name, row in with_most.items() if name.startswith("WSGI, ")]
    return (
        f"Measured with {service['clients']:,} clients that poll or read a stream, on {results['processes']} processes: how many "
        f"of the other requests are answered within {results['bound']:g} s. By the service: {brief(service)}. By a WSGI "
        f"application under gunicorn with workers of the kind {'; '.join(wsgi)}.\n"
    )


def brief(row: Mapping[str, Any]) -> str:
    """How many were answered, and the p99."""
    answered = row["asked"] - row["unanswered"] - row["wrong"]
    share = {row["asked"]: "all", 0: "none"}.get(answered, f"{answered / row['asked']:.0%}")
    return share + (f" (p99 {row['p99']:,.0f} ms)" if row["p99"] is not None else "")
