"""Channels in Redis, one stream each, so that all workers and machines see the same messages with the same ids."""

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

BLOCK = 1  # seconds for which the reader blocks
REMEMBER = 7 * 24 * 3600  # seconds for which a channel's position outlives its history
UNUSED = 60  # seconds for which it outlives its subscribers, if nothing was published
RENEW = UNUSED / 3
NOTHING = "channels:"  # a stream that nobody writes to: XREAD needs at least one


class Streams:
    """Publishes with one call, and reads all open channels of this worker in one loop.

    Calls are never retried automatically: a message that was accepted but whose response was lost would be sent twice.
    """

    def __init__(self, settings: ChannelSettings, channels: Mapping[str, Channel]) -> None:
        self.channels = channels
        self.available = False
        remember = settings.channel_history_seconds + REMEMBER
        self._keep = settings.channel_history, settings.channel_history_seconds, remember
        self._redis = connect(str(settings.redis_url))
        self._publish = self._redis.register_script(PUBLISH)
        self._read = self._redis.register_script(READ)
        self._count = 2 + 500_000 // settings.channel_message_bytes  # the last known one, and at least one more
        self._reader = 0  # the reader's connection id
        self._waking: asyncio.Task[None] | None = None

    async def publish(self, name: str, data: str) -> Position | None:
        """Store a message; None if Redis did not confirm it."""
        known = self.channels[name].position if name in self.channels else None
        try:
            return Position.parse(await self._publish(keys(name), [str(known), data, *self._keep]))
        except (RedisError, OSError) as error:
            logger.warning("channels: not published: %s", error)
            await leave_replica(self._redis, error)
            return None

    def wake(self) -> None:
        """Make the reader look after unsure subscribers now."""
        if not self._waking or self._waking.done():
            self._waking = asyncio.create_task(self._wake())

    async def run(self) -> None:
        """Read until cancelled; while Redis is away, try again and again."""
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
                    logger.exception("channels: the reader starts again")
                self.available = False
                await asyncio.sleep(0.2)
        finally:
            if self._waking:
                self._waking.cancel()
            await self._redis.aclose()

    async def _read_from(self, connection: "Redis") -> None:
        self._reader = await connection.client_id()
        await self._read(keys(""), ["", UNUSED, 1], client=connection)  # fails on a replica, or without scripts
        for name, channel in list(self.channels.items()):
            await self._load(connection, name, channel)  # whatever happened in the meantime
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
                    read.more = len(entries) == self._count  # a busy channel: load the rest in larger pieces

    async def _load(self, connection: "Redis", name: str, channel: Channel) -> None:
        """Read a piece of what is new, and the position, which shows whether some of it is lost."""
        waiting = list(channel.unsure)  # those who subscribe during the call may be ahead of its result
        channel.ask = monotonic() + RENEW  # unless something was published
        known, limits = str(channel.position), (UNUSED, self._count)
        try:
            position, top, entries = await self._read(keys(name), [known, *limits], client=connection)
            if entries and entries[0][0] == known:
                again = message(Position.parse(known), entries.pop(0)[1][1])
                if channel.history and channel.history[-1] != again:  # Redis lost it and reused its id
                    ahead = f"{Position.parse(known).epoch}-{2**53}"
                    position, top, entries = await self._read(keys(name), [ahead, *limits], client=connection)
        except ReadOnlyError:
            raise
        except ResponseError as error:  # concerns this channel only
            logger.error("channels: %s is not read: %s", name, error)
            channel.more = False
        else:
            if position != known:
                extend(channel, [(id, fields[1]) for id, fields in entries], Position.parse(position))
            channel.more = position != top
            if Position.parse(position).number:
                channel.ask = inf
        for subscription in waiting:
            # While a channel is only partly loaded, do not yet report that nothing, or everything, was missed.
            if not channel.more or (subscription.position and channel.after(subscription.position)):
                channel.unsure.discard(subscription)
                subscription.wake()

    async def _wake(self) -> None:
        """Unblock the reader, which may be only about to block."""
        try:
            while self.available and any(c.unsure and not c.more for c in self.channels.values()):
                await self._redis.client_unblock(self._reader)
                await asyncio.sleep(0.002)
        except (RedisError, OSError) as error:
            logger.warning("channels: subscribers wait for up to %d s: %s", BLOCK, error)


def cancelled() -> bool:
    """Whether this task was cancelled; redis-py sometimes swallows the exception."""
    task = asyncio.current_task()
    return bool(task and task.cancelling())


def extend(channel: Channel, entries: list[tuple[str, str]], position: Position | None = None) -> None:
    """Append entries of its stream, ids and data, to a channel."""
    messages = [message(Position.parse(id), data) for id, data in entries]
    channel.extend(messages, position or Position.parse(entries[-1][0]))
