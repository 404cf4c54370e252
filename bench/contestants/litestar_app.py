"""Litestar, with msgspec, which it brings."""

from typing import Annotated

from litestar import Litestar, MediaType, Router, get, post
from litestar.di import Provide
from litestar.response import Stream
from msgspec import Meta, Struct, convert

from data import AREAS, CHUNKS, PARTS, ROWS


class Item(Struct):
    id: Annotated[int, Meta(ge=1)]
    name: Annotated[str, Meta(min_length=1)]
    price: Annotated[float, Meta(ge=0)]
    in_stock: bool
    tags: list[str]


class Order(Struct):
    name: Annotated[str, Meta(min_length=1)]
    quantity: Annotated[int, Meta(ge=1)]
    price: Annotated[float, Meta(ge=0)]


async def current_user(authorization: str = "anonymous") -> str:
    return authorization


@get("/plain", media_type=MediaType.TEXT)
async def plain() -> str:
    return "Hello, world!"


@get("/json")
async def small() -> dict[str, str]:
    return {"message": "Hello, world!"}


@get("/items")
async def items() -> list[Item]:
    return [convert(row, Item) for row in ROWS]


@post("/orders", status_code=200)
async def order(data: Order) -> dict[str, str | float]:
    return {"name": data.name, "total": data.quantity * data.price}


@get("/users/{user_id:int}", dependencies={"user": Provide(current_user)})
async def user(user_id: int, user: str, limit: int = 10) -> dict[str, str | int]:
    return {"id": user_id, "limit": limit, "user": user}


@get("/stream", media_type="application/octet-stream")
async def stream() -> Stream:
    async def chunks():
        for chunk in CHUNKS:
            yield chunk

    return Stream(chunks())


def part(area: int, number: int):
    @get(f"/things/{{thing:int}}/part{number}")
    async def answer(thing: int) -> dict[str, int]:
        return {"area": area, "part": number, "thing": thing}

    return answer


shelves = Router(
    "/shelves",
    route_handlers=[
        Router(f"/area{area}", route_handlers=[part(area, number) for number in range(PARTS)]) for area in range(AREAS)
    ],
)
app = Litestar([plain, small, items, order, user, stream, shelves], openapi_config=None)
