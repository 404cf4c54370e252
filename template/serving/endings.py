"""How a WebSocket ends that the application leaves open, and what it is doing while the worker drains."""

from asyncio import CancelledError, Task
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .draining import Draining
from .refusals import STOPPING


async def websocket(
    app: ASGIApp, draining: Draining, task: Task[None], scope: Scope, receive: Receive, send: Send
) -> None:
    """Call the application; close with 1000 where it returns, 1011 where it raises, 1012 (restart) once draining begins."""
    is_open: bool | None = None  # None until it is answered

    async def send_noted(message: Message) -> None:
        nonlocal is_open
        is_open = message["type"] in ("websocket.accept", "websocket.send")
        await send(message)

    async def end(code: int) -> None:
        task.uncancel()
        if is_open or (is_open is None and code == 1012):  # unanswered for another reason, the server answers 500
            with suppress(OSError, RuntimeError):  # the client or the server was quicker
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
