"""The three endpoints as a WSGI application."""

import json
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

JSON, TEXT = ("Content-Type", "application/json"), ("Content-Type", "text/plain")


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    given = dict(parse_qsl(environ["QUERY_STRING"]))
    match environ["PATH_INFO"]:
        case "/quick":
            return answer(start_response, {"status": "ok"})
        case "/poll":
            time.sleep(float(given["seconds"]))  # as a wait for a message that does not come
            return answer(start_response, {"messages": []})
        case "/stream":
            start_response("200 OK", [TEXT])
            return lines(int(given["ticks"]), float(given["pause"]))
        case _:
            start_response("404 Not Found", [TEXT, ("Content-Length", "0")])
            return []


def answer(start_response: "StartResponse", value: object) -> list[bytes]:
    body = json.dumps(value).encode()
    start_response("200 OK", [JSON, ("Content-Length", str(len(body)))])
    return [body]


def lines(ticks: int, pause: float) -> Iterator[bytes]:
    for number in range(ticks):
        if number:
            time.sleep(pause)
        yield b"%d\n" % number
