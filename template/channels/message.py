"""What subscribers are sent, and the ids that let them come back without missing anything."""

import re
from typing import Literal, NamedTuple, Self

ID = re.compile(r"(\d{1,19})-(\d{1,19})")


class Position(NamedTuple):
    """How far a channel is: the epoch, another one whenever its history was lost, and the number of messages in it.

    Written `epoch-number`, it is the id of a message; Redis takes it for a stream's id as it is.
    """

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The position that an id names; ValueError if it is none."""
        if not (parts := ID.fullmatch(text)):
            raise ValueError("not an id of a message: send back one that you were given, or none")
        return cls(int(parts[1]), int(parts[2]))

    @property
    def next(self) -> "Position":
        return Position(self.epoch, self.number + 1)


class Frame(NamedTuple):
    """What is sent, in both ways in which it is written: once, for however many subscribers."""

    kind: Literal["message", "notice", "reset"]
    line: str  # JSON, for long polls and WebSockets
    event: bytes  # for server-sent events


def message(position: Position, data: str) -> Frame:
    """What was published: `data` is JSON on one line."""
    return Frame("message", f'{{"id":"{position}","data":{data}}}', f"id: {position}\ndata: {data}\n\n".encode())


def notice(position: Position | None) -> Frame:
    """Nothing new: it tells a subscriber the id to come back with, and proxies that the connection is alive."""
    if position is None:  # Redis has not said yet
        return Frame("notice", "{}", b":\n\n")
    event = f"event: id\nid: {position}\ndata: {{}}\n\n".encode()  # named and with data, or no script would see it
    return Frame("notice", f'{{"id":"{position}"}}', event)


def reset(position: Position) -> Frame:
    """Something is missing that is no longer known: the subscriber must load its state anew, and go on from here."""
    event = f"event: reset\nid: {position}\ndata: {{}}\n\n".encode()
    return Frame("reset", f'{{"id":"{position}","reset":true}}', event)
