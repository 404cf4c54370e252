"""Falcon's ASGI side, with Pydantic for what is validated."""

import falcon
import falcon.asgi
from pydantic import ValidationError

from data import AREAS, CHUNKS, PARTS, ROWS
from models import ITEMS, Item, Order


async def current_user(request):
    return request.get_param("authorization", default="anonymous")


class Plain:
    async def on_get(self, request, response):
        response.content_type = falcon.MEDIA_TEXT
        response.text = "Hello, world!"


class Small:
    async def on_get(self, request, response):
        response.media = {"message": "Hello, world!"}


class Items:
    async def on_get(self, request, response):
        response.content_type = falcon.MEDIA_JSON
        response.data = ITEMS.dump_json([Item(**row) for row in ROWS])


class Orders:
    async def on_post(self, request, response):
        order = Order.model_validate_json(await request.stream.read())
        response.media = {"name": order.name, "total": order.quantity * order.price}


class User:
    async def on_get(self, request, response, id):
        limit = request.get_param_as_int("limit", default=10)
        response.media = {"id": id, "limit": limit, "user": await current_user(request)}


class Stream:
    async def on_get(self, request, response):
        async def chunks():
            for chunk in CHUNKS:
                yield chunk

        response.content_type = "application/octet-stream"
        response.stream = chunks()


class Part:
    def __init__(self, area, number):
        self.area = area
        self.number = number

    async def on_get(self, request, response, thing):
        response.media = {"area": self.area, "part": self.number, "thing": thing}


async def invalid(request, response, error, params):
    raise falcon.HTTPUnprocessableEntity(description=str(error))


app = falcon.asgi.App()
app.add_error_handler(ValidationError, invalid)
app.add_route("/plain", Plain())
app.add_route("/json", Small())
app.add_route("/items", Items())
app.add_route("/orders", Orders())
app.add_route("/users/{id:int}", User())
app.add_route("/stream", Stream())
for area in range(AREAS):
    for number in range(PARTS):
        app.add_route(f"/shelves/area{area}/things/{{thing:int}}/part{number}", Part(area, number))
