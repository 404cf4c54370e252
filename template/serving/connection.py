"""uvicorn's connections: its settings, alone and under gunicorn, and what no setting of it can do."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .settings import ServingSettings, load

LINGER = 0.5  # seconds


def uvicorn_settings() -> dict[str, Any]:
    """For `uvicorn.Config`."""
    settings = load(ServingSettings)
    return {
        "http": Connection,
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # Proxies in main.py is the one to decide
        "timeout_graceful_shutdown": settings.drain_seconds + 1,
    }


class Connection(HttpToolsProtocol):
    """An idle connection stays open a moment after the worker was told to stop.

    A request may be on its way on it already; uvicorn would close it at once, and the client see a reset.
    """

    def shutdown(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LINGER, super().shutdown)
        else:
            super().shutdown()
