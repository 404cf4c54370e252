"""The three endpoints as an ASGI application without a framework, as the WSGI application has none."""

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

JSON, TEXT = (b"content-type", b"application/json"), (b"content-type", b"text/plain")


async def app(scope: "Scope", receive: "Receive", send: "Send") -> None:
    if scope["type"] != "http":
        raise ValueError(f"no {scope['type']} here")
    given = dict(parse_qsl(scope["query_string"].decode()))
    match scope["path"]:
        case "/quick":
            await answer(send, {"status": "ok"})
        case "/poll":
            await asyncio.sleep(float(given["seconds"]))  # as a wait for a message that does not come
            await answer(send, {"messages": []})
        case "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
            await lines(send, int(given["ticks"]), float(given["pause"]))
        case _:
            await send({"type": "http.response.start", "status": 404, "headers": [TEXT, (b"content-length", b"0")]})
            await send({"type": "http.response.body"})


async def answer(send: "Send", value: object) -> None:
    body = json.dumps(value).encode()
    headers = [JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lines(send: "Send", ticks: int, pause: float) -> None:
    for number in range(ticks):
        if number:
            await asyncio.sleep(pause)
        await send({"type": "http.response.body", "body": b"%d\n" % number, "more_body": True})
    await send({"type": "http.response.body"})
