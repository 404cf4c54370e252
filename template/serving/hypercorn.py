"""hypercorn as a gunicorn worker, because hypercorn's own master ends when the first worker dies."""

import asyncio
import logging
import signal
import sys
from typing import Any, cast

import uvloop
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker
from hypercorn import protocol
from hypercorn.asyncio import run, serve, tcp_server
from hypercorn.config import Config
from hypercorn.protocol import h2, h11
from hypercorn.utils import LifespanFailureError

from .draining import LINGER
from .hypercorn_connection import HTTP2, Applications, Connection, WebSocket
from .hypercorn_http1 import HTTP1
from .refusals import MAX_HEADERS
from .settings import ServingSettings, load


class Loop(uvloop.Loop):
    """uvloop that remembers its servers, to stop accepting first: hypercorn drops connections accepted at the last moment."""

    def __init__(self) -> None:
        super().__init__()
        self.servers: list[asyncio.AbstractServer] = []

    async def create_server(self, *args: Any, **options: Any) -> Any:
        server = await super().create_server(*args, **options)
        self.servers.append(server)
        return server


# hypercorn has no settings for these.
run.TCPServer = Connection  # type: ignore[attr-defined]
tcp_server.TaskGroup = Applications  # type: ignore[attr-defined]
h11.WSStream = h2.WSStream = WebSocket  # type: ignore[attr-defined]
protocol.H11Protocol = HTTP1  # type: ignore[attr-defined]
protocol.H2Protocol = HTTP2  # type: ignore[attr-defined]


class HypercornWorker(Worker):  # type: ignore[misc] # gunicorn ships no types
    """Serves gunicorn's listening sockets with hypercorn."""

    def init_signals(self) -> None:
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)

    def run(self) -> None:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        settings = load(ServingSettings)
        config = Config()
        config.bind = [f"fd://{listener.fileno()}" for listener in self.sockets]
        config.errorlog = logging.getLogger("hypercorn.error")
        config.include_server_header = False
        config.h11_max_incomplete_size = MAX_HEADERS
        config.websocket_max_message_size = settings.max_message_bytes
        config.keep_alive_max_requests = sys.maxsize  # at this limit, HTTP/2 loses the requests in flight
        config.keep_alive_timeout = self.cfg.keepalive
        config.graceful_timeout = settings.drain_seconds + 1
        linger = 0 if settings.development else LINGER / 2
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)

        async def stopped() -> None:
            await stop.wait()
            await asyncio.sleep(linger)
            for server in cast(Loop, asyncio.get_running_loop()).servers:
                server.close()
            await asyncio.sleep(linger)

        beat = asyncio.create_task(self._beat())
        try:
            await serve(self.wsgi, config, shutdown_trigger=stopped, mode="asgi")
        except LifespanFailureError as error:
            self.log.error("%s", error)
            if not stop.is_set():  # if shutdown failed, the master should not give up
                sys.exit(Arbiter.WORKER_BOOT_ERROR)
        finally:
            beat.cancel()

    async def _beat(self) -> None:
        """Send gunicorn heartbeats once the worker serves."""
        while True:
            if cast(Loop, asyncio.get_running_loop()).servers:
                self.notify()
            await asyncio.sleep(1)
