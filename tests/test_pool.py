"""docs/service.md: the pool that it shows is open while the service answers, and closed when it stops."""

from pathlib import Path
from textwrap import indent

import pytest

from .service import write_service
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


@pytest.mark.slow
def test_the_pool_is_open_from_before_the_first_request_until_after_the_last_one(tmp_path: Path) -> None:
    """psycopg has a stand-in: no database is needed to see when the pool is open."""
    service = write_service(tmp_path / "service")
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
    with service.started("run", WEB_CONCURRENCY="1"):
        assert service.get("/orders").json() == [1, 2]
        assert "pool opened" in service.log and "pool closed" not in service.log
    assert "pool closed" in service.log
