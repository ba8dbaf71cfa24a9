"""Deadlines that are moved far more often than they are met, at O(1) each.

A lease is renewed by every heartbeat and almost never ends. So a renewal moves nothing here: an item stays
where it was put. When that time comes its owner checks whether the lease has ended, and if not puts the item
at its end. Times lie on a grid of ``TICK_MS``, so there are at most lease / tick different ones, however many
items there are.
"""

import heapq
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

TICK_MS: Final = 50
"""Deadlines fall on multiples of this, so that one timer serves all items that are due together."""

NO_DEADLINE: Final = 1 << 62
"""Later than any time: the deadline of what has none."""


class Due(Protocol):
    """An item of a ``DeadlineQueue``. ``due_at_ms`` is written by the queue; NO_DEADLINE removes the item."""

    due_at_ms: int


Item = TypeVar("Item", bound=Due)
Key = TypeVar("Key")


def quantize(at_ms: int) -> int:
    """Return the first time of the grid that is not before ``at_ms``."""
    return -(-at_ms // TICK_MS) * TICK_MS


class DeadlineQueue(Generic[Item]):
    """Items by the time at which their owner should check them."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[Item]] = {}
        self._times: list[int] = []

    @property
    def next_at_ms(self) -> int | None:
        """The earliest time of the queue. Its items may have moved since: an early timer is harmless."""
        return self._times[0] if self._times else None

    def schedule_by(self, item: Item, at_ms: int) -> None:
        """Schedule an item at ``at_ms``, a time of the grid, unless it is scheduled earlier."""
        if item.due_at_ms > at_ms:
            self.put(item, at_ms)

    def put(self, item: Item, at_ms: int) -> None:
        """Schedule an item at ``at_ms``, a time of the grid, and at no other time."""
        item.due_at_ms = at_ms
        waiting = self._waiting.get(at_ms)
        if waiting is None:
            self._waiting[at_ms] = [item]
            heapq.heappush(self._times, at_ms)
        else:
            waiting.append(item)

    def pop_due(self, now_ms: int) -> Iterator[tuple[Item, int]]:
        """Remove and yield the due items, each with its time; an item may be put back meanwhile."""
        while self._times and self._times[0] <= now_ms:
            at_ms = heapq.heappop(self._times)
            for item in self._waiting.pop(at_ms):
                if item.due_at_ms == at_ms:  # otherwise removed, or moved to an earlier time since
                    yield item, at_ms


class FixedTimeouts(Generic[Key]):
    """Timeouts of one length, at O(1) each.

    Deadlines of one length end in the order in which they began, so a dict that keeps its order is a queue
    from which any item can be removed.
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
        """When the first timeout ends, None while there is none."""
        return next(iter(self._ends_at_ms.values()), None)

    def start(self, item: Key, now_ms: int) -> None:
        """Start the timeout of an item, or restart it."""
        self._ends_at_ms.pop(item, None)
        self._ends_at_ms[item] = now_ms + self.length_ms

    def stop(self, item: Key) -> None:
        """Remove an item, if it is there."""
        self._ends_at_ms.pop(item, None)

    def ended(self, now_ms: int) -> list[Key]:
        """Remove and return the items whose timeouts have ended, the oldest first."""
        over: list[Key] = []
        for item, ends_at_ms in self._ends_at_ms.items():
            if ends_at_ms > now_ms:
                break
            over.append(item)
        for item in over:
            del self._ends_at_ms[item]
        return over
