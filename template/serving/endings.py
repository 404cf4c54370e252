"""How a WebSocket ends while the worker drains."""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .draining import Draining
from .refusals import STOPPING


async def websocket(
    app: ASGIApp, draining: Draining, task: asyncio.Task[Any], scope: Scope, receive: Receive, send: Send
) -> None:
    """Call the application; once draining has begun, close with 1012 (service restart) whatever it is doing."""
    closed = False

    async def close() -> None:
        nonlocal closed
        task.uncancel()
        if not closed:
            closed = True
            with suppress(OSError):  # the server was quicker
                await send({"type": "websocket.close", "code": 1012})

    async def receive_or_end() -> Message:
        try:
            return await receive()
        except asyncio.CancelledError:
            if closed or task not in draining.cancelled:
                raise
            await close()
            return {"type": "websocket.disconnect", "code": 1012}

    if draining.begun:
        return await STOPPING(scope, receive, send)
    draining.open[task] = True
    try:
        await app(scope, receive_or_end, send)
    except asyncio.CancelledError:
        if task not in draining.cancelled:
            raise
        await close()
