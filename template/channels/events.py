"""Server-sent events: a stream that a browser's EventSource reads, and opens again by itself."""

from starlette.types import Receive, Scope, Send

from .subscription import Left
from .transport import Transport, watched

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx passes on each event as it comes
]
RETRY = b"retry: 1000\n\n"  # milliseconds until EventSource comes back


class Events(Transport):
    """The messages after `Last-Event-ID`, or `?after=ID`, or from now on."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        channel, after = await self.admit(scope)
        with self.channels.subscribe(channel, after, beat=True) as subscription:
            async with watched(receive, subscription):
                await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
                await send({"type": "http.response.body", "body": RETRY, "more_body": True})
                last = b""
                try:
                    while True:
                        frames = await subscription.next()
                        body = b"".join([frame.event for frame in frames])
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                except Left as left:
                    last = f": {left.reason}\n\n".encode()
                await send({"type": "http.response.body", "body": last})
