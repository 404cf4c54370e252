"""Quart, with Pydantic for what is validated."""

from pydantic import ValidationError
from quart import Blueprint, Quart, Response, request

from data import AREAS, CHUNKS, PARTS, ROWS
from models import ITEMS, Item, Order

app = Quart(__name__)


async def current_user():
    return request.args.get("authorization", "anonymous")


@app.get("/plain")
async def plain():
    return Response("Hello, world!", mimetype="text/plain")


@app.get("/json")
async def small():
    return {"message": "Hello, world!"}


@app.get("/items")
async def items():
    return Response(ITEMS.dump_json([Item(**row) for row in ROWS]), mimetype="application/json")


@app.post("/orders")
async def order():
    order = Order.model_validate_json(await request.get_data())
    return {"name": order.name, "total": order.quantity * order.price}


@app.get("/users/<int:id>")
async def user(id):
    return {"id": id, "limit": request.args.get("limit", 10, type=int), "user": await current_user()}


@app.get("/stream")
async def stream():
    async def chunks():
        for chunk in CHUNKS:
            yield chunk

    return chunks(), 200, {"content-type": "application/octet-stream"}


@app.errorhandler(ValidationError)
async def invalid(error):
    return {"detail": str(error)}, 422


def part(area, number):
    async def answer(thing):
        return {"area": area, "part": number, "thing": thing}

    return answer


shelves = Blueprint("shelves", __name__, url_prefix="/shelves")
for area in range(AREAS):
    blueprint = Blueprint(f"area{area}", __name__, url_prefix=f"/area{area}")
    for number in range(PARTS):
        blueprint.add_url_rule(f"/things/<int:thing>/part{number}", f"part{number}", part(area, number))
    shelves.register_blueprint(blueprint)
app.register_blueprint(shelves)
