"""What parts of the service cost on the wire: the service on gunicorn with one change, beside the whole and the founding set-up."""

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
NO_MIDDLEWARE = ("main.py", "app = Service(", "app = FastAPI(")
NO_CONNECTIONS = ("serving/connection.py", '    "http": Connection,\n', "")
NO_BODIES = ("serving/middleware.py", '"complete" in scope.get("extensions", ())', "True")  # which connections tell
NO_CORK = [
    ("serving/connection.py", "cast(asyncio.Transport, Corked(transport))", "transport"),
    ("serving/connection.py", "cast(Corked, self.transport).transport", "self.transport"),
]
NO_HEADERS = [
    ("serving/middleware.py", '[*headers, *added, (b"x-request-id", request_id.encode())]', "[*headers]"),
    ("serving/middleware.py", "if self.cors and", "if False and"),
]
ROUTER = (
    "main.py",
    "add(app)",
    "from fastapi import APIRouter\n\nrouter = APIRouter()\nadd(router)\napp.include_router(router)",
)
# What is changed: edits (file, old, new) and settings.
CHANGES: dict[str, tuple[list[tuple[str, str, str]], dict[str, str]]] = {
    "without the access log": ([], {"LOG_LEVEL": "WARNING"}),
    "without the proxies' headers": (
        [("main.py", "Proxies(serving, trusted=settings.trusted_proxies, root_path=settings.root_path)", "serving")],
        {},
    ),
    "without CORS": ([], {"CORS_ORIGINS": ""}),
    "without the added response headers": (NO_HEADERS, {}),
    "without keeping what was loaded from the garbage collector": ([("serving/ready.py", "gc.freeze()", "pass")], {}),
    "without sending responses together": (NO_CORK, {}),
    "without any middleware": ([NO_MIDDLEWARE], {}),
    "without connection deadlines, and without sending together": ([NO_CONNECTIONS, NO_BODIES], {}),
    "without any of it": ([NO_MIDDLEWARE, NO_CONNECTIONS], {}),
    "with the endpoints in a router": ([ROUTER], {}),
}


def variants(folder: Path) -> Iterator[Contestant]:
    """The founding set-up, the whole service, and the service with each change."""
    yield FOUNDING
    yield replace(quickstart("gunicorn", folder / "whole"), key="whole", title="this service, whole")
    for change, (edits, settings) in CHANGES.items():
        one = quickstart("gunicorn", folder / change)
        for file, old, new in edits:
            Service(one.folder).edit(file, old, new)
        yield replace(one, key=change, title=change, environment={**one.environment, **settings})


def measure(quick: bool) -> dict[str, Any]:
    """The section `parts` of the results."""
    rounds = 3 if quick else 41
    with tempfile.TemporaryDirectory() as name, Race(variants(Path(name)), Path(name)) as race:
        race.run([JSON], rounds, SECONDS, latency=False)
    return {"rounds": rounds, "seconds": SECONDS, "connections": CONNECTIONS} | summary(race)
