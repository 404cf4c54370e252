"""docs/service.md: the pool that it shows is open while the service answers, and closed when it stops."""

from pathlib import Path
from textwrap import indent

import pytest

from .conftest import Quickstart
from .made_history import commit, git
from .service import Service, write_service
from .snippets import block

PAGE = "service.md"
WITHOUT = """
    with draining, watchdog, SlowReaders(settings.header_seconds):
        ready()
        yield State(settings=settings, draining=draining)
"""[1:]
ROUTER = """
from fastapi import APIRouter
from app.state import CurrentState

router = APIRouter()

"""
STAND_IN = """
from contextlib import asynccontextmanager

class AsyncConnectionPool:
    def __init__(self, conninfo, *, open):
        assert conninfo == "postgresql:///orders" and not open

    async def __aenter__(self):
        print("pool opened", flush=True)
        return self

    async def __aexit__(self, *error):
        print("pool closed", flush=True)

    @asynccontextmanager
    async def connection(self):
        yield self

    async def execute(self, query):
        assert query == "SELECT id FROM orders"
        return self

    async def fetchall(self):
        return [(1,), (2,)]
"""


def with_pool(folder: Path) -> Service:
    """A service edited as the page tells; psycopg has a stand-in, because no database is needed."""
    service = write_service(folder)
    (service.folder / "psycopg_pool.py").write_text(STAND_IN)
    bring = "from psycopg_pool import AsyncConnectionPool\n"
    setting, shared = block(PAGE, "`.env.example` and the README too:\n"), block(PAGE, "in `app/state.py`:\n")
    opened, endpoint = block(PAGE, "`with` in `main.py` becomes\n"), block(PAGE, "takes a connection:\n")
    service.edit("app/settings.py", "    loans_max_months", f"    {setting}    loans_max_months")
    service.edit("app/state.py", "from app.settings", f"{bring}from app.settings")
    service.edit("app/state.py", "    draining: Draining\n", f"    draining: Draining\n    {shared}")
    service.edit(
        "main.py", "from fastapi import FastAPI\n", f"from fastapi import FastAPI\n{bring}from app import orders\n"
    )
    service.edit("main.py", WITHOUT, indent(opened, "    "))
    service.edit(
        "main.py", "app.include_router(health)", "app.include_router(health)\napp.include_router(orders.router)"
    )
    (service.folder / "app/orders.py").write_text(ROUTER + endpoint)
    return service


@pytest.mark.slow
def test_the_pool_is_open_from_before_the_first_request_until_after_the_last_one(tmp_path: Path) -> None:
    service = with_pool(tmp_path / "service")
    with service.started("run", WEB_CONCURRENCY="1"):
        assert service.get("/orders").json() == [1, 2]
        assert "pool opened" in service.log and "pool closed" not in service.log
    assert "pool closed" in service.log


def test_a_service_with_the_pool_takes_every_other_choice_without_a_conflict(
    quickstart: Quickstart, tmp_path: Path
) -> None:
    folder = with_pool(tmp_path / "service").folder
    git(folder, "init", "--quiet")
    commit(folder)
    for choice in "telemetry=full", "realtime=full", "server=granian", "server=hypercorn", "image=slim":
        updated = quickstart("update", str(folder), f"--{choice}", "--no-install")
        assert updated.returncode == 0, (choice, updated.stdout + updated.stderr)
        git(folder, "reset", "--quiet", "--hard")
        git(folder, "clean", "--quiet", "--force", "-d")
