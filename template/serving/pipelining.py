"""Requests that a client of uvicorn sends on one connection before those in front of them are answered."""

import asyncio
from collections.abc import Sized

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from .cork import send_all
from .versions import Unchunked, Versions

MOST = 1000  # that may wait; so many come with a few reads only


class Flow(FlowControl):
    """Reads on when hardly any request waits; uvicorn does after each answer, and a read may bring thousands."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self.waiting = waiting

    def resume_reading(self) -> None:
        if len(self.waiting) < 2:  # not none: behind a stream may be one, and who leaves is to be seen
            super().resume_reading()


class Pipelining(Versions):
    """A connection that keeps few of the requests that were sent ahead, and tells the first when the client leaves."""

    running: RequestResponseCycle | None = None  # `cycle` is the last request, also of those that wait for this one

    @property
    def answered(self) -> bool:
        """Whether nobody but the client has anything to do."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(None)  # after a reset uvicorn would keep its timer, and with it all of this
        if self.running:  # uvicorn tells the last request alone
            self.running.disconnected = True
            self.running.message_event.set()

    def eof_received(self) -> None:
        send_all()  # the answer too, if it is of this turn: the connection is closed now

    def on_headers_complete(self) -> None:
        if len(self.pipeline) == MOST:
            raise ValueError("too many")  # ends the parser, and uvicorn calls send_400_response
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.running = cycle
        if cycle.scope["http_version"] == "1.0":
            cycle.__class__ = Unchunked
            cycle.waiting_for_100_continue = False  # which it does not know either
        super()._start_asgi_task(cycle, app)
