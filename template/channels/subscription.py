"""One subscriber of a channel."""

import asyncio
from collections.abc import Sequence

from .channel import Channel
from .message import Frame, Position, notice, reset


class Left(Exception):
    """The subscription is over: the client has gone, or is sent away with a code of WebSocket and a reason."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Subscription:
    """A reader of a channel from a position on; without one, from now on."""

    __slots__ = ("channel", "position", "_queue", "_live", "_beat", "_left", "_waiter")

    def __init__(self, channel: Channel, position: Position | None, queue: int) -> None:
        self.channel = channel
        self.position = position
        self._queue = queue
        self._live = False  # what was missed before it came does not count as being slow
        self._beat = False
        self._left: Left | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def next(self) -> Sequence[Frame]:
        """Wait for what is new; raises Left when there will be nothing any more."""
        while not (news := self._news()):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return news

    def wake(self) -> None:
        """Something may be new."""
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def beat(self) -> None:
        """Send something, even if nothing is new."""
        self._beat = True
        self.wake()

    def leave(self, code: int | None = None, reason: str = "") -> None:
        """End it."""
        self._left = Left(code, reason)
        self.wake()

    def _news(self) -> Sequence[Frame]:
        if self._left:
            raise self._left
        beat, self._beat = self._beat, False
        top = self.channel.position
        if top == self.position or top is None:
            self._live = self._live or top is not None
            return (notice(top),) if beat else ()
        before, self.position = self.position, top
        if before is None:
            return (notice(top),)
        news = self.channel.after(before)
        if self._live and (news is None or len(news) > self._queue) and before.epoch == top.epoch:
            behind = top.number - before.number
            raise Left(1013, f"too slow: {behind} messages behind")
        self._live = True
        return (reset(top),) if news is None else news
