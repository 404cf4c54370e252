"""FastAPI as its first tutorial page writes it: nothing annotated that need not be, nothing on."""

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse

from data import AREAS, CHUNKS, PARTS, ROWS
from models import Item, Order

app = FastAPI()


async def current_user(authorization: str = "anonymous"):
    return authorization


@app.get("/plain")
async def plain():
    return PlainTextResponse("Hello, world!")


@app.get("/json")
async def small():
    return {"message": "Hello, world!"}


@app.get("/items")
async def items():
    return [Item(**row) for row in ROWS]


@app.post("/orders")
async def order(order: Order):
    return {"name": order.name, "total": order.quantity * order.price}


@app.get("/users/{user_id}")
async def user(user_id: int, limit: int = 10, user=Depends(current_user)):
    return {"id": user_id, "limit": limit, "user": user}


@app.get("/stream")
async def stream():
    async def chunks():
        for chunk in CHUNKS:
            yield chunk

    return StreamingResponse(chunks(), media_type="application/octet-stream")


def part(area: int, number: int):
    async def answer(thing: int):
        return {"area": area, "part": number, "thing": thing}

    return answer


shelves = APIRouter(prefix="/shelves")
for area in range(AREAS):
    router = APIRouter(prefix=f"/area{area}")
    for number in range(PARTS):
        router.get(f"/things/{{thing}}/part{number}")(part(area, number))
    shelves.include_router(router)
app.include_router(shelves)
