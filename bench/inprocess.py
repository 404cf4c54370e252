"""A service asked in this process: no socket, no server, no other process.

Run as `python bench/inprocess.py ROUNDS` in a service's folder, by an environment that has no more than its packages: it
prints as JSON what the service's middleware costs. `bench.stack` runs it so in an image.
"""

import asyncio
import contextlib
import json
import logging.config
import os
import platform
import statistics
import sys
from collections.abc import Iterator
from copy import copy
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import uvloop
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BATCH = 500  # requests: few, so that a disturbance spoils few batches
TURN = 25  # requests in a turn of the event loop, as on a busy server
HEADERS = [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"bench"), (b"accept", b"*/*")]
LOAN = json.dumps({"amount": "12000.00", "rate": "4.5", "months": 1}).encode()
COMPLETE: dict[str, Any] = {"extensions": {"complete": {}}}  # as the service's uvicorn has it, if all of it has arrived
REQUESTS: dict[str, tuple[str, str, bytes, dict[str, Any]]] = {
    "GET /": ("GET", "/", b"", COMPLETE),
    "POST /loans/quote": ("POST", "/loans/quote", LOAN, COMPLETE),
    "POST /loans/quote, its body later": ("POST", "/loans/quote", LOAN, {}),
}


@contextlib.contextmanager
def service(folder: Path) -> Iterator[FastAPI]:
    """The application of the service in a folder, as the environment sets it, its logs written to /dev/null."""
    before = Path.cwd(), list(sys.path)
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        os.chdir(folder)
        sys.path.insert(0, str(Path.cwd()))
        import main  # type: ignore[import-not-found]
        from serving import logs  # type: ignore[import-not-found]

        logging.config.dictConfig(logs.config(development=False, level="INFO"))
        try:
            yield main.app
        finally:
            os.chdir(before[0])
            sys.path[:] = before[1]
            logging.config.dictConfig({"version": 1, "root": {"level": "WARNING"}})  # else to a stream that is closed


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that only reads the request and answers."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def around(app: FastAPI, inner: ASGIApp) -> dict[str, ASGIApp]:
    """An application bare, within all the middleware of the service, and within each of them alone."""
    outside: Any = app.outside  # type: ignore[attr-defined]
    proxies, alone, serving = copy(outside), copy(outside), copy(outside.app)
    proxies.app, alone.app, serving.app, serving.ended = serving, inner, inner, []
    return {"bare": inner, "all": proxies, "Proxies": alone, "Serving": serving}


def stacks(app: FastAPI) -> dict[str, ASGIApp]:
    """The same of the service itself."""
    return around(app, partial(FastAPI.__call__, app))


async def batch(
    application: ASGIApp, app: FastAPI, state: dict[str, Any], method: str, path: str, body: bytes, more: dict[str, Any]
) -> float:
    """Microseconds of a request, on average over BATCH of them."""
    typed = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))] if body else []
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    scopes = [
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": HEADERS + typed,
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
            "state": dict(state),
            "app": app,
            **more,
        }
        for _ in range(BATCH)
    ]
    begin = process_time()  # of this process: what else the machine does meanwhile counts less
    for number, scope in enumerate(scopes):
        await application(scope, receive, send)
        assert status == 200, status
        if number % TURN == TURN - 1:
            await asyncio.sleep(0)  # the log's lines of a turn of the event loop are written at its end
    return (process_time() - begin) / BATCH * 1e6


async def _measure(app: FastAPI, rounds: int) -> list[dict[str, Any]]:
    whole, empty = stacks(app), around(app, nothing)
    cases = {request: (whole, parameters) for request, parameters in REQUESTS.items()}
    cases |= {f"{request}, to nothing": (empty, parameters) for request, parameters in REQUESTS.items()}
    turns: dict[tuple[str, str], list[float]] = {
        (request, name): [] for request, (built, _) in cases.items() for name in built
    }
    async with app.router.lifespan_context(app) as state:
        for number in range(rounds + 1):
            for request, (built, parameters) in cases.items():
                for name, application in built.items():
                    taken = await batch(application, app, dict(state or {}), *parameters)
                    if number:  # the first one fills caches
                        turns[request, name].append(taken)
    return [
        {
            "request": request,
            "middleware": name,
            "min_us": round(min(taken), 1),
            "median_us": round(statistics.median(taken), 1),
        }
        for (request, name), taken in turns.items()
    ]


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Rows by request and middleware: the least and the median of `rounds` batches, which take turns."""
    with service(folder) as app:
        rows = uvloop.run(_measure(app, rounds))
    return {"python": platform.python_version(), "rounds": rounds, "batch": BATCH, "rows": rows}


if __name__ == "__main__":
    print(json.dumps(measure(Path.cwd(), int(sys.argv[1]))))
