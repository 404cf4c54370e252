"""Channels in Redis: a stream each, so that all workers and machines see the same messages under the same ids."""

import asyncio
import logging
from collections.abc import Mapping
from math import inf
from time import monotonic
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from .channel import Channel
from .connection import connect, leave_replica
from .message import Position, message
from .scripts import PUBLISH, READ, keys, name_of
from .settings import ChannelSettings

logger = logging.getLogger(__name__)

BLOCK = 1  # seconds that the reader waits for the next message before it asks again
REMEMBER = 7 * 24 * 3600  # seconds for which the position of a channel outlives its history
UNUSED = 60  # seconds for which it outlives its subscribers, if nothing was published
RENEW = UNUSED / 3
NOTHING = "channels:"  # a stream that nobody writes: XREAD wants at least one


class Streams:
    """Publishes with one call, and has one reader for all open channels of this worker.

    A call is never tried again by itself: a message that was accepted, but whose answer was lost, would be there twice.
    """

    def __init__(self, settings: ChannelSettings, channels: Mapping[str, Channel]) -> None:
        self.channels = channels
        self.available = False
        remember = settings.channel_history_seconds + REMEMBER
        self._keep = settings.channel_history, settings.channel_history_seconds, remember
        self._redis = connect(str(settings.redis_url))
        self._publish = self._redis.register_script(PUBLISH)
        self._read = self._redis.register_script(READ)
        self._count = 2 + 500_000 // settings.channel_message_bytes  # the one that is known, and one more at least
        self._reader = 0  # the id of its connection
        self._waking: asyncio.Task[None] | None = None

    async def publish(self, name: str, data: str) -> Position | None:
        """Keep a message; None if Redis does not say that it has."""
        known = self.channels[name].position if name in self.channels else None
        try:
            return Position.parse(await self._publish(keys(name), [str(known), data, *self._keep]))
        except (RedisError, OSError) as error:
            logger.warning("channels: not published: %s", error)
            await leave_replica(self._redis, error)
            return None

    def wake(self) -> None:
        """Have the reader look for subscribers who are unsure."""
        if not self._waking or self._waking.done():
            self._waking = asyncio.create_task(self._wake())

    async def run(self) -> None:
        """Read until it is cancelled; a Redis that is away is asked again and again."""
        told = False
        try:
            while not cancelled():
                try:
                    async with self._redis.client() as connection:
                        await self._read_from(connection)
                except (RedisError, OSError) as error:
                    if self.available or not told:
                        logger.error("channels: Redis is away: %s", error)
                        told = True
                    await leave_replica(self._redis, error)
                except Exception:
                    logger.exception("channels: the reader begins anew")
                self.available = False
                await asyncio.sleep(0.2)
        finally:
            if self._waking:
                self._waking.cancel()
            await self._redis.aclose()

    async def _read_from(self, connection: "Redis") -> None:
        self._reader = await connection.client_id()
        await self._read(keys(""), ["", UNUSED, 1], client=connection)  # a replica fails here, or one without scripts
        for name, channel in list(self.channels.items()):
            await self._load(connection, name, channel)  # whatever happened while it was away
        logger.info("channels: reading from Redis")
        self.available = True
        while not cancelled():
            for name, channel in list(self.channels.items()):
                if channel.unsure or channel.more or (channel.subscribers and channel.ask < monotonic()):
                    await self._load(connection, name, channel)
            live: Any = {keys(n)[1]: str(c.position) for n, c in self.channels.items() if c.position and not c.more}
            block = None if any(c.more or c.unsure for c in self.channels.values()) else BLOCK * 1000
            found: Any = await connection.xread({**live, NOTHING: "0-0"}, self._count, block)
            for stream, entries in found or ():
                if read := self.channels.get(name_of(stream)):
                    extend(read, [(id, fields["data"]) for id, fields in entries])
                    read.more = len(entries) == self._count  # a busy channel: the rest comes in larger pieces

    async def _load(self, connection: "Redis", name: str, channel: Channel) -> None:
        """Take a piece of what is new, and the position, which shows it if some of that is gone."""
        waiting = list(channel.unsure)  # who comes while Redis is asked, may know more than its answer
        channel.ask = monotonic() + RENEW  # unless it is read, and somebody has published
        known, limits = str(channel.position), (UNUSED, self._count)
        try:
            position, top, entries = await self._read(keys(name), [known, *limits], client=connection)
            if entries and entries[0][0] == known:
                again = message(Position.parse(known), entries.pop(0)[1][1])
                if channel.history and channel.history[-1] != again:  # Redis lost it, and gave its id to another
                    ahead = f"{Position.parse(known).epoch}-{2**53}"
                    position, top, entries = await self._read(keys(name), [ahead, *limits], client=connection)
        except ReadOnlyError:
            raise
        except ResponseError as error:  # about this channel, of which the others must not suffer
            logger.error("channels: %s is not read: %s", name, error)
            channel.more = False
        else:
            if position != known:
                extend(channel, [(id, fields[1]) for id, fields in entries], Position.parse(position))
            channel.more = position != top
            if Position.parse(position).number:
                channel.ask = inf
        for subscription in waiting:
            # Of what is only known in part, nobody is told yet that nothing was missed, or that all is gone.
            if not channel.more or (subscription.position and channel.after(subscription.position)):
                channel.unsure.discard(subscription)
                subscription.wake()

    async def _wake(self) -> None:
        """End the reader's waiting, which may be just about to begin."""
        try:
            while self.available and any(c.unsure and not c.more for c in self.channels.values()):
                await self._redis.client_unblock(self._reader)
                await asyncio.sleep(0.002)
        except (RedisError, OSError) as error:
            logger.warning("channels: subscribers wait for up to %d s: %s", BLOCK, error)


def cancelled() -> bool:
    """Whether this task was told to end; now and then redis-py keeps the exception that says so to itself."""
    task = asyncio.current_task()
    return bool(task and task.cancelling())


def extend(channel: Channel, entries: list[tuple[str, str]], position: Position | None = None) -> None:
    """Give a channel the entries of its stream: ids and data."""
    messages = [message(Position.parse(id), data) for id, data in entries]
    channel.extend(messages, position or Position.parse(entries[-1][0]))
