"""Where a request's time goes, in this process: what each layer adds to the one below, and a profile by package."""

import cProfile
import pstats
import statistics
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

import uvloop
from fastapi import APIRouter, Depends, FastAPI
from fastapi.telemetry import TelemetryConfig
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from . import garbage
from .inprocess import BATCH, REQUESTS, batch, stacks
from .stack import service

GET = REQUESTS["GET /"]
OFF = TelemetryConfig(tracing=False, metrics=False, logs=False)


class Status(BaseModel):
    """What the service answers too."""

    status: str


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    body = b'{"status":"ok"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def starlette(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def response() -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def plain():  # type: ignore[no-untyped-def] # as the founding set-up: nothing says what it returns
    return {"status": "ok"}


async def annotated() -> Status:
    return Status(status="ok")


async def value() -> str:
    return "ok"


async def opened() -> AsyncIterator[str]:
    yield "ok"


async def dependent(status: Annotated[str, Depends(value)]) -> Status:
    return Status(status=status)


async def cleaning(status: Annotated[str, Depends(opened)]) -> Status:
    return Status(status=status)


def threaded() -> Status:
    return Status(status="ok")


def app(endpoint: Callable[..., Any], routers: int = 0, **settings: Any) -> FastAPI:
    """FastAPI with an endpoint at `/`, within so many routers."""
    made = FastAPI(**settings)
    if not routers:
        made.get("/")(endpoint)
        return made
    router = APIRouter()
    router.get("/")(endpoint)
    for _ in range(routers - 1):
        outer = APIRouter()
        outer.include_router(router)
        router = outer
    made.include_router(router)
    return made


def layers() -> dict[str, ASGIApp]:
    """Applications that give the same answer; each has something that the one before it has not."""
    lean: dict[str, Any] = {"telemetry": OFF, "openapi_url": None}
    return {
        "bare ASGI": bare,
        "Starlette": Starlette(routes=[Route("/", starlette)]),
        "FastAPI as it comes, a dict (the founding endpoint)": app(plain),
        "FastAPI as it comes, an annotated model": app(annotated),
        "... without its telemetry": app(annotated, telemetry=OFF),
        "... and without documentation routes": app(annotated, **lean),
        "the same, a Response": app(response, **lean),
        "the same, an included router": app(annotated, 1, **lean),
        "the same, a router in a router": app(annotated, 2, **lean),
        "the same, a dependency": app(dependent, **lean),
        "the same, a dependency that yields": app(cleaning, **lean),
        "the same, `def` instead of `async def` (a thread)": app(threaded, **lean),
    }


def package(file: str) -> str:
    """The package of a profiled function."""
    parts = Path(file).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    if "serving" in parts:
        return "serving (this template)"
    if Path(file).is_relative_to(Path(__file__).parent):
        return "the benchmark"
    return (
        "logging (standard library)"
        if "logging" in parts
        else "Python"
        if file == "~"
        else "standard library, the rest"
    )


async def profile(application: ASGIApp, app: FastAPI, state: dict[str, Any]) -> dict[str, float]:
    """The share of each package in the time of a request, its own functions alone."""
    with cProfile.Profile() as profiler:
        for _ in range(4):
            await batch(application, app, state, *GET)
    spent: dict[str, float] = {}
    for (file, _, _), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        spent[package(file)] = spent.get(package(file), 0) + own
    whole = sum(spent.values())
    return dict(sorted(((name, own / whole) for name, own in spent.items()), key=lambda one: -one[1]))


async def _measure(rounds: int) -> dict[str, Any]:
    with service() as ours:
        built = stacks(ours)
        applications: dict[str, tuple[ASGIApp, FastAPI]] = {name: (one, ours) for name, one in layers().items()}
        applications["this service without its middleware"] = built["bare"], ours
        applications["this service"] = built["all"], ours
        turns: dict[str, list[float]] = {name: [] for name in applications}
        async with ours.router.lifespan_context(ours) as state:
            for number in range(rounds + 1):
                for name, (application, owner) in applications.items():
                    taken = await batch(application, owner, dict(state or {}), *GET)
                    if number:  # the first one fills caches
                        turns[name].append(taken)
            shares = await profile(built["all"], ours, dict(state or {}))
    rows = [
        {"layer": name, "min_us": round(min(taken), 1), "median_us": round(statistics.median(taken), 1)}
        for name, taken in turns.items()
    ]
    return {
        "rounds": rounds,
        "batch": BATCH,
        "rows": rows,
        "profile": [{"package": name, "share": round(share, 3)} for name, share in shares.items() if share >= 0.005],
    }


def measure(quick: bool) -> dict[str, Any]:
    """The section `layers` of the results."""
    result: dict[str, Any] = uvloop.run(_measure(3 if quick else 40))
    return result | {"full_collection": garbage.measure()}
