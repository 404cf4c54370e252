"""What the lifespan opens and every request may use."""

from typing import Annotated, TypedDict, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.settings import Settings
from serving.draining import Draining


class State(TypedDict):
    """What `lifespan` in `main.py` yields."""

    settings: Settings
    draining: Draining


async def get_state(connection: HTTPConnection) -> State:
    """The state of the running service; tests may replace it with `app.dependency_overrides`."""
    return cast(State, connection.state)


CurrentState = Annotated[State, Depends(get_state)]
