"""Flask, for the WSGI side, with Pydantic for what is validated."""

from flask import Blueprint, Flask, Response, request
from pydantic import ValidationError

from data import AREAS, CHUNKS, PARTS, ROWS
from models import ITEMS, Item, Order

app = Flask(__name__)


def current_user():
    return request.args.get("authorization", "anonymous")


@app.get("/plain")
def plain():
    return Response("Hello, world!", mimetype="text/plain")


@app.get("/json")
def small():
    return {"message": "Hello, world!"}


@app.get("/items")
def items():
    return Response(ITEMS.dump_json([Item(**row) for row in ROWS]), mimetype="application/json")


@app.post("/orders")
def order():
    order = Order.model_validate_json(request.get_data())
    return {"name": order.name, "total": order.quantity * order.price}


@app.get("/users/<int:id>")
def user(id):
    return {"id": id, "limit": request.args.get("limit", 10, type=int), "user": current_user()}


@app.get("/stream")
def stream():
    return Response(iter(CHUNKS), mimetype="application/octet-stream")


@app.errorhandler(ValidationError)
def invalid(error):
    return {"detail": str(error)}, 422


def part(area, number):
    def answer(thing):
        return {"area": area, "part": number, "thing": thing}

    return answer


shelves = Blueprint("shelves", __name__, url_prefix="/shelves")
for area in range(AREAS):
    blueprint = Blueprint(f"area{area}", __name__, url_prefix=f"/area{area}")
    for number in range(PARTS):
        blueprint.add_url_rule(f"/things/<int:thing>/part{number}", f"part{number}", part(area, number))
    shelves.register_blueprint(blueprint)
app.register_blueprint(shelves)
