"""Batched writes: a response's head with its body, and all responses of one event loop iteration in a row."""

import asyncio
from typing import Any

MOST = 32  # responses that wait for each other
PIECES = 8  # writes of one response that wait; beyond it they are sent, so that the transport can apply backpressure

waiting: list["Corked"] = []


class Corked:
    """A transport that buffers writes until the end of the event loop iteration.

    uvicorn writes head and body separately, and uvloop sends each at once: an extra system call and an extra packet.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.written: list[bytes] = []
        self.is_closing = transport.is_closing  # called for each response; __getattr__ is slower

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        if not isinstance(data, (bytes, bytearray, memoryview)):  # fail here, not in `send_all`
            raise TypeError(f"a response body must be bytes, not {type(data).__name__}")
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
        """Send what was written, now."""
        if not self.is_closing():  # the client may have left in the meantime
            self.transport.write(b"".join(self.written))
        self.written.clear()

    def close(self) -> None:
        self.send()
        self.transport.close()


def send_all() -> None:
    """Send what is waiting."""
    ready = waiting.copy()
    waiting.clear()  # first, in case sending raises
    for one in ready:
        one.send()
