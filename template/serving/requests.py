"""Requests to uvicorn that are pipelined, in HTTP/1.0, offer an upgrade to another protocol, or expect 100 Continue."""

import asyncio
from collections.abc import Sized

from httptools import HttpRequestParser
from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .cork import send_all

MOST = 1000  # requests that may wait; a few reads are enough for that many


class Flow(FlowControl):
    """Resumes reading only when hardly any request waits; uvicorn does so after each response, and a read may bring thousands."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self.waiting = waiting

    def resume_reading(self) -> None:
        if len(self.waiting) < 2:  # one may wait behind a stream, whose client may leave
            super().resume_reading()


class Arrived(RequestResponseCycle):
    """A request whose body, once it has arrived, the application gets even if the client has left in the meantime."""

    async def receive(self) -> ASGIReceiveEvent:
        if self.more_body or not self.body:
            return await super().receive()
        self.flow.resume_reading()
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": False}


class Unchunked(Arrived):
    """A response in HTTP/1.0, which has no chunked encoding: without a length, the connection ends the body."""

    async def send(self, message: ASGISendEvent) -> None:
        self.chunked_encoding = False
        if message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class Expecting(Arrived):
    """A response instead of 100 Continue closes the connection: the client need not send the body any more."""

    async def send(self, message: ASGISendEvent) -> None:
        self.keep_alive = self.keep_alive and not self.waiting_for_100_continue
        await super().send(message)


class Requests(HttpToolsProtocol):
    """A connection that limits pipelined requests, and ignores upgrades other than WebSocket (RFC 9110, 7.8)."""

    running: RequestResponseCycle | None = None  # uvicorn's `cycle` is the last request, even while it waits

    @property
    def answered(self) -> bool:
        """Whether it is the client's turn."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(None)  # with an exception uvicorn keeps its timer, and with it the connection
        if self.running:  # uvicorn tells only the last request
            self.running.disconnected = True
            self.running.message_event.set()

    def eof_received(self) -> None:
        send_all()  # including a pending response on this connection, which closes now

    def on_headers_complete(self) -> None:
        if len(self.pipeline) == MOST:
            raise ValueError("too many")  # ends the parser, and uvicorn calls send_400_response
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.running = cycle
        if cycle.scope["http_version"] == "1.0":
            cycle.__class__ = Unchunked
            cycle.waiting_for_100_continue = False  # not in HTTP/1.0
        elif cycle.waiting_for_100_continue:
            cycle.__class__ = Expecting
        else:
            cycle.__class__ = Arrived
        super()._start_asgi_task(cycle, app)

    def _should_upgrade(self) -> bool:
        """Whether to leave the request to `handle_websocket_upgrade`."""
        return self.scope["method"] != "CONNECT"  # not an upgrade, but it stops the parser too

    def without_offer(self) -> bytes:
        """The last request's head, for a new parser; the old one takes what follows for the other protocol."""
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        lines = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])
