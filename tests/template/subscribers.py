"""Clients of channels, as an owner would write them: one a transport; they come back by themselves with their last id. And a publisher."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from itertools import count
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from ..service import Service, eventually

TOKEN = "open sesame"


class Subscriber(threading.Thread):
    """Follows a channel until it is told to stop, whatever happens to its connections; `last` is where it begins."""

    def __init__(self, service: Service, channel: str, last: str = "") -> None:
        super().__init__(daemon=True)
        self.service = service
        self.channel = channel
        self.first = self.last = last
        self.got: list[tuple[str, Any]] = []  # id and data
        self.resets = 0
        self.connections = 0
        self.refusals: list[int] = []
        self.stopping = threading.Event()
        self.socket: socket.socket | None = None

    def run(self) -> None:
        while not self.stopping.is_set():
            self.connections += 1
            with suppress(OSError, HTTPException, WebSocketException, ValueError):
                self.follow(f"/channels/{self.channel}")
            self.stopping.wait(0.02)

    def follow(self, path: str) -> None:
        """One connection, from its beginning to its end."""
        raise NotImplementedError

    @contextmanager
    def request(self, path: str, **headers: str) -> Iterator[HTTPResponse]:
        """The answer, to be read while it comes."""
        connection = HTTPConnection("127.0.0.1", self.service.port, timeout=30)
        with closing(connection):
            connection.connect()
            self.socket = connection.sock
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            with connection.getresponse() as response:
                if response.status != 200:
                    self.refusals.append(response.status)
                    raise HTTPException(response.status)
                yield response

    def take(self, frame: dict[str, Any]) -> None:
        """A message, a reset, or only an id."""
        if "id" in frame:
            self.last = frame["id"]
            self.first = self.first or self.last
        if frame.get("reset"):
            self.resets += 1
        if "data" in frame:
            self.got.append((frame["id"], frame["data"]))

    def begin(self) -> "Subscriber":
        """Start, and wait for the id to come back with."""
        self.start()
        eventually(lambda: self.last, message=lambda: self.service.log)
        return self

    def cut(self) -> None:
        """As when the network fails."""
        if self.socket:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self.stopping.set()
        while self.is_alive():
            self.cut()
            self.join(0.1)


class Socket(Subscriber):
    def follow(self, path: str) -> None:
        after = f"?after={self.last}" if self.last else ""
        with connect(f"ws://127.0.0.1:{self.service.port}{path}/socket{after}", close_timeout=1) as websocket:
            self.socket = websocket.socket
            for text in websocket:
                for line in str(text).split("\n"):
                    self.take(json.loads(line))


class Events(Subscriber):
    def follow(self, path: str) -> None:
        with self.request(f"{path}/events", **({"Last_Event_ID": self.last} if self.last else {})) as response:
            fields: dict[str, str] = {}
            for raw in iter(response.readline, b""):
                name, _, value = raw.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                    continue
                frame: dict[str, Any] = {"id": fields["id"]} if "id" in fields else {}
                if fields.get("event") == "reset":
                    frame["reset"] = True
                elif "data" in fields and "event" not in fields:
                    frame["data"] = json.loads(fields["data"])
                self.take(frame)
                fields = {}


class Poll(Subscriber):
    def follow(self, path: str) -> None:
        while not self.stopping.is_set():
            after = f"&after={self.last}" if self.last else ""
            with self.request(f"{path}/poll?wait=5{after}") as response:
                told = json.loads(response.read())
            self.take({"reset": told["reset"]})
            for frame in told["messages"]:
                self.take(frame)
            self.take({"id": told["id"]})


TRANSPORTS: dict[str, type[Subscriber]] = {"poll": Poll, "events": Events, "socket": Socket}


@dataclass
class Answer:
    """What a service said to a request."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def accepted(self) -> str:
        """The id of what was published."""
        assert self.status == 200, self
        return str(json.loads(self.body)["id"])


def ask(service: Service, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """Ask on a new connection."""
    with closing(HTTPConnection("127.0.0.1", service.port, timeout=30)) as connection:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, named, response.read())


def publish(service: Service, channel: str, data: Any) -> Answer:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    return ask(service, "POST", f"/channels/{channel}", json.dumps(data).encode(), **headers)


class Publisher(threading.Thread):
    """Publishes until it is told to stop; what was answered with an id was accepted."""

    def __init__(self, service: Service, name: str, accepted: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.service = service
        self.name = name
        self.accepted = accepted
        self.statuses: list[int] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        for n in count():
            if self.stopping.wait(0.02):
                return
            data = [self.name, n]
            try:
                answer = publish(self.service, "busy", data)
            except (OSError, HTTPException):
                continue
            self.statuses.append(answer.status)
            if answer.status == 200:
                self.accepted[answer.accepted()] = data
            elif answer.status == 503:
                assert "retry-after" in answer.headers
