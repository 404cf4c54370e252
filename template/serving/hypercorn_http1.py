"""hypercorn's HTTP/1.1, fixed: a response that comes before the end of its request leaves the connection usable."""

import asyncio

from h11 import DONE, NEED_DATA, SEND_BODY
from hypercorn.events import Closed, Event, Updated
from hypercorn.protocol.events import Body, EndBody, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import H11Protocol

from .settings import ServingSettings, load

settings = load(ServingSettings)


class Rest:
    """The rest of a request that is already answered: discarded, for HEADER_SECONDS at most, before the next request."""

    def __init__(self, connection: "HTTP1") -> None:
        self.connection = connection
        later, spawn = asyncio.get_running_loop().call_later, connection.task_group.spawn
        self.deadline = later(settings.header_seconds, spawn, connection.send, Closed())

    async def handle(self, event: StreamEvent) -> None:
        if isinstance(event, EndBody):
            await self.connection._maybe_recycle()
        elif isinstance(event, Body):
            await self.connection.send(Updated(idle=True))  # KEEP_ALIVE_SECONDS begin anew
        elif isinstance(event, StreamClosed):
            self.deadline.cancel()


class HTTP1(H11Protocol):
    """Stops reading when the client leaves; hypercorn waits for ever if it has pipelined requests.

    After a response to a part of a request it reads the rest; hypercorn closes, and the client's next request is lost.
    """

    async def handle(self, event: Event) -> None:
        await super().handle(event)
        if isinstance(event, Closed):
            self.connection.next_event = lambda: NEED_DATA  # type: ignore[method-assign]
            await self.can_read.set()

    async def _maybe_recycle(self) -> None:
        await self._close_stream()
        if self.connection.our_state is DONE and self.connection.their_state is SEND_BODY:
            self.stream = Rest(self)  # type: ignore[assignment]
            await self.send(Updated(idle=True))
        else:
            await super()._maybe_recycle()
