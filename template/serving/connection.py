"""uvicorn's settings, standalone and under gunicorn, and what it has no setting for."""

import asyncio
import logging
from typing import Any, cast

from httptools import HttpParserUpgrade

from .cork import Corked
from .draining import LINGER
from .refusals import MAX_HEADERS
from .requests import Requests
from .settings import ServingSettings, load

TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

settings = load(ServingSettings)


class Connection(Requests):
    """A connection with a deadline of HEADER_SECONDS for request headers, and for the rest of a body already answered.

    When the worker stops accepting, an idle connection stays open a moment longer, because a request may be on its way;
    uvicorn would close it at once, and the client would see a reset.
    """

    unfinished = True  # a request has begun and not ended, as on a new connection
    held = 0  # bytes the parser holds: incomplete headers or trailers, for which uvicorn has no limit
    latest = 0  # bytes of the last read
    before = 0  # bytes of the read in which the last request ended; its tail may be the start of headers
    fresh = False  # the last request's head came in this read, so its task has not begun
    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Corked(transport)))
        self._wait_for_client()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.fresh = False
        self.latest = len(data)
        self.held += self.latest
        while data:
            try:
                super().data_received(data)
                break
            except HttpParserUpgrade as offer:
                data = self.without_offer() + data[offer.args[0] :]
        if self.held > MAX_HEADERS:
            self.send_400_response("")
        elif self.answered:
            self._wait_for_client()

    def handle_websocket_upgrade(self) -> None:
        if self._get_upgrade() != b"websocket":
            raise  # the parser's exception, for `data_received`
        if not self.answered:  # it would be upgraded before the response in front of it
            return self.send_400_response("")
        cast(Corked, self.transport).send()  # a pending response, before the WebSocket's
        self.transport = cast(Corked, self.transport).transport
        super().handle_websocket_upgrade()
        cast(Any, self.transport.get_protocol()).logger = logging.getLogger("uvicorn.websocket")  # WORDY in logs.py

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.unfinished = True

    def on_headers_complete(self) -> None:
        self.held += self.before
        if self.held > MAX_HEADERS and sum(len(name) + len(value) for name, value in self.headers) > MAX_HEADERS:
            raise ValueError("too large")  # ends the parser, and uvicorn calls send_400_response
        self.held = 0
        self._stop_waiting()
        super().on_headers_complete()
        self.fresh = bool(self.cycle) and self.cycle.scope is self.scope
        self.scope["headers"] = self.headers.copy()  # uvicorn appends trailers to the other

    def on_body(self, body: bytes) -> None:
        self.held = 0
        self.cycle.waiting_for_100_continue = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_waiting()
        self.unfinished = False
        self.held = 0
        self.before = self.latest
        super().on_message_complete()
        if self.fresh and len(self.cycle.body) <= settings.max_body_bytes:
            self.scope["extensions"] = {"complete": {}}  # for Serving

    def send_400_response(self, msg: str) -> None:
        rest = self.cycle and self.cycle.scope is self.scope  # the application already has this request
        if not rest and not self.answered:  # an earlier request is still being answered
            self.flow.pause_reading()
            self.cycle.keep_alive = False
        elif rest and (self.cycle is not self.running or self.cycle.response_started):
            self.transport.close()
        elif self.held <= MAX_HEADERS:
            super().send_400_response(msg)
        else:
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.unfinished:
            self._wait_for_client()

    def _wait_for_client(self) -> None:
        if not self.answered or self not in self.connections:  # closed, or now a WebSocket
            return
        later = self.loop.call_later
        if self.unfinished:
            self.deadline = self.deadline or later(settings.header_seconds, self.timeout_keep_alive_handler)
        elif not self.timeout_keep_alive_task:  # uvicorn cancels it at any byte
            self.timeout_keep_alive_task = later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self.deadline:
            self.deadline.cancel()
            self.deadline = None

    def shutdown(self) -> None:
        # In two steps, so that the loop polls for requests in between even if the process was suspended for that long.
        self.loop.call_later(LINGER / 4, self.loop.call_later, LINGER / 4, super().shutdown)


UVICORN: dict[str, Any] = {  # for `uvicorn.Config`
    "http": Connection,
    "ws": "wsproto",  # passes all Autobahn cases and is not deprecated
    "ws_max_size": settings.max_message_bytes,
    "ws_per_message_deflate": settings.websocket_compression,
    "lifespan": "on",
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,  # Proxies in main.py handles them
    "timeout_graceful_shutdown": settings.drain_seconds + 1,
}
