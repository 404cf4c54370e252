"""Requests whose body never comes whole: too slow, broken off, or not what was announced."""

import asyncio

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RATE = 1024  # bytes a second; a body that comes faster may take as long as it needs


class WholeBody:
    """ASGI middleware that answers 408 if the body stalls for `seconds`, 400 if it breaks off, and closes the connection.

    Neither is a crash of the application: what it raises then is not logged, what it sends goes nowhere.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        now = asyncio.get_running_loop().time
        left = self.seconds
        complete = started = refused = False

        async def refuse(status: int, reason: str) -> Message:
            nonlocal refused
            if not started:
                refused = True
                await PlainTextResponse(reason, status, headers={"connection": "close"})(scope, receive, send)
            return {"type": "http.disconnect"}

        async def receive_in_time() -> Message:
            nonlocal complete, left
            if complete or refused:  # what is waited for now is the client's leaving
                return await receive()
            begin = now()
            try:
                async with asyncio.timeout(left):
                    message = await receive()
            except TimeoutError:
                return await refuse(408, "the body came too slowly")
            if message["type"] == "http.disconnect":
                return await refuse(400, "the body broke off")
            left += len(message.get("body", b"")) / RATE - (now() - begin)
            complete = not message.get("more_body", False)
            return message

        async def send_unless_refused(message: Message) -> None:
            nonlocal started
            if refused:
                raise OSError("the client was sent away")
            started = True
            await send(message)

        try:
            await self.app(scope, receive_in_time, send_unless_refused)
        except Exception:
            if not refused:
                raise
