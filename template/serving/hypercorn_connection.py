"""hypercorn's connections, fixed: when a client leaves, its connection and its requests end."""

from contextlib import suppress
from typing import Any, cast

from h2.errors import ErrorCodes
from h2.events import DataReceived
from h2.events import Event as H2Event
from h2.exceptions import ProtocolError
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed
from hypercorn.events import Event as ConnectionEvent
from hypercorn.protocol.events import Event, StreamClosed
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from wsproto.events import CloseConnection
from wsproto.events import Event as Frame


class Connection(TCPServer):
    """Ends as soon as the client closes it; hypercorn keeps it until the keep-alive timeout."""

    left = False

    async def _read_data(self) -> None:
        await super()._read_data()
        self.left = True
        await self.idle_task.stop()

    async def _idle_timeout(self) -> None:
        if not self.left:
            await super()._idle_timeout()


class Applications(TaskGroup):
    """Reports a disconnect at once; hypercorn waits until the application has read the body, which may be never.

    An application that calls `sys.exit` fails like one that raises any error; with hypercorn alone it ends the worker.
    """

    async def spawn_app(self, app: Any, *given: Any) -> Any:
        async def contained(*called: Any) -> None:
            try:
                await app(*called)
            except SystemExit as error:
                raise RuntimeError("the application called sys.exit") from error

        put: Any = await super().spawn_app(cast(Any, contained), *given)
        queue = put.__self__

        async def put_or_end(message: Any) -> None:
            if message["type"].endswith(".disconnect"):
                queue.full = lambda: False
                for _ in range(queue.qsize()):  # wakes the connection if it waits for space
                    queue.put_nowait(queue.get_nowait())
            await put(message)

        return put_or_end


class WebSocket(WSStream):
    """Closes after a protocol error and tells the application; hypercorn would read on for ever.

    Sending to a client that has left raises an error, and receiving gives the client's close code.
    """

    end = CloseConnection(1006)

    async def handle(self, event: Event) -> None:
        if isinstance(event, StreamClosed):
            self.closed = True
            if self.app_put:
                end = {"code": self.end.code, "reason": self.end.reason}
                await self.app_put({"type": "websocket.disconnect", **end})
            return
        await super().handle(event)
        if self.closed or self.buffer.length > self.buffer.max_length:
            await self.send(StreamClosed(self.stream_id))

    async def app_send(self, message: Any) -> None:
        if self.closed and message:
            raise OSError("the client has left")
        await super().app_send(message)

    async def _send_wsproto_event(self, event: Frame) -> None:
        if isinstance(event, CloseConnection):
            self.end = event
        await super()._send_wsproto_event(event)


class HTTP2(H2Protocol):
    """Stops waiting when the client leaves; hypercorn waits for ever for it to read the rest of its responses.

    A response that breaks off resets its stream, or the client would wait for ever. Data for a request that is already
    answered is discarded; hypercorn ends the connection, and with it all other requests.
    """

    async def handle(self, event: ConnectionEvent) -> None:
        await super().handle(event)
        if isinstance(event, Closed):
            for unread in self.stream_buffers.values():
                await unread.close()

    async def _handle_events(self, events: list[H2Event]) -> None:
        for event in events:
            if isinstance(event, DataReceived) and event.stream_id not in self.streams:  # already answered
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            else:
                await super()._handle_events([event])
        await self._flush()

    async def stream_send(self, event: Any) -> None:
        unsent = self.stream_buffers.get(event.stream_id)
        http = isinstance(self.streams.get(event.stream_id), HTTPStream)
        if isinstance(event, StreamClosed) and http and unsent and not unsent.complete:
            await unsent.close()
            with suppress(ProtocolError):  # the client is closing the connection
                self.connection.reset_stream(event.stream_id, ErrorCodes.INTERNAL_ERROR)
            await self._flush()
            await self._window_updated(event.stream_id)  # the buffer is dropped
        await super().stream_send(event)
