"""Answers that leave together: an answer's head with its body, and those of one turn of the event loop in a row."""

import asyncio
from typing import Any

MOST = 32  # answers that wait for each other
PIECES = 8  # of one answer that wait; more are sent, so that the transport can say when it is too much

waiting: list["Corked"] = []


class Corked:
    """A transport that sends what is written to it when the turn of the event loop ends.

    uvicorn writes the head and the body apart, and uvloop sends each at once: one system call and one packet more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.written: list[bytes] = []
        self.is_closing = transport.is_closing  # asked for with each answer; __getattr__ takes longer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        if not isinstance(data, (bytes, bytearray, memoryview)):  # the application's mistake, and not of all who wait
            raise TypeError(f"an answer is bytes, not {type(data).__name__}")
        if not self.written:
            if len(waiting) == MOST:
                send_all()
            if not waiting:
                asyncio.get_running_loop().call_soon(send_all)
            waiting.append(self)
        self.written.append(data)
        if len(self.written) == PIECES:
            self.send()

    def send(self) -> None:
        """Send now what was written."""
        if not self.is_closing():  # the client may have left meanwhile
            self.transport.write(b"".join(self.written))
        self.written.clear()

    def close(self) -> None:
        self.send()
        self.transport.close()


def send_all() -> None:
    """Send what waits."""
    ready = waiting.copy()
    waiting.clear()  # first of all: nobody else would
    for one in ready:
        one.send()
