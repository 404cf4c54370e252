"""The promises of every server: how a test names the one it shows, and the table written from their outcomes."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

import pytest

from asgi_quickstart.options import document

from .tables import DOCS, part, replace

SERVERS: list[str] = list(document()["servers"]["default"])
PAGE = DOCS / "servers.md"
PROMISES = {
    "Start": "ready once the lifespan has started; a start-up that raises ends the process with an error status",
    "Hot reload": "`make dev` serves the edit, refuses no connection, survives an error",
    "Drain": "on SIGTERM requests in flight are answered, streams end cleanly, readiness turns red, status 0",
    "Restart": "three restarts under load lose no request",
    "Worker death": "a killed worker is replaced, the others keep answering",
    "Blocked loop": "the blocking stack is logged, the worker replaced",
    "Recycling": "workers are replaced after MAX_REQUESTS, without an error for any client",
    "Bad requests": "rejected as RFC 9110 and 9112 say, never a 500, never a second answer",
    "Slow clients": "clients that never finish their headers or body, or never read, are closed; others are served meanwhile",
    "WebSocket": "Autobahn's cases pass; message size limited; compression off",
    "Channels": "every message once and in order over three transports, or a reset; workers and Redis killed and restarted",
    "Proxies": "forwarded headers only from TRUSTED_PROXIES; nginx and Caddy in front; Unix and inherited sockets",
    "Headers": "host allow-list, security headers, no server name, CORS closed",
    "Limits": "workers from the quota, idle connections kept for KEEP_ALIVE_SECONDS, 503 with Retry-After beyond MAX_CONCURRENCY",
    "Metrics": "the sum over all workers, including those that died",
    "Logs": "one line per request, a crash once, with the request's id",
}


def promise(name: str, fixture: str = "service", strict: bool = True, **broken: str) -> Callable[[Any], Any]:
    """Run the test on every server, as what shows the promise `name`; `broken` names a server that cannot keep it, and why.

    Such a server's test must fail, so that the table learns when the server has learnt it; unless `strict` is off,
    because it breaks the promise in most runs only.
    """
    assert name in PROMISES and set(broken) <= set(SERVERS)
    cases = [
        pytest.param(
            {"server": server},
            id=server,
            marks=[pytest.mark.xfail(strict=strict, reason=broken[server])] if server in broken else [],
        )
        for server in SERVERS
    ]
    scope: Literal["function", "module"] = "function" if fixture == "service" else "module"

    def mark(test: Any) -> Any:
        return pytest.mark.promise(name)(pytest.mark.parametrize(fixture, cases, indirect=True, scope=scope)(test))

    return mark


def label(items: Iterable[pytest.Item]) -> None:
    """Note in each test's report which promise it shows on which server."""
    for item in items:
        if marker := item.get_closest_marker("promise"):
            parameters = item.nodeid.rpartition("[")[2].rstrip("]").split("-")
            (server,) = (server for server in SERVERS if server in parameters)
            item.user_properties.append(("promise", (marker.args[0], server)))


Cell = tuple[str, str]  # promise, server


def summary(reports: Iterable[pytest.TestReport]) -> tuple[dict[Cell, str], dict[Cell, list[str]]]:
    """By promise and server: whether it was kept (with the reason if not), and the figures measured."""
    verdicts: dict[Cell, str] = {}
    figures: dict[Cell, list[str]] = defaultdict(list)
    for report in reports:
        properties = dict(report.user_properties)
        if "promise" not in properties or (report.when != "call" and report.passed):
            continue
        cell = cast(Cell, tuple(cast(list[str], properties["promise"])))
        reason = getattr(report, "wasxfail", "") or {"passed": "", "skipped": "not tested"}.get(
            report.outcome, "broken"
        )
        verdicts[cell] = "; ".join(filter(None, [verdicts.get(cell), reason]))
        figures[cell] += [str(value) for key, value in report.user_properties if key == "figure"]
    return verdicts, figures


def table(verdicts: dict[Cell, str], figures: dict[Cell, list[str]]) -> str:
    """A row a promise, a column a server."""
    rows = [f"| | {' | '.join(SERVERS)} |", "|---" * (len(SERVERS) + 1) + "|"]
    for name, words in PROMISES.items():
        cells = []
        for server in SERVERS:
            reason = verdicts[name, server]
            cells.append("<br>".join([f"**in part**: {reason}" if reason else "yes", *figures.get((name, server), [])]))
        rows.append(f"| **{name}**: {words} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def write(verdicts: dict[Cell, str], figures: dict[Cell, list[str]]) -> bool:
    """Write the table if all of it was run, and a verdict has changed or new figures are wanted (`make promises`)."""
    if set(verdicts) != {(name, server) for name in PROMISES for server in SERVERS}:
        return False
    figureless = re.sub(r"<br>.*?(?= \|)", "", part(PAGE.read_text(), "promises"))
    if figureless == table(verdicts, {}) and not os.environ.get("FIGURES"):
        return False
    replace(PAGE, "promises", table(verdicts, figures))
    return True
