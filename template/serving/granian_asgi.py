"""The application that granian serves, with what granian lacks compared with the other servers and has no setting for."""

import asyncio
import logging
from contextlib import suppress

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .settings import CANNOT_START, ServingSettings, load

FAILED = PlainTextResponse("Internal Server Error", 500)
AHEAD = 64 * 1024  # bytes of unread messages after which reading pauses
EMPTY = 200  # bytes of memory that a message takes in addition to its content

logger = logging.getLogger("_granian")


def application() -> ASGIApp:
    """The service; if it cannot be loaded, give up, because another worker could not load it either."""
    try:
        from main import app  # in the worker, so that a reload gets the new one
    except Exception:
        logger.exception("Error loading the application")
        raise SystemExit(CANNOT_START) from None

    settings = load(ServingSettings)
    return Granian(app, settings.header_seconds, settings.max_message_bytes)


class Granian:
    """ASGI middleware that receives the whole body of a request, and limits WebSocket messages.

    The rest of a body already answered is thrown away; the connection is closed `seconds` after the request began. A
    WebSocket is closed with 1009 (too big) if a message has more than `limit` bytes.
    """

    def __init__(self, app: ASGIApp, seconds: float, limit: int) -> None:
        self.app = app
        self.seconds = seconds
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        for name in ("client", "server"):  # granian has ports as strings; a Unix socket has none
            address, port = scope[name]
            scope[name] = (address, int(port) or None)
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"].pop("http.response.pathsend", None)  # bypasses middleware such as gzip
        names = {name for name, _ in scope["headers"]}
        if names.isdisjoint((b"content-length", b"transfer-encoding")):
            return await self.app(scope, receive, send)
        deadline = asyncio.get_running_loop().time() + self.seconds
        complete = expects = b"expect" in names  # such a client sends no body that nobody receives

        async def receive_noted() -> Message:
            nonlocal complete, expects
            expects = False
            message = await receive()
            complete = not message.get("more_body", False)
            return message

        async def send_noted(message: Message) -> None:
            if expects and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        try:
            await self.app(scope, receive_noted, send_noted)
        finally:  # with a body unread granian closes the connection at once, and the client may lose the response
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    while not complete:
                        await receive_noted()

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Reads a little ahead, because granian notices only while reading that the client has left.
        unread = asyncio.Queue[Message]()
        held = 0  # bytes unread
        room = asyncio.Event()
        reading: asyncio.Task[None] | None = None
        answered = closed = False

        async def read() -> None:
            nonlocal closed, held
            while not closed:
                message = await receive()
                if length(message) > self.limit:
                    message = {"type": "websocket.disconnect", "code": 1009}
                closed = message["type"] == "websocket.disconnect"
                if closed and message["code"] != 1005:  # 1005 may be a broken frame, which granian answers itself
                    await send({"type": "websocket.close", "code": message["code"]})
                unread.put_nowait(message)
                held += length(message) + EMPTY
                while held > AHEAD:
                    room.clear()
                    await room.wait()

        async def receive_read() -> Message:
            nonlocal held
            if unread.empty() and (closed or not reading):
                return await receive()  # the connect or disconnect message
            message = await unread.get()
            held -= length(message) + EMPTY
            room.set()
            return message

        async def send_if_open(message: Message) -> None:
            nonlocal reading, answered, closed
            answered = True
            if closed:
                raise OSError("the WebSocket is closed")
            if reading and message["type"] == "websocket.close":
                closed = True
                reading.cancel()  # otherwise granian would wait for it
                if unread.empty():
                    unread.put_nowait({"type": "websocket.disconnect", "code": 1006})
            await send(message)
            if message["type"] == "websocket.accept":
                reading = asyncio.create_task(read())

        try:
            await self.app(scope, receive_read, send_if_open)
        finally:
            if reading:
                reading.cancel()
            if not answered:
                await FAILED(scope, receive, send)  # granian would answer 403


def length(message: Message) -> int:
    """Bytes of a message's content."""
    return len(message.get("bytes") or (message.get("text") or "").encode())
