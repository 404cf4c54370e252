"""Channels in a Redis that forgets, is full, or is another one now: a reset, or nothing lost."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from ..pace import slowness
from ..redis_server import needs_redis, redis_server
from ..service import Service, eventually, free_port
from ..slow_link import slow_link
from ..tables import DOCS
from .processes import workers
from .subscribers import TRANSPORTS, ask, publish
from .test_realtime import in_redis, write

pytestmark = pytest.mark.slow

# As when many clients post: each waits for its answer, and there are more messages than a channel keeps.
AT_ONCE = """
import asyncio

@app.post("/at-once")
async def at_once() -> int:
    async def publish(client: int) -> list[str]:
        return [await channels.publish("orders", [client, n]) for n in range(60)]

    return len(sum(await asyncio.gather(*map(publish, range(50))), []))
"""


@contextmanager
def forgetful(folder: Path) -> Iterator[tuple[Service, Redis]]:
    """A service with one worker that keeps what nobody uses for 3 seconds, and a client of its Redis."""
    service = write(folder / "service", {})
    service.edit("channels/streams.py", "UNUSED = 60", "UNUSED = 3")
    with (
        redis_server(folder / "redis") as redis,
        redis.client() as client,
        in_redis(service, redis, WEB_CONCURRENCY="1"),
    ):
        yield service, client


@needs_redis
def test_a_redis_that_comes_back_with_older_data_is_a_reset_and_no_id_is_given_twice(tmp_path: Path) -> None:
    service = write(tmp_path / "service", {})
    with redis_server(tmp_path / "redis", keeps_all=False) as redis, in_redis(service, redis, WEB_CONCURRENCY="1"):
        subscribers = [subscriber(service, "orders").begin() for subscriber in TRANSPORTS.values()]
        ids = [publish(service, "orders", n).accepted() for n in range(3)]
        with redis.client() as client:
            client.save()
        ids += [publish(service, "orders", n).accepted() for n in range(3, 6)]
        eventually(lambda: all(len(one.got) == 6 for one in subscribers), message=lambda: service.log)
        redis.kill()
        redis.start()
        eventually(lambda: publish(service, "orders", "new").status == 200, message=lambda: service.log)
        ids += [publish(service, "orders", n).accepted() for n in range(6, 12)]
        assert len(set(ids)) == len(ids)
        for one in subscribers:
            eventually(lambda one=one: one.last == ids[-1], message=lambda: service.log)  # type: ignore[misc]
            one.stop()
            got = [id for id, _ in one.got]
            assert one.resets == 1 and len(set(got)) == len(got)
        answer = json.loads(ask(service, "GET", f"/channels/orders/poll?after={ids[5]}").body)
        assert answer == {"id": ids[-1], "reset": True, "messages": []}


@needs_redis
def test_ids_that_redis_has_lost_and_given_again_before_a_worker_reads_on_are_a_reset(tmp_path: Path) -> None:
    written = write(tmp_path / "reader", {}), write(tmp_path / "writer", {})
    alone = {"WEB_CONCURRENCY": "1"}
    with (
        redis_server(tmp_path / "redis", keeps_all=False) as redis,
        in_redis(written[0], redis, **alone) as reader,
        in_redis(written[1], redis, **alone) as writer,
    ):
        subscribers = [subscriber(reader, "orders").begin() for subscriber in TRANSPORTS.values()]
        with redis.client() as client:
            client.save()
        old = publish(writer, "orders", "old").accepted()
        eventually(lambda: all(one.last == old for one in subscribers), message=lambda: reader.log)
        (worker,) = workers(reader)
        os.kill(worker, signal.SIGSTOP)
        try:
            redis.kill()
            redis.start()
            again = eventually(lambda: (said := publish(writer, "orders", "again")).status == 200 and said.accepted())
            assert again == old  # the writer had no subscriber, and could not know
            publish(writer, "orders", "more").accepted()
        finally:
            os.kill(worker, signal.SIGCONT)
        eventually(lambda: all(one.resets == 1 for one in subscribers), message=lambda: reader.log)
        new = publish(writer, "orders", "new").accepted()
        eventually(lambda: all(one.got[-1] == (new, "new") for one in subscribers), message=lambda: reader.log)
        for subscriber in subscribers:
            subscriber.stop()
        assert all(len(one.got) == 2 and one.resets == 1 for one in subscribers)


@needs_redis
def test_who_only_asks_leaves_nothing_in_redis_and_an_idle_channel_is_kept_while_it_has_a_subscriber(
    tmp_path: Path,
) -> None:
    with forgetful(tmp_path) as (service, client):
        subscriber = TRANSPORTS["events"](service, "idle").begin()
        ask(service, "GET", "/channels/asked/poll")
        assert client.ttl("channels:asked:position") <= 3
        eventually(lambda: not client.exists("channels:asked:position"))
        for _ in range(2):  # it goes down and up again
            eventually(lambda: client.pttl("channels:idle:position") < 2500)
            eventually(lambda: client.pttl("channels:idle:position") > 2500)
        id = publish(service, "idle", 1).accepted()
        assert client.ttl("channels:idle:position") > 24 * 3600
        eventually(lambda: subscriber.got == [(id, 1)])
        subscriber.stop()
        assert subscriber.resets == 0


@needs_redis
def test_a_full_redis_and_a_key_that_is_something_else_do_not_keep_other_channels_from_being_read(
    tmp_path: Path,
) -> None:
    with forgetful(tmp_path) as (service, client):
        subscriber = TRANSPORTS["events"](service, "orders").begin()
        client.set("channels:odd:stream", "no stream")
        assert ask(service, "GET", "/channels/odd/poll?wait=1").status == 503
        client.config_set("maxmemory", 1)
        assert publish(service, "orders", 0).status == 503
        late = TRANSPORTS["events"](service, "new").begin()
        calls = asked(client)
        eventually(lambda: asked(client) > calls + 4)  # to keep the positions of both
        late.stop()
        assert ask(service, "GET", "/health/ready").status == 200
        client.config_set("maxmemory", 0)
        id = publish(service, "orders", 1).accepted()
        eventually(lambda: subscriber.got == [(id, 1)])
        subscriber.stop()
        assert all(one.connections == 1 and one.resets == 0 for one in (subscriber, late))
        assert "Redis is away" not in service.log


@needs_redis
def test_a_redis_that_takes_nothing_is_read_and_what_it_has_lost_is_a_reset_all_the_same(tmp_path: Path) -> None:
    with forgetful(tmp_path) as (service, client):
        subscriber = TRANSPORTS["events"](service, "orders").begin()
        old = client.get("channels:orders:position")
        id = publish(service, "orders", "lost").accepted()
        eventually(lambda: subscriber.got == [(id, "lost")])
        client.delete("channels:orders:stream")
        client.set("channels:orders:position", str(old))
        client.config_set("min-replicas-to-write", 1)
        client.client_kill_filter(_type="normal", skipme=True)  # as in a failover: the reader comes back
        eventually(lambda: subscriber.resets == 1, message=lambda: service.log)
        assert ask(service, "GET", "/channels/new/poll?wait=2").status == 200
        calls = asked(client)
        eventually(lambda: asked(client) > calls + 2)  # whether it takes the new epoch
        assert subscriber.resets == 1
        client.config_set("min-replicas-to-write", 0)
        id = publish(service, "orders", "new").accepted()
        eventually(lambda: subscriber.last == id, message=lambda: service.log)
        subscriber.stop()
        assert subscriber.connections == 1


@needs_redis
def test_a_redis_that_runs_no_script_or_is_a_replica_is_away_though_nobody_has_subscribed(tmp_path: Path) -> None:
    service = write(tmp_path / "service", {})
    with redis_server(tmp_path / "redis") as redis, redis.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-eval", "-evalsha")
        with in_redis(service, redis, "/health/live", WEB_CONCURRENCY="1"):
            eventually(lambda: "Redis is away: " in service.log, message=lambda: service.log)
            assert ask(service, "GET", "/health/ready").status == 503
            client.execute_command("ACL", "SETUSER", "default", "+@all")
            eventually(lambda: ask(service, "GET", "/health/ready").status == 200, message=lambda: service.log)
            client.replicaof("127.0.0.1", 1)
            client.client_kill_filter(_type="normal", skipme=True)  # so that the reader comes back
            calls = asked(client)
            eventually(lambda: asked(client) > calls + 2, message=lambda: service.log)  # it tries again and again
            assert ask(service, "GET", "/health/ready").status == 503
            client.execute_command("REPLICAOF", "NO", "ONE")
            eventually(lambda: ask(service, "GET", "/health/ready").status == 200, message=lambda: service.log)
        assert "Traceback" not in service.log


def asked(client: Redis) -> int:
    """How often Redis has run a script."""
    return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])


@needs_redis
def test_after_a_failover_behind_one_name_what_is_published_goes_to_the_new_master(tmp_path: Path) -> None:
    service = write(tmp_path / "service", {})
    with (
        redis_server(tmp_path / "old") as old,
        old.client() as client,
        in_redis(service, old, WEB_CONCURRENCY="1"),
    ):
        subscriber = TRANSPORTS["events"](service, "orders").begin()
        publish(service, "orders", "before").accepted()
        client.config_set("port", free_port())  # it keeps the connections that it has
        client.replicaof("127.0.0.1", 1)
        with redis_server(tmp_path / "new", port=old.port):
            eventually(lambda: service.log.count("reading from Redis") > 1)  # the reader does not leave it a connection
            id = eventually(lambda: (said := publish(service, "orders", "new")).status == 200 and said.accepted())
            eventually(lambda: subscriber.resets == 1, message=lambda: service.log)
            eventually(lambda: ask(service, "GET", "/health/ready").status == 200)
            eventually(lambda: subscriber.last == id, message=lambda: service.log)
            subscriber.stop()
        assert "Traceback" not in service.log


@needs_redis
def test_a_large_history_over_a_slow_link_keeps_no_other_channel_waiting(tmp_path: Path) -> None:
    service = write(tmp_path / "service", {})
    with (
        redis_server(tmp_path / "redis", keeps_all=False) as redis,
        redis.client() as client,
        slow_link(redis.port, 4_000_000) as port,
        in_redis(service, redis, WEB_CONCURRENCY="1", REDIS_URL=f"redis://127.0.0.1:{port}/0"),
    ):
        sent = [(f"1-{n}", f"{n:060000}") for n in range(1, 251)]  # 15 MB, more than comes in redis-py's 3 seconds
        for id, text in sent:
            client.xadd("channels:large:stream", {"data": json.dumps(text)}, id)
        client.set("channels:large:position", sent[-1][0])
        witness = TRANSPORTS["events"](service, "orders").begin()
        large = [TRANSPORTS[name](service, "large", last="1-0") for name in ("socket", "poll")]
        new = TRANSPORTS["events"](service, "large")
        for one in (*large, new):
            one.start()
        eventually(lambda: large[0].got, message=lambda: service.log)
        up_to_date = TRANSPORTS["poll"](service, "large", last=sent[-1][0])  # what the worker knows now says otherwise
        late = TRANSPORTS["events"](service, "large")
        up_to_date.start()
        late.start()
        published = 0
        deadline = time.monotonic() + 30
        while not all(one.last == sent[-1][0] for one in (*large, new, late)):
            assert time.monotonic() < deadline, service.log
            id = publish(service, "orders", published).accepted()
            eventually(lambda id=id: witness.last == id, 2 * slowness(), lambda: service.log)  # type: ignore[misc]
            assert ask(service, "GET", "/health/ready").status == 200
            published += 1
        assert published > 5  # it was not all at once
        for one in (*large, new, late, up_to_date, witness):
            one.stop()
            assert one.resets == 0
        assert all(one.got == sent for one in large)
        assert all((one.first, one.got) == (sent[-1][0], []) for one in (new, late, up_to_date))
        assert "Redis is away" not in service.log


@needs_redis
def test_who_reads_at_once_misses_nothing_of_what_is_published_at_once(tmp_path: Path) -> None:
    service = write(tmp_path / "service", {})
    service.edit("main.py", "app.include_router(health)\n", f"app.include_router(health)\n{AT_ONCE}")
    with redis_server(tmp_path / "redis", keeps_all=False) as redis, in_redis(service, redis, WEB_CONCURRENCY="1"):
        subscribers = [TRANSPORTS[name](service, "orders").begin() for name in ("events", "socket")]
        assert ask(service, "POST", "/at-once").body == b"3000"
        last = publish(service, "orders", "last").accepted()
        for one in subscribers:
            eventually(lambda one=one: one.last == last, message=lambda: service.log)  # type: ignore[misc]
            one.stop()
        assert [(one.resets, len(one.got)) for one in subscribers] == [(0, 3001)] * 2


@needs_redis
def test_a_redis_user_needs_no_more_than_the_docs_say_and_without_unblock_the_log_says_who_waits(
    tmp_path: Path,
) -> None:
    service = write(tmp_path / "service", {})
    (rules,) = re.findall(r"`(~channels:.*)`", (DOCS / "realtime.md").read_text())
    with redis_server(tmp_path / "redis") as redis, redis.client() as client:
        client.execute_command("ACL", "SETUSER", "orders", "on", ">secret", *rules.split())
        url = f"redis://orders:secret@127.0.0.1:{redis.port}/1"
        with in_redis(service, redis, WEB_CONCURRENCY="1", REDIS_URL=url):
            subscriber = TRANSPORTS["events"](service, "orders").begin()
            id = publish(service, "orders", 1).accepted()
            eventually(lambda: subscriber.got == [(id, 1)], message=lambda: service.log)
            subscriber.stop()
            assert json.loads(ask(service, "GET", "/channels/orders/poll?after=1-1").body)["reset"] is True
            assert client.execute_command("ACL", "LOG") == []
            used = {f"+{name.removeprefix('cmdstat_')}" for name in client.info("commandstats")}
            assert set(rules.split()) - used == {"~channels:*"}
            assert "subscribers wait" not in service.log
            client.execute_command("ACL", "SETUSER", "orders", "-client|unblock")
            TRANSPORTS["events"](service, "new").begin().stop()
            eventually(lambda: re.search(r"subscribers wait for up to 1 s: .*client\|unblock", service.log))
            assert "Redis is away" not in service.log
