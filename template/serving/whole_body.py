"""Request bodies that are too slow, too large, or incomplete."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .refusals import refusal

RATE = 1024  # bytes a second; a faster body may take as long as it needs
SLOW = refusal(408, "the body came too slowly")
BROKEN = refusal(400, "the body broke off")


class WholeBody:
    """Calls the application with a request whose body may still be on its way.

    Responds with 413 if the body has more than `limit` bytes, 408 if it stalls for `seconds`, 400 if it breaks off. What the
    application raises then is not logged, and what it sends is discarded.
    """

    def __init__(self, seconds: float, limit: int) -> None:
        self.seconds = seconds
        self.limit = limit
        self.large = refusal(413, f"the body has more than {limit} bytes")

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        left = self.seconds
        size = 0
        complete = started = refused = slow = False

        async def refuse(answer: ASGIApp) -> Message:
            nonlocal refused
            if not started:
                refused = True
                await answer(scope, receive, send)
            return {"type": "http.disconnect"}

        def give_up(task: asyncio.Task[Any]) -> None:
            nonlocal slow
            slow = task.cancel()

        async def receive_in_time() -> Message:
            nonlocal complete, left, size
            if complete or refused:  # only the client's disconnect is left to wait for
                return await receive()
            begin = loop.time()
            task = asyncio.current_task(loop)  # an application may receive in a task of its own
            assert task
            timer = loop.call_later(left, give_up, task)  # `asyncio.timeout` takes 6 microseconds longer
            try:
                message = await receive()
            except asyncio.CancelledError:
                if not slow:
                    raise
                task.uncancel()
                return await refuse(SLOW)
            finally:
                timer.cancel()
            if message["type"] == "http.disconnect":
                return await refuse(BROKEN)
            size += (length := len(message.get("body", b"")))
            if size > self.limit:
                return await refuse(self.large)
            left += length / RATE - (loop.time() - begin)
            complete = not message.get("more_body", False)
            return message

        def send_unless_refused(message: Message) -> Awaitable[None]:
            nonlocal started
            if not refused:
                started = True
                return send(message)
            if message.get("more_body"):  # a stream, which might never end
                raise OSError("the request was rejected")
            return asyncio.sleep(0)

        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self.limit:
            return await self.large(scope, receive, send)
        try:
            await app(scope, receive_in_time, send_unless_refused)
        except Exception:
            if not refused:
                raise
