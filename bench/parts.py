"""What each part of the service costs on the wire: the service on gunicorn without it, beside the whole and the founding set-up."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.service import Service

from .contest import FOUNDING, Contestant, quickstart
from .growth import JSON
from .throughput import CONNECTIONS, Race, summary

SECONDS = 0.3  # of a round: many short ones, so that all see the same machine
NO_MIDDLEWARE = ("main.py", "    middleware=middleware,\n", "")
NO_CONNECTIONS = ("serving/connection.py", '        "http": Connection,\n', "")
NO_CORK = [
    ("serving/connection.py", "cast(asyncio.Transport, Corked(transport))", "transport"),
    ("serving/connection.py", "cast(Corked, self.transport).transport", "self.transport"),
]
# What is taken away: edits (file, old, new) and settings.
WITHOUT: dict[str, tuple[list[tuple[str, str, str]], dict[str, str]]] = {
    "the access log": ([], {"LOG_LEVEL": "WARNING"}),
    "the proxies' headers": ([("main.py", "    Middleware(Proxies", "    # ")], {}),
    "CORS": ([], {"CORS_ORIGINS": ""}),
    "what is added to an answer's headers": ([("serving/middleware.py", ", *added]", "]")], {}),
    "sending answers together": (NO_CORK, {}),
    "any middleware": ([NO_MIDDLEWARE], {}),
    "deadlines of connections, and without sending together": ([NO_CONNECTIONS], {}),
    "any of it": ([NO_MIDDLEWARE, NO_CONNECTIONS], {}),
}


def variants(folder: Path) -> Iterator[Contestant]:
    """The founding set-up, the whole service, and the service without each part."""
    yield FOUNDING
    yield replace(quickstart("gunicorn", folder / "whole"), key="whole", title="this service, whole")
    for part, (edits, settings) in WITHOUT.items():
        one = quickstart("gunicorn", folder / part)
        for file, old, new in edits:
            Service(one.folder).edit(file, old, new)
        yield replace(one, key=part, title=f"without {part}", environment={**one.environment, **settings})


def measure(quick: bool) -> dict[str, Any]:
    """The section `parts` of the results."""
    rounds = 3 if quick else 41
    with tempfile.TemporaryDirectory() as name, Race(variants(Path(name)), Path(name)) as race:
        race.run([JSON], rounds, SECONDS, latency=False)
    return {"rounds": rounds, "seconds": SECONDS, "connections": CONNECTIONS} | summary(race)
