"""uvicorn's connections: its settings, alone and under gunicorn, and what no setting of it can do."""

import asyncio
from functools import cache
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .cork import Corked
from .settings import ServingSettings, load

LINGER = 0.5  # seconds


def uvicorn_settings() -> dict[str, Any]:
    """For `uvicorn.Config`."""
    settings = load(ServingSettings)
    return {
        "http": Connection,
        "ws": "wsproto",  # passes all of Autobahn's cases, and is not deprecated
        "ws_max_size": settings.max_message_bytes,
        "ws_per_message_deflate": settings.websocket_compression,
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # Proxies in main.py is the one to decide
        "timeout_graceful_shutdown": settings.drain_seconds + 1,
    }


@cache
def header_seconds() -> int:
    """Read once: a connection must not wait for it."""
    return load(ServingSettings).header_seconds


class Connection(HttpToolsProtocol):
    """A client has HEADER_SECONDS for the headers of a request, and for the rest of a body that was answered already.

    An idle connection stays open a moment after the worker was told to stop: a request may be on its way on it
    already; uvicorn would close it at once, and the client see a reset.
    """

    unfinished = True  # a message has begun, and its end has not come; a new connection is one
    deadline: asyncio.TimerHandle | None = None

    @property
    def answered(self) -> bool:
        """Whether nobody but the client has anything to do."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Corked(transport)))
        self._wait_for_client()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.answered:
            self._wait_for_client()

    def handle_websocket_upgrade(self) -> None:
        self.transport = cast(Corked, self.transport).transport
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.unfinished = True

    def on_headers_complete(self) -> None:
        if self.deadline:
            self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self.deadline:
            self._stop_waiting()
        self.unfinished = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.unfinished:
            self._wait_for_client()

    def _wait_for_client(self) -> None:
        if not self.answered or self not in self.connections:  # closed, or a WebSocket now
            return
        if self.unfinished:
            self.deadline = self.deadline or self.loop.call_later(header_seconds(), self.timeout_keep_alive_handler)
        elif not self.timeout_keep_alive_task:  # uvicorn stops it at any byte
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _stop_waiting(self) -> None:
        if self.deadline:
            self.deadline.cancel()
            self.deadline = None

    def shutdown(self) -> None:
        if self.answered:
            # In two steps, so that the loop looks for requests in between, even if all has stood still for so long.
            self.loop.call_later(LINGER / 2, self.loop.call_later, LINGER / 2, super().shutdown)
        else:
            super().shutdown()
