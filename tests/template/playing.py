"""Subscribers who come and go while others publish: what happens, played on a real service, and what each must have got."""

import random
from itertools import count
from typing import Any

from hypothesis import strategies as st

from ..service import Service, eventually
from .subscribers import TRANSPORTS, Subscriber, publish

numbers = count()


def number(id: str) -> int:
    return int(id.partition("-")[2])


def assert_exact(subscriber: Subscriber, accepted: dict[str, Any]) -> None:
    """All that was accepted after the id at which it began, once, in order, and nothing that was not published."""
    got = [id for id, _ in subscriber.got]
    expected = sorted((id for id in accepted if number(id) > number(subscriber.first)), key=number)
    assert subscriber.resets == 0
    assert [id for id in got if id in accepted] == expected
    assert got == sorted(set(got), key=number)
    assert all(data == accepted[id] for id, data in subscriber.got if id in accepted)


Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["poll", "events", "socket"]), st.just(0)),  # somebody joins
        st.tuples(st.sampled_from(["cut", "leave", "return"]), st.integers(0, 9)),
        st.tuples(st.just("publish"), st.integers(1, 20)),
    ),
    min_size=5,
    max_size=25,
)


def play(service: Service, steps: list[Step]) -> None:
    """Join, lose the connection, leave, come back with the last id and publish, as told; everybody must have got all."""
    channel = f"play-{next(numbers)}"
    accepted: dict[str, Any] = {}
    present: list[Subscriber] = []
    absent: list[Subscriber] = []
    try:
        for what, amount in steps:
            if what in TRANSPORTS:
                present.append(TRANSPORTS[what](service, channel).begin())
            elif what == "publish":
                for _ in range(amount):
                    data = {"n": len(accepted), "text": "é\n\U0001f600"}
                    accepted[publish(service, channel, data).accepted()] = data
            elif what == "return" and absent:
                gone = absent.pop(amount % len(absent))
                back = random.Random(amount).choice(list(TRANSPORTS.values()))(service, channel, gone.last)
                back.first, back.got = gone.first, gone.got
                back.start()
                present.append(back)
            elif what in ("cut", "leave") and present:
                chosen = present[amount % len(present)]
                chosen.cut()
                if what == "leave":
                    present.remove(chosen)
                    chosen.stop()
                    absent.append(chosen)
        newest = max(map(number, accepted), default=0)
        eventually(lambda: all(number(one.last) >= newest for one in present), message=lambda: service.log)
    finally:
        for one in present:
            one.stop()
    for one in present:
        assert_exact(one, accepted)
    for one in absent:
        assert_exact(one, {id: data for id, data in accepted.items() if number(id) <= number(one.last)})
