"""HTTP connections of uvicorn that are not cut off when a worker stops."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LINGER = 0.5  # seconds


class Connection(HttpToolsProtocol):
    """An idle connection stays open a moment after the worker was told to stop.

    A request may be on its way on it already; uvicorn would close it at once, and the client see a reset.
    """

    stopping = False

    def shutdown(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.stopping = True
            self.loop.call_later(LINGER, super().shutdown)
        else:
            super().shutdown()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.stopping and self.cycle is not None:
            self.cycle.keep_alive = False
