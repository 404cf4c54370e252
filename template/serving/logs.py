"""The logs: JSON lines in production, readable lines in development, each with its request id."""

import logging
import os
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS

# Named because some come with their own handlers, and would log twice.
SERVERS = ("gunicorn.error", "uvicorn", "uvicorn.error", "hypercorn.error", "_granian")

# The second logs every chunk of a response whose client has left; the third repeats the access log, including a WebSocket's
# query, where browsers put tokens.
WORDY = ("watchfiles", "_granian.asgi.io", "uvicorn.websocket")


def config(*, development: bool, level: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`, the same for every server."""
    readable = "%(asctime)s %(levelname)-7s %(message)s [%(correlation_id)s]"
    handler = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "filters": ["request_id"]}
    own = {"handlers": ["stdout"], "level": level, "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": "asgi_correlation_id.CorrelationIdFilter", "default_value": "-"}},
        "formatters": {
            "readable": {"format": readable, "datefmt": "%H:%M:%S"},
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": "%(levelname)s %(name)s %(message)s %(correlation_id)s",
                "rename_fields": {"levelname": "level", "name": "logger", "correlation_id": "request_id"},
                "timestamp": "time",
                "reserved_attrs": [*RESERVED_ATTRS, "color_message"],
            },
        },
        "handlers": {"stdout": handler | {"formatter": "readable" if development else "json"}},
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {name: own for name in SERVERS} | {name: {"level": "WARNING"} for name in WORDY},
    }


def hold_while_forking() -> None:
    """Fork only while no thread is logging; otherwise the child would wait for that thread's lock for ever."""
    (handler,) = logging.getLogger().handlers
    os.register_at_fork(before=handler.acquire, after_in_parent=handler.release)
