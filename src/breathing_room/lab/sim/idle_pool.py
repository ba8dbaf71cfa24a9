"""Visitors whose polls are known to change nothing.

Theory of operation
-------------------
A visitor who is not sampled, and will read again that the rate is at most their ticket, only counts as a
poll; and so does one who is sampled, was acknowledged, and will read again that the rate is above it. Such a
visitor is idle: a row here, with the time of the next poll and the interval between two. Polls that passed
meanwhile are replaced by one: it leaves a ``Poller`` in the same state, and the others are counted.

A visitor who has not arrived, or was never sampled, has no ``Poller`` at all until one is needed.

Polls have one effect on others: the first one after a copy at the edge has aged makes the edge fetch another.
So for every copy the earliest such poll of all idle visitors is sought.
"""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from breathing_room.core.deadlines import NO_DEADLINE
from breathing_room.lab.sim.visitors import Newcomers

VisitorT = TypeVar("VisitorT")


class IdlePool(Generic[VisitorT]):
    """Idle visitors in columns, with a row for each; ``VisitorT`` is the type of an activated visitor."""

    def __init__(self) -> None:
        self.number = np.zeros(0, np.int64)
        self.ticket = np.zeros(0)
        self.epoch = np.zeros(0, np.int64)
        self.poll_at_ms = np.zeros(0, np.int64)
        self.comes_ms = np.zeros(0, np.int64)
        self.period_ms = np.ones(0, np.int64)
        self.departs_ms = np.zeros(0, np.int64)
        self.sampled = np.zeros(0, np.bool_)
        self.persons: list[VisitorT | None] = []
        self._free: list[int] = []

    def add(
        self,
        number: NDArray[np.int64],
        ticket: NDArray[np.float64],
        new: Newcomers,
        period_ms: NDArray[np.int64],
        epoch: int,
    ) -> list[int]:
        """Add visitors who are to arrive; return their rows."""
        while len(self._free) < len(number):
            self._grow()
        rows = [self._free.pop() for _ in range(len(number))]
        self.number[rows] = number
        self.ticket[rows] = ticket
        self.epoch[rows] = epoch
        self.poll_at_ms[rows] = self.comes_ms[rows] = new.arrives_ms
        self.period_ms[rows] = period_ms
        self.departs_ms[rows] = new.departs_ms
        self.sampled[rows] = False
        return rows

    def free(self, row: int) -> None:
        """Free the row of a visitor who has left."""
        self.poll_at_ms[row] = NO_DEADLINE
        self.departs_ms[row] = NO_DEADLINE
        self.persons[row] = None
        self._free.append(row)

    def departed(self, now_ms: int) -> NDArray[np.int64]:
        """Return the rows of visitors who left before an instant and never had a ``Poller``."""
        rows = np.flatnonzero(self.departs_ms <= now_ms)
        return np.array([row for row in rows if self.persons[row] is None], np.int64)

    def passed(self, row: int, before_ms: int) -> int:
        """Count the polls of a row that lie before an instant."""
        ahead_ms = before_ms - int(self.poll_at_ms[row])
        return -(-ahead_ms // int(self.period_ms[row])) if ahead_ms > 0 else 0

    def concerned(self, former: float, rate: float) -> NDArray[np.int64]:
        """Return the idle rows that a change of the rate concerns."""
        between = (min(former, rate) <= self.ticket) & (self.ticket < max(former, rate))
        return np.flatnonzero(between & (self.sampled == (rate < former)) & (self.poll_at_ms < NO_DEADLINE))

    def first_poll(self, from_ms: int) -> tuple[int, int] | None:
        """Return the time and the visitor's number of the earliest poll from an instant on."""
        polls = self.poll_at_ms < NO_DEADLINE
        if not polls.any():
            return None
        at_ms = (
            self.poll_at_ms + -(-np.maximum(from_ms - self.poll_at_ms, 0) // self.period_ms) * self.period_ms
        )
        at_ms = np.where(polls & (at_ms < self.departs_ms), at_ms, NO_DEADLINE)
        earliest = int(at_ms.min())
        return (earliest, int(self.number[at_ms == earliest].min())) if earliest < NO_DEADLINE else None

    def _grow(self) -> None:
        size = len(self.persons)
        more = max(1_024, size)
        self.number = np.concatenate([self.number, np.zeros(more, np.int64)])
        self.ticket = np.concatenate([self.ticket, np.zeros(more)])
        self.epoch = np.concatenate([self.epoch, np.zeros(more, np.int64)])
        self.poll_at_ms = np.concatenate([self.poll_at_ms, np.full(more, NO_DEADLINE)])
        self.comes_ms = np.concatenate([self.comes_ms, np.zeros(more, np.int64)])
        self.period_ms = np.concatenate([self.period_ms, np.ones(more, np.int64)])
        self.departs_ms = np.concatenate([self.departs_ms, np.full(more, NO_DEADLINE)])
        self.sampled = np.concatenate([self.sampled, np.zeros(more, np.bool_)])
        self.persons += [None] * more
        self._free += range(size + more - 1, size - 1, -1)
