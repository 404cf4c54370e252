"""WebSocket: the same messages, one line of JSON each; a text frame may contain several."""

from starlette.types import Receive, Scope, Send

from .subscription import Left
from .transport import Transport


class Socket(Transport):
    """The messages after `?after=ID`, or from now on. Messages from the client are not accepted."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with await self.subscribe(scope) as subscription:
            await receive()  # the request to connect
            await send({"type": "websocket.accept"})
            subscription.watch(receive)
            try:
                while True:
                    frames = await subscription.next()
                    text = frames[0].line if len(frames) == 1 else "\n".join([frame.line for frame in frames])
                    await send({"type": "websocket.send", "text": text})
            except Left as left:
                if left.code:
                    await send({"type": "websocket.close", "code": left.code, "reason": left.reason})
