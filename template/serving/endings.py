"""Closing WebSockets that the application leaves open, and those that are open when the worker drains."""

from asyncio import CancelledError, Task
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .draining import Draining
from .refusals import STOPPING


async def websocket(
    app: ASGIApp, draining: Draining, task: Task[None], scope: Scope, receive: Receive, send: Send
) -> None:
    """Call the application; close with 1000 when it returns, 1011 when it raises, 1012 (restart) when draining begins."""
    is_open: bool | None = None  # None until the handshake is answered

    async def send_noted(message: Message) -> None:
        nonlocal is_open
        is_open = message["type"] in ("websocket.accept", "websocket.send")
        await send(message)

    async def end(code: int) -> None:
        task.uncancel()
        if is_open or (is_open is None and code == 1012):  # otherwise the server answers 500
            with suppress(OSError, RuntimeError):  # already closed by the client or the server
                await send_noted({"type": "websocket.close", "code": code})

    async def receive_or_end() -> Message:
        try:
            return await receive()
        except CancelledError:
            if is_open is False or task not in draining.cancelled:
                raise
            await end(1012)
            return {"type": "websocket.disconnect", "code": 1012}

    if draining.begun:
        return await STOPPING(scope, receive, send)
    draining.open[task] = True
    try:
        await app(scope, receive_or_end, send_noted)
        await end(1000)
    except CancelledError:
        if task not in draining.cancelled:
            raise
        await end(1012)
    except Exception:
        await end(1011)
        raise
