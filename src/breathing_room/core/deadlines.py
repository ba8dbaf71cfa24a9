"""Deadlines that are moved far more often than they are met, at O(1) each.

A lease is renewed by every sign of life and almost never ends. So a renewal does not move anything here: an item stays
where it was put, and when that time comes its owner looks whether the lease has ended, and if not puts it forward to
its end. Times lie on a grid of ``TICK_MS``, so there are at most lease / tick different ones, whatever the number of items.
"""

import heapq
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

TICK_MS: Final = 50
"""Deadlines fall on multiples of this, so that one timer serves all who are due together."""

NO_DEADLINE: Final = 1 << 62
"""Later than any time: the deadline of what has none."""


class Due(Protocol):
    """What can stand on an agenda. ``due_at_ms`` is the agenda's to write; NO_DEADLINE removes the item."""

    due_at_ms: int


Item = TypeVar("Item", bound=Due)
Key = TypeVar("Key")


def quantize(at_ms: int) -> int:
    """Find the first instant of the grid that is not before ``at_ms``."""
    return -(-at_ms // TICK_MS) * TICK_MS


class DeadlineQueue(Generic[Item]):
    """Items, each with the time at which somebody should look after it."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[Item]] = {}
        self._times: list[int] = []

    @property
    def next_at_ms(self) -> int | None:
        """The earliest time on it. Nobody may be waiting there any more: to come then is harmless."""
        return self._times[0] if self._times else None

    def schedule_by(self, item: Item, at_ms: int) -> None:
        """See to it that an item is looked after at ``at_ms``, of the grid, or before."""
        if item.due_at_ms > at_ms:
            self.put(item, at_ms)

    def put(self, item: Item, at_ms: int) -> None:
        """Have an item looked after at ``at_ms``, of the grid, and at no other time."""
        item.due_at_ms = at_ms
        waiting = self._waiting.get(at_ms)
        if waiting is None:
            self._waiting[at_ms] = [item]
            heapq.heappush(self._times, at_ms)
        else:
            waiting.append(item)

    def pop_due(self, now_ms: int) -> Iterator[tuple[Item, int]]:
        """Take out whatever is due, each with its time; it may be put back while this goes on."""
        while self._times and self._times[0] <= now_ms:
            at_ms = heapq.heappop(self._times)
            for item in self._waiting.pop(at_ms):
                if item.due_at_ms == at_ms:  # otherwise taken off, or moved to an earlier place since
                    yield item, at_ms


class FixedTimeouts(Generic[Key]):
    """Items, each to be handed back ``length_ms`` after it was put in, unless it is taken out before, at O(1) each.

    Deadlines of one length end in the order in which they began, so a dict that keeps its order is a queue from which
    anything can be taken out.
    """

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self._ends_at_ms: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._ends_at_ms)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._ends_at_ms)

    @property
    def next_at_ms(self) -> int | None:
        """When the first of them ends, None while there is none."""
        return next(iter(self._ends_at_ms.values()), None)

    def start(self, item: Key, now_ms: int) -> None:
        """Begin anew with an item."""
        self._ends_at_ms.pop(item, None)
        self._ends_at_ms[item] = now_ms + self.length_ms

    def stop(self, item: Key) -> None:
        """Forget an item; it need not be there."""
        self._ends_at_ms.pop(item, None)

    def ended(self, now_ms: int) -> list[Key]:
        """Take out every item whose time is over, the oldest first."""
        over: list[Key] = []
        for item, ends_at_ms in self._ends_at_ms.items():
            if ends_at_ms > now_ms:
                break
            over.append(item)
        for item in over:
            del self._ends_at_ms[item]
        return over
