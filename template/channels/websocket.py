"""WebSocket: the same messages, each a line of JSON; a text may have several lines."""

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from .subscription import Left
from .transport import Transport, watched


class Socket(Transport):
    """The messages after `?after=ID`, or from now on. Nothing is taken from the client."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            channel, after = await self.admit(scope)
            with self.channels.subscribe(channel, after, beat=True) as subscription:
                await receive()  # the request to connect
                await send({"type": "websocket.accept"})
                async with watched(receive, subscription):
                    try:
                        while True:
                            frames = await subscription.next()
                            text = frames[0].line if len(frames) == 1 else "\n".join([frame.line for frame in frames])
                            await send({"type": "websocket.send", "text": text})
                    except Left as left:
                        if left.code:
                            await send({"type": "websocket.close", "code": left.code, "reason": left.reason})
        except HTTPException as refusal:
            answer = JSONResponse({"detail": refusal.detail}, refusal.status_code, refusal.headers)
            await answer(scope, receive, send)
