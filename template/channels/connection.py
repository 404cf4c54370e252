"""The connections to Redis."""

from contextlib import suppress

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, RedisError

TIMEOUT = 3  # seconds for a response


def connect(url: str) -> Redis:
    """A client whose calls time out and are never retried automatically."""
    pool = BlockingConnectionPool.from_url(
        url,
        timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        protocol=2,
    )
    return Redis.from_pool(pool)


async def leave_replica(redis: Redis, error: Exception) -> None:
    """Reconnect if the error says that this is now a replica: the name may point to another master."""
    if isinstance(error, ReadOnlyError):
        with suppress(RedisError, OSError):
            await redis.connection_pool.disconnect()
