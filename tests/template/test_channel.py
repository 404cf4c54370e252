"""A channel and its subscribers, in process: what is missing is never passed over in silence."""

import asyncio
import json
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import HTTPException
from hypothesis import given
from hypothesis import strategies as st

from asgi_quickstart.options import TEMPLATE

HISTORY = 10
STEPS = st.lists(
    st.tuples(st.sampled_from(["publish", "publish", "miss", "begin anew"]), st.integers(0, 6)), max_size=20
)


@pytest.fixture(scope="module")
def channels() -> Any:
    """The template's modules, which have no need of the rest of a service."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TEMPLATE / "template")
        names = ("channel", "hub", "message", "polling", "settings", "subscription", "transport")
        return SimpleNamespace(**{name: import_module(f"channels.{name}") for name in names})


def messages(channels: Any, epoch: int, first: int, last: int) -> list[Any]:
    return [channels.message.message(channels.message.Position(epoch, n), str(n)) for n in range(first, last + 1)]


@given(steps=STEPS)
def test_whoever_comes_back_gets_exactly_what_it_missed_or_is_told_that_it_is_gone(
    channels: Any, steps: list[tuple[str, int]]
) -> None:
    position = channels.message.Position
    top, whole_since = position(1, 0), 0  # whatever comes after that number is there
    channel = channels.channel.Channel(HISTORY, top)
    seen = [top]
    for step, count in steps:
        epoch, before = top
        if step == "begin anew":
            epoch, before, whole_since = epoch + 1, 0, 0
        elif step == "miss":
            before = whole_since = before + count + 1
        top = position(epoch, before + count)
        channel.extend(messages(channels, epoch, before + 1, top.number), top)
        seen.append(top)
        for one in seen:
            there = one.epoch == epoch and one.number >= whole_since and top.number - one.number <= HISTORY
            missed = messages(channels, epoch, one.number + 1, top.number) if there else None
            got = channel.after(one)
            assert (got if got is None else list(got)) == missed


def test_what_was_missed_comes_in_pieces_that_every_client_takes_and_nobody_is_sent_away_meanwhile(
    channels: Any,
) -> None:
    async def subscribe() -> None:
        position, data = channels.message.Position, "x" * 10_000
        sent = [channels.message.message(position(1, n), data * (10 if n == 50 else 1)) for n in range(1, 101)]
        channel = channels.channel.Channel(200, position(1, 0))
        channel.extend(sent[:90], position(1, 90))
        subscriber = channels.subscription.Subscription(channel, position(1, 0), 5, lambda _: None)
        got: list[Any] = []
        while len(got) < 100:
            frames = list(await subscriber.next())
            answer = channels.polling.body(subscriber.position, frames)
            assert len(frames) == 1 or len(answer) <= 64 * 1024
            got += frames
            assert subscriber.position == position(1, len(got))
            if channel.position == position(1, 90):
                channel.extend(sent[90:], position(1, 100))  # published while it catches up
        assert got == sent

    asyncio.run(subscribe())


def test_what_is_around_small_messages_counts_and_the_largest_has_room_for_it(channels: Any) -> None:
    async def subscribe() -> None:
        top = channels.message.Position(2**53, 2000)
        channel = channels.channel.Channel(2000, top)
        channel.extend(messages(channels, top.epoch, 1, 2000), top)
        first = channels.message.Position(top.epoch, 0)
        subscriber = channels.subscription.Subscription(channel, first, 5, lambda _: None)
        frames = await subscriber.next()
        assert len(frames) > 1000 and len(channels.polling.body(subscriber.position, frames)) <= 64 * 1024
        largest = channels.message.message(top, "1" * channels.settings.ChannelSettings().channel_message_bytes)
        assert len(channels.polling.body(top, [largest])) <= 64 * 1024

    asyncio.run(subscribe())


def test_who_falls_behind_more_than_its_queue_is_sent_away_and_who_comes_back_is_not(channels: Any) -> None:
    async def subscribe() -> None:
        channel = channels.channel.Channel(100, channels.message.Position(1, 0))

        def publish(count: int) -> None:
            top = channel.position.number + count
            channel.extend(messages(channels, 1, channel.position.number + 1, top), channels.message.Position(1, top))

        publish(50)
        subscriber = channels.subscription.Subscription(channel, channels.message.Position(1, 0), 5, lambda _: None)
        channel.subscribers.add(subscriber)
        assert len(await subscriber.next()) == 50  # it was away
        publish(20)
        assert len(await subscriber.next()) == 20  # it had no time to read any of what came at once
        publish(20)
        channel.more = True
        publish(20)
        assert len(await subscriber.next()) == 40  # a long history that came in pieces
        channel.more = False
        publish(6)
        publish(1)
        with pytest.raises(channels.subscription.Left, match="too slow: 7 messages behind") as left:
            await subscriber.next()
        assert left.value.code == 1013

    asyncio.run(subscribe())


def test_what_is_published_comes_as_one_line_whatever_a_client_takes_for_the_end_of_one(channels: Any) -> None:
    async def subscribe() -> None:
        hub = channels.hub.Channels(channels.settings.ChannelSettings())
        data = "a\nb\x85c\u2028d\u2029é\U0001f600"
        with hub.subscribe("orders", None, beat=False) as reader:
            await reader.next()
            await hub.publish("orders", data)
            (frame,) = await reader.next()
        assert frame.line.isascii() and frame.line.splitlines() == [frame.line]
        assert len(frame.event.decode().splitlines()) == 3
        assert json.loads(frame.line)["data"] == data

    asyncio.run(subscribe())


def test_who_comes_with_an_id_that_is_not_known_keeps_nobody_else_from_reading(channels: Any) -> None:
    async def subscribe() -> None:
        hub = channels.hub.Channels(channels.settings.ChannelSettings())
        with hub.subscribe("orders", None, beat=False) as reader:
            assert [frame.kind for frame in await reader.next()] == ["notice"]
            hub.store = SimpleNamespace(wake=lambda: None)  # a Redis that has not answered yet
            channel = hub.open["orders"]
            with hub.subscribe("orders", channels.message.Position(1, 1), beat=False) as stranger:
                waiting = asyncio.create_task(stranger.next())
                top = channel.position.next
                channel.extend([channels.message.message(top, "1")], top)
                assert [frame.kind for frame in await asyncio.wait_for(reader.next(), 5)] == ["message"]
                assert channel.unsure == {stranger} and not waiting.done()
                waiting.cancel()
            assert not channel.unsure

    asyncio.run(subscribe())


def test_with_any_origin_allowed_a_page_of_another_one_opens_no_websocket_with_cookies(channels: Any) -> None:
    async def subscribe(*origins: str, **headers: str) -> None:
        async def everybody(*_: object) -> None:
            pass

        hub = channels.hub.Channels(channels.settings.ChannelSettings())
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "websocket", "scheme": "ws", "path_params": {"channel": "orders"}, "query_string": b""}
        with await channels.transport.Transport(hub, everybody, origins).subscribe({**scope, "headers": sent}):
            pass

    page = {"host": "localhost", "origin": "https://elsewhere.example"}
    asyncio.run(subscribe("*", **page))
    asyncio.run(subscribe("*", page["origin"], **page, cookie="session=1"))
    asyncio.run(subscribe("*", **page | {"origin": "http://localhost"}, cookie="session=1"))
    with pytest.raises(HTTPException, match="CORS_ORIGINS"):
        asyncio.run(subscribe("*", **page, cookie="session=1"))


def test_who_reads_at_once_is_not_too_slow_for_a_loop_that_publishes(channels: Any) -> None:
    async def subscribe() -> None:
        hub = channels.hub.Channels(channels.settings.ChannelSettings(channel_queue=5))
        got: list[str] = []

        async def read() -> None:
            with hub.subscribe("orders", None, beat=False) as subscription:
                while len(got) < 100:
                    got.extend(frame.line for frame in await subscription.next() if frame.kind == "message")

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        for n in range(100):
            await hub.publish("orders", n)
        await reading
        assert [f'"data":{n}}}' in line for n, line in enumerate(got)] == [True] * 100

    asyncio.run(subscribe())


@pytest.mark.parametrize("name", ["café", "a b", "x/y", "user.ann@example.com", "orders\n", "", "x" * 101])
def test_nothing_is_published_where_nobody_could_subscribe(channels: Any, name: str) -> None:
    hub = channels.hub.Channels(channels.settings.ChannelSettings())
    with pytest.raises(ValueError, match="^channel: a name is 1 to 100 letters") as refused:
        asyncio.run(hub.publish(name, 1))
    assert not isinstance(refused.value, HTTPException) and not hub.open
