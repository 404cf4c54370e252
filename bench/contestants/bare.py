"""ASGI with nothing above it: what the server alone can do."""

import json
import re
from urllib.parse import parse_qs

from pydantic import ValidationError

from data import AREAS, CHUNKS, PARTS, ROWS
from models import ITEMS, Item, Order

JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"


async def answer(send, body, kind=JSON, status=200):
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def plain(scope, receive, send):
    await answer(send, b"Hello, world!", TEXT)


async def small(scope, receive, send):
    await answer(send, json.dumps({"message": "Hello, world!"}).encode())


async def items(scope, receive, send):
    await answer(send, ITEMS.dump_json([Item(**row) for row in ROWS]))


async def order(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    try:
        order = Order.model_validate_json(body)
    except ValidationError as error:
        return await answer(send, error.json().encode(), status=422)
    await answer(send, json.dumps({"name": order.name, "total": order.quantity * order.price}).encode())


async def stream(scope, receive, send):
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/octet-stream")]}
    )
    for chunk in CHUNKS:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def current_user(query):
    return query.get("authorization", ["anonymous"])[0]


async def user(scope, send, id):
    query = parse_qs(scope["query_string"].decode())
    result = {"id": int(id), "limit": int(query.get("limit", ["10"])[0]), "user": current_user(query)}
    await answer(send, json.dumps(result).encode())


def part(area, number):
    async def respond(scope, send, thing):
        await answer(send, json.dumps({"area": area, "part": number, "thing": int(thing)}).encode())

    return respond


FIXED = {"/plain": plain, "/json": small, "/items": items, "/orders": order, "/stream": stream}
PATTERNS = [(re.compile(r"/users/(\d+)"), user)] + [
    (re.compile(rf"/shelves/area{area}/things/(\d+)/part{number}"), part(area, number))
    for area in range(AREAS)
    for number in range(PARTS)
]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    if found := FIXED.get(scope["path"]):
        return await found(scope, receive, send)
    for pattern, found in PATTERNS:
        if match := pattern.fullmatch(scope["path"]):
            return await found(scope, send, *match.groups())
    await answer(send, b"{}", status=404)
