"""What is added to a new service as `app/measured.py`: typed answers, async, on the application itself as the founding one's."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel

from .data import AREAS, CHUNKS, PARTS, ROWS
from .models import Item, Order


class Message(BaseModel):
    message: str


class Receipt(BaseModel):
    name: str
    total: float


class User(BaseModel):
    id: int
    limit: int
    user: str


class Part(BaseModel):
    area: int
    part: int
    thing: int


async def current_user(authorization: str = "anonymous") -> str:
    return authorization


async def plain() -> PlainTextResponse:
    return PlainTextResponse("Hello, world!")


async def small() -> Message:
    return Message(message="Hello, world!")


async def items() -> list[Item]:
    return [Item(**row) for row in ROWS]


async def order(order: Order) -> Receipt:
    return Receipt(name=order.name, total=order.quantity * order.price)


async def user(user_id: int, user: Annotated[str, Depends(current_user)], limit: int = 10) -> User:
    return User(id=user_id, limit=limit, user=user)


async def chunks() -> AsyncIterator[bytes]:
    for chunk in CHUNKS:
        yield chunk


async def stream() -> StreamingResponse:
    return StreamingResponse(chunks(), media_type="application/octet-stream")


def part(area: int, number: int) -> Callable[[int], Awaitable[Part]]:
    async def answer(thing: int) -> Part:
        return Part(area=area, part=number, thing=thing)

    return answer


shelves = APIRouter(prefix="/shelves")
for area in range(AREAS):
    inner = APIRouter(prefix=f"/area{area}")
    for number in range(PARTS):
        inner.get(f"/things/{{thing}}/part{number}")(part(area, number))
    shelves.include_router(inner)


def add(app: FastAPI) -> None:
    """The endpoints, on the application."""
    app.get("/plain")(plain)
    app.get("/json")(small)
    app.get("/items")(items)
    app.post("/orders")(order)
    app.get("/users/{user_id}")(user)
    app.get("/stream")(stream)
    app.include_router(shelves)
