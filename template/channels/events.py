"""Server-sent events: a stream that a browser's EventSource reopens by itself, except after an error status."""

from starlette.types import Receive, Scope, Send

from .subscription import Left
from .transport import Transport

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx then forwards each event at once
]
RETRY = b"retry: 1000\n\n"  # milliseconds until EventSource reconnects


class Events(Transport):
    """The messages after `Last-Event-ID`, or `?after=ID`, or from now on."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with await self.subscribe(scope) as subscription:
            subscription.watch(receive)
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            body = RETRY
            try:
                while True:
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                    frames = await subscription.next()
                    body = frames[0].event if len(frames) == 1 else b"".join([frame.event for frame in frames])
            except Left as left:
                await send({"type": "http.response.body", "body": f": {left.reason}\n\n".encode()})
