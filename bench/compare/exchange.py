"""One request on a connection of its own, with as little work for the client as possible."""

import asyncio
from typing import Self


class Exchange(asyncio.Protocol):
    """A request that has been sent; `answer` is set when the server has closed the connection."""

    def __init__(self, path: str) -> None:
        self.request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        self.received = b""
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    @classmethod
    async def begin(cls, port: int, path: str) -> Self:
        """Connect and ask; OSError if nobody listens."""
        _, exchange = await asyncio.get_running_loop().create_connection(lambda: cls(path), "127.0.0.1", port)
        return exchange

    @property
    def begun(self) -> bool:
        """Whether a good answer has begun to arrive."""
        return self.received.startswith(b"HTTP/1.1 200 ")

    def abort(self) -> None:
        """Leave without waiting for the answer."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, error: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_result(self.received)
