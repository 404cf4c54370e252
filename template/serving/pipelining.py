"""Requests that a client sends to uvicorn before earlier ones on the same connection are answered."""

import asyncio
from collections.abc import Sized

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from .cork import send_all
from .versions import Unchunked, Versions

MOST = 1000  # requests that may wait; a few reads are enough for that many


class Flow(FlowControl):
    """Resumes reading only when hardly any request waits; uvicorn does so after each response, and a read may bring thousands."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self.waiting = waiting

    def resume_reading(self) -> None:
        if len(self.waiting) < 2:  # one may wait behind a stream, whose client may leave
            super().resume_reading()


class Pipelining(Versions):
    """A connection that limits pipelined requests, and tells the running one when the client leaves."""

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
        super()._start_asgi_task(cycle, app)
