"""A channel as one worker knows it: its newest messages, and who waits for the next."""

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
    """The newest messages, numbered without a gap, up to `position`.

    A subscriber has no queue of its own: it reads on from where it is. So there is no moment between the history and
    what comes live, and a subscriber that waits costs next to nothing.
    """

    def __init__(self, history: int, position: Position | None = None) -> None:
        self.position = position  # None: not known yet
        self.history = deque[Frame](maxlen=history)
        self.more = False  # Redis has more of it, which is still to be read
        self.batch = 0  # how many came at once, last
        self.subscribers: set[Subscription] = set()
        self.unsure: set[Subscription] = set()  # those who may know more than this worker, until Redis has answered
        self.changed = self.used = monotonic()
        self.ask = inf  # when Redis is to be asked again, if anybody is there

    def extend(self, messages: Sequence[Frame], position: Position) -> None:
        """Take what was published after `self.position`, or what is left of it; then the channel is at `position`."""
        if self.position != Position(position.epoch, position.number - len(messages)):
            self.history.clear()  # something is missing: nobody may read across it
        self.history.extend(messages)
        self.position = position
        self.batch = len(messages) + (self.batch if self.more else 0)
        self.changed = self.used = monotonic()
        for subscriber in self.subscribers:
            subscriber.wake()

    def after(self, position: Position) -> Sequence[Frame] | None:
        """The messages after a position; None if they are not all there, or the position is unknown."""
        assert self.position
        missing = self.position.number - position.number
        if position.epoch != self.position.epoch or not 0 <= missing <= len(self.history):
            return None
        if missing == 1:
            return (self.history[-1],)
        return list(islice(reversed(self.history), missing))[::-1]


def check_name(name: str) -> None:
    """Refuse with ValueError what nobody could subscribe to."""
    if not NAME.fullmatch(name):
        raise ValueError("channel: a name is 1 to 100 letters, digits, '.', '_', ':' or '-'")
