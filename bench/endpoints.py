"""The seven endpoints that every contestant answers, and the check that it must pass before it is timed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

from .contestants.data import AREAS, CHUNKS, PARTS, ROWS
from .load import Dead, Exchange, Wrong

GOOD, BAD = {"name": "lamp", "quantity": 3, "price": 19.5}, {"name": "lamp", "quantity": 0, "price": 19.5}


@dataclass(frozen=True)
class Endpoint:
    """What is asked, what must be answered, and what must be refused with a status from 400 to 499."""

    name: str
    title: str
    target: str
    answer: Any
    body: dict[str, Any] | None = None
    refused: tuple[str, dict[str, Any] | None] | None = None

    @property
    def request(self) -> bytes:
        """The request as it goes over the wire."""
        body = json.dumps(self.body).encode() if self.body else b""
        head = f"{'POST' if self.body else 'GET'} {self.target} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        if self.body:
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + body


LAST = f"/shelves/area{AREAS - 1}/things/9/part{PARTS - 1}"
ENDPOINTS = [
    Endpoint("plain", "plain text", "/plain", b"Hello, world!"),
    Endpoint("json", "small JSON", "/json", {"message": "Hello, world!"}),
    Endpoint("items", "100 validated items", "/items", ROWS),
    Endpoint("order", "POST, validated", "/orders", {"name": "lamp", "total": 58.5}, GOOD, ("/orders", BAD)),
    Endpoint(
        "user",
        "parameters, dependency",
        "/users/42?limit=20",
        {"id": 42, "limit": 20, "user": "anonymous"},
        refused=("/users/nobody", None),
    ),
    Endpoint("routes", f"last of {AREAS * PARTS} nested routes", LAST, {"area": 7, "part": 4, "thing": 9}),
    Endpoint("stream", "streamed, 10 x 1 KiB", "/stream", b"".join(CHUNKS)),
]


def ask(port: int, target: str, body: dict[str, Any] | None) -> tuple[HTTPResponse, bytes]:
    """One answer, on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"content-type": "application/json"} if body else {}
        connection.request("POST" if body else "GET", target, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def exchange(port: int, endpoint: Endpoint) -> Exchange:
    """The request, and the bytes of the right answer as this server writes it (JSON's spaces differ)."""
    try:
        response, body = ask(port, endpoint.target, endpoint.body)
    except (OSError, HTTPException) as error:
        raise Dead(f"no answer: {error!r}") from None
    if response.status != 200 or not right(endpoint, response, body):
        raise Wrong(f"{endpoint.name}: answered {response.status} {body[:100]!r}")
    return Exchange(endpoint.request, body)


def right(endpoint: Endpoint, response: HTTPResponse, body: bytes) -> bool:
    """Whether this is the endpoint's answer."""
    if isinstance(endpoint.answer, bytes):
        return body == endpoint.answer
    try:
        return response.headers.get_content_type() == "application/json" and bool(json.loads(body) == endpoint.answer)
    except ValueError:
        return False


def faults(port: int) -> Iterator[str]:
    """What is wrong with a server's answers; nothing if it may be timed."""
    for endpoint in ENDPOINTS:
        try:
            yield from _faults(port, endpoint)
        except (OSError, HTTPException) as error:
            yield f"{endpoint.name}: no answer: {error!r}"


def _faults(port: int, endpoint: Endpoint) -> Iterator[str]:
    response, body = ask(port, endpoint.target, endpoint.body)
    if response.status != 200:
        yield f"{endpoint.name}: status {response.status}"
        return
    if not right(endpoint, response, body):
        yield f"{endpoint.name}: answered {response.headers.get_content_type()} {body[:100]!r}"
    if endpoint.name == "stream" and response.getheader("transfer-encoding") != "chunked":
        yield "stream: not streamed"
    if endpoint.refused:
        status = ask(port, *endpoint.refused)[0].status
        if not 400 <= status < 500:
            yield f"{endpoint.name}: what is not valid got status {status}"
