"""Starlette, with Pydantic for what is validated."""

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from data import AREAS, CHUNKS, PARTS, ROWS
from models import ITEMS, Item, Order


async def current_user(request):
    return request.query_params.get("authorization", "anonymous")


async def plain(request):
    return PlainTextResponse("Hello, world!")


async def small(request):
    return JSONResponse({"message": "Hello, world!"})


async def items(request):
    return Response(ITEMS.dump_json([Item(**row) for row in ROWS]), media_type="application/json")


async def order(request):
    order = Order.model_validate_json(await request.body())
    return JSONResponse({"name": order.name, "total": order.quantity * order.price})


async def user(request):
    limit = int(request.query_params.get("limit", 10))
    return JSONResponse({"id": request.path_params["id"], "limit": limit, "user": await current_user(request)})


async def stream(request):
    async def chunks():
        for chunk in CHUNKS:
            yield chunk

    return StreamingResponse(chunks(), media_type="application/octet-stream")


def part(area, number):
    async def answer(request):
        return JSONResponse({"area": area, "part": number, "thing": request.path_params["thing"]})

    return answer


async def invalid(request, error):
    return JSONResponse({"detail": error.errors()}, 422)


app = Starlette(
    routes=[
        Route("/plain", plain),
        Route("/json", small),
        Route("/items", items),
        Route("/orders", order, methods=["POST"]),
        Route("/users/{id:int}", user),
        Route("/stream", stream),
        Mount(
            "/shelves",
            routes=[
                Mount(
                    f"/area{area}",
                    routes=[
                        Route(f"/things/{{thing:int}}/part{number}", part(area, number)) for number in range(PARTS)
                    ],
                )
                for area in range(AREAS)
            ],
        ),
    ],
    exception_handlers={ValidationError: invalid},
)
