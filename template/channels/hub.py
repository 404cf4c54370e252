"""The channels of this worker: publishing, subscribing, and their limits."""

import asyncio
import logging
from itertools import cycle
from time import monotonic, time_ns
from typing import Any, Self

from fastapi import HTTPException
from pydantic_core import PydanticSerializationError, to_json

from .channel import Channel, check_name
from .message import Position, message
from .settings import ChannelSettings
from .streams import Streams
from .subscription import Subscription

logger = logging.getLogger(__name__)

LINGER = 60  # seconds that a channel in Redis stays open between long polls


class Unavailable(HTTPException):
    """Try again later: 503 with Retry-After if an endpoint does not catch it."""

    def __init__(self, reason: str) -> None:
        super().__init__(503, reason, headers={"retry-after": "1"})


class TooLarge(HTTPException):
    """A message over CHANNEL_MESSAGE_BYTES: 413 if an endpoint does not catch it."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(413, f"the message has {size} bytes, more than {limit}")


class Channels:
    """Publishes and subscribes to channels. The lifespan enters it.

    Without REDIS_URL each worker has its own channels, in memory.
    """

    def __init__(self, settings: ChannelSettings, workers: int = 1) -> None:
        self.settings = settings
        self.workers = workers
        self.open: dict[str, Channel] = {}
        self.subscribers = 0
        self.store = Streams(settings, self.open) if settings.redis_url else None
        self._beats = [set[Subscription]() for _ in range(settings.channel_heartbeat_seconds)]  # by when they are due
        self._bucket = self._beats[0]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def available(self) -> bool:
        """Whether messages can be published now, for the readiness check."""
        return not self.store or self.store.available

    async def __aenter__(self) -> Self:
        if self.store:
            self._tasks.append(asyncio.create_task(self.store.run()))
        elif self.workers > 1:
            logger.warning("channels: REDIS_URL is not set, so each of the %d workers has its own", self.workers)
        self._tasks.append(asyncio.create_task(self._keep_time()))
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._tasks:
            (task := self._tasks.pop()).cancel()
            await asyncio.wait([task])

    async def publish(self, name: str, data: Any) -> str:
        """Send anything that Pydantic can serialize as JSON to all subscribers; returns the message's id once it is accepted.

        Raises Unavailable if it may not have been accepted, TooLarge, or ValueError for an invalid name or value.
        """
        check_name(name)
        try:
            text = to_json(data, inf_nan_mode="null", ensure_ascii=True)  # ASCII, so that "\n" is the only line break
        except PydanticSerializationError as error:
            raise ValueError(str(error)) from None
        if len(text) > self.settings.channel_message_bytes:
            raise TooLarge(len(text), self.settings.channel_message_bytes)
        if self.store:
            position = await self.store.publish(name, text.decode())
            if not position:
                raise Unavailable("Redis does not answer, or too much is published at once")
        else:
            channel = self._channel(name)
            assert channel.position
            position = channel.position.next
            channel.extend([message(position, text.decode())], position)
            await asyncio.sleep(0)  # or publishing in a loop would leave subscribers no time to read
        return str(position)

    def subscribe(self, name: str, after: Position | None, *, beat: bool) -> Subscription:
        """Read a channel after a position, or from now on; raises Unavailable beyond a limit."""
        if self.subscribers >= self.settings.max_subscribers:
            raise Unavailable(f"{self.subscribers} subscribers already")
        channel = self._channel(name)
        subscription = Subscription(channel, after, self.settings.channel_queue, self._end)
        if self.store and (not channel.position or channel.more or (after and channel.after(after) is None)):
            channel.unsure.add(subscription)  # another worker may be ahead
            self.store.wake()
        if beat:
            subscription.bucket = self._bucket
            self._bucket.add(subscription)
        self.subscribers += 1
        channel.subscribers.add(subscription)
        return subscription

    def _end(self, subscription: Subscription) -> None:
        self.subscribers -= 1
        if subscription.bucket is not None:
            subscription.bucket.discard(subscription)
        subscription.channel.subscribers.discard(subscription)
        subscription.channel.unsure.discard(subscription)
        subscription.channel.used = monotonic()

    def _channel(self, name: str) -> Channel:
        if channel := self.open.get(name):
            return channel
        if len(self.open) >= self.settings.max_channels:
            self._make_room()
        position = None if self.store else Position(time_ns() // 1000, 0)
        return self.open.setdefault(name, Channel(self.settings.channel_history, position))

    def _make_room(self) -> None:
        """Forget the least recently used channel without subscribers; returning ones get a reset, unless Redis has it."""
        unused = {name: channel.used for name, channel in self.open.items() if not channel.subscribers}
        if not unused:
            raise Unavailable(f"{len(self.open)} channels already")
        del self.open[min(unused, key=unused.__getitem__)]

    async def _keep_time(self) -> None:
        """Each second, send heartbeats to a share of the subscribers, and forget what is old."""
        keep = self.settings.channel_history_seconds
        for bucket in cycle(self._beats):
            self._bucket = bucket
            for subscription in bucket:
                subscription.beat()
            await asyncio.sleep(1)
            now = monotonic()
            for name, channel in list(self.open.items()):
                if channel.changed < now - keep:
                    channel.history.clear()
                if not channel.subscribers and channel.used < now - (min(keep, LINGER) if self.store else keep):
                    del self.open[name]
