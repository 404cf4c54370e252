"""A channel as one worker sees it: its latest messages and its subscribers."""

import re
from collections import deque
from collections.abc import Sequence
from itertools import islice
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from .message import Frame, Position

if TYPE_CHECKING:
    from .subscription import Subscription

NAME = re.compile(r"[A-Za-z0-9._:-]{1,100}")


class Channel:
    """The latest messages, numbered without gaps, up to `position`.

    Subscribers have no queues: each reads on from its own position. So there is no gap between history and live messages,
    and a waiting subscriber costs next to nothing.
    """

    def __init__(self, history: int, position: Position | None = None) -> None:
        self.position = position  # None: not yet known
        self.history = deque[Frame](maxlen=history)
        self.more = False  # Redis has more that is still to be read
        self.batch = 0  # how many messages arrived together most recently
        self.subscribers: set[Subscription] = set()
        self.unsure: set[Subscription] = set()  # may be ahead of this worker, until Redis has answered
        self.changed = self.used = monotonic()
        self.ask = inf  # when to ask Redis again, if there are subscribers

    def extend(self, messages: Sequence[Frame], position: Position) -> None:
        """Append what was published after `self.position`, or what is left of it, and move to `position`."""
        if self.position != Position(position.epoch, position.number - len(messages)):
            self.history.clear()  # there is a gap that nobody may read across
        self.history.extend(messages)
        self.position = position
        self.batch = len(messages) + (self.batch if self.more else 0)
        self.changed = self.used = monotonic()
        for subscriber in self.subscribers:
            subscriber.wake()

    def after(self, position: Position) -> Sequence[Frame] | None:
        """The messages after a position; None if some are missing or the position is unknown."""
        assert self.position
        missing = self.position.number - position.number
        if position.epoch != self.position.epoch or not 0 <= missing <= len(self.history):
            return None
        if missing == 1:
            return (self.history[-1],)
        return list(islice(reversed(self.history), missing))[::-1]


def check_name(name: str) -> None:
    """Raise ValueError for a name that nobody could subscribe to."""
    if not NAME.fullmatch(name):
        raise ValueError("channel: a name is 1 to 100 letters, digits, '.', '_', ':' or '-'")
