"""What is sent to subscribers, and the ids with which they can reconnect without missing anything."""

import re
from typing import Literal, NamedTuple, Self

ID = re.compile(r"(\d{1,19})-(\d{1,19})")


class Position(NamedTuple):
    """A position in a channel: the epoch, which changes whenever history is lost, and the number of messages in it.

    Written as `epoch-number`, it is a message's id, and also a valid id in a Redis stream.
    """

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The position of an id; ValueError if it is not one."""
        if not (parts := ID.fullmatch(text)):
            raise ValueError("not a message id: send one that you received, or none")
        return cls(int(parts[1]), int(parts[2]))

    @property
    def next(self) -> "Position":
        return Position(self.epoch, self.number + 1)


class Frame(NamedTuple):
    """Something to send, in both formats, built once for all subscribers."""

    kind: Literal["message", "notice", "reset"]
    line: str  # JSON, for long polls and WebSockets
    event: bytes  # for server-sent events


def message(position: Position, data: str) -> Frame:
    """A published message; `data` is JSON on one line."""
    return Frame("message", f'{{"id":"{position}","data":{data}}}', f"id: {position}\ndata: {data}\n\n".encode())


def notice(position: Position | None) -> Frame:
    """A heartbeat: tells subscribers the id to reconnect with, and proxies that the connection is alive."""
    if position is None:  # not yet known from Redis
        return Frame("notice", "{}", b":\n\n")
    event = f"event: id\nid: {position}\ndata: {{}}\n\n".encode()  # without a name and data, scripts would not see it
    return Frame("notice", f'{{"id":"{position}"}}', event)


def reset(position: Position) -> Frame:
    """Messages were missed and are no longer kept: the subscriber must reload its state and continue from here."""
    event = f"event: reset\nid: {position}\ndata: {{}}\n\n".encode()
    return Frame("reset", f'{{"id":"{position}","reset":true}}', event)
