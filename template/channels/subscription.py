"""A subscriber of a channel."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from starlette.types import Receive

from .channel import Channel
from .message import Frame, Position, notice, reset

PIECE = 64 * 1024 - 100  # bytes sent at once, leaving space for a poll's envelope; many clients accept no more


class Left(Exception):
    """The subscription is over: the client has left, or is disconnected with a WebSocket close code and a reason."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Subscription:
    """Reads a channel after a position, or from now on, until its `with` block ends.

    There may be ten thousand of them, so each has no queue and as few objects as possible.
    """

    __slots__ = ("channel", "position", "bucket", "_queue", "_ended", "_live", "_beat", "_left", "_waiter", "_watching")

    def __init__(
        self, channel: Channel, position: Position | None, queue: int, ended: Callable[["Subscription"], None]
    ) -> None:
        self.channel = channel
        self.position = position
        self.bucket: set[Subscription] | None = None  # those that get heartbeats at the same time
        self._queue = queue
        self._ended = ended
        self._live = False  # until it has caught up, being behind does not count as slow
        self._beat = False
        self._left: Left | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._watching:
            self._watching.cancel()
        self._ended(self)

    async def next(self) -> Sequence[Frame]:
        """Wait for new messages; raises Left when the subscription is over."""
        while not (news := self._news()):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return news

    def wake(self) -> None:
        """Check for new messages."""
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def beat(self) -> None:
        """Send a heartbeat unless there is something new."""
        self._beat = True
        self.wake()

    def watch(self, receive: Receive) -> None:
        """End the subscription as soon as the client leaves or sends something."""
        self._watching = asyncio.create_task(self._watch(receive))

    async def _watch(self, receive: Receive) -> None:
        while (message := await receive())["type"] == "http.request":
            pass
        if message["type"] == "websocket.receive":
            self._left = Left(1003, "messages are not accepted here: publish with POST")
        else:
            self._left = Left()
        self.wake()

    def _news(self) -> Sequence[Frame]:
        if self._left:
            raise self._left
        beat, self._beat = self._beat, False
        top = self.channel.position
        if top is None or self in self.channel.unsure:
            return (notice(None),) if beat else ()
        if top == self.position:
            self._live = True
            return (notice(top),) if beat else ()
        if self.position is None:
            self.position = top
            return (notice(top),)
        behind = top.number - self.position.number
        if self._live and behind - self.channel.batch > self._queue and self.position.epoch == top.epoch:
            raise Left(1013, f"too slow: {behind} messages behind")
        news = self.channel.after(self.position)
        if news is None:
            self.position, news = top, (reset(top),)
        else:
            news = piece(news)
            self.position = Position(top.epoch, self.position.number + len(news))
        self._live = self._live or self.position == top
        return news


def piece(frames: Sequence[Frame]) -> Sequence[Frame]:
    """As many frames as are sent at once, so that a slow reader does not hold a copy of the whole history."""
    room = PIECE
    for count, frame in enumerate(frames):
        room -= len(frame.line) + 1  # an event is shorter
        if room < 0 and count:
            return frames[:count]
    return frames
