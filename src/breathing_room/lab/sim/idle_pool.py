"""People of whose polls it is known that they change nothing.

Theory of operation
-------------------
Somebody who is not asked, and will read again that the rate is at most their ticket, only counts as a poll; and so does somebody who is
asked, was heard, and will read again that the rate is above it. Such a person sleeps: a row here, with the time of the next poll
and the distance between two. Polls that passed meanwhile are made up for by one: it leaves a ``Poller`` as the others would have, and the
others are counted.

Whoever has not come yet, or came and was never asked, has no ``Poller`` at all until one is needed.

Polls have one effect on others: the first one after a copy at the edge has aged has it fetched anew. So for every copy the earliest such poll
of all idle_pool is sought.
"""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from breathing_room.core.deadlines import NO_DEADLINE
from breathing_room.lab.sim.visitors import Newcomers

VisitorT = TypeVar("VisitorT")


class IdlePool(Generic[VisitorT]):
    """Rows of people, a column each; a person who has been made of a row is of the type that the pool is of."""

    def __init__(self) -> None:
        self.number = np.zeros(0, np.int64)
        self.ticket = np.zeros(0)
        self.epoch = np.zeros(0, np.int64)
        self.poll_at_ms = np.zeros(0, np.int64)
        self.comes_ms = np.zeros(0, np.int64)
        self.period_ms = np.ones(0, np.int64)
        self.departs_ms = np.zeros(0, np.int64)
        self.asked = np.zeros(0, np.bool_)
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
        """Put down people who are to come; return their rows."""
        while len(self._free) < len(number):
            self._grow()
        rows = [self._free.pop() for _ in range(len(number))]
        self.number[rows] = number
        self.ticket[rows] = ticket
        self.epoch[rows] = epoch
        self.poll_at_ms[rows] = self.comes_ms[rows] = new.arrives_ms
        self.period_ms[rows] = period_ms
        self.departs_ms[rows] = new.departs_ms
        self.asked[rows] = False
        return rows

    def free(self, row: int) -> None:
        """Somebody has gone."""
        self.poll_at_ms[row] = NO_DEADLINE
        self.departs_ms[row] = NO_DEADLINE
        self.persons[row] = None
        self._free.append(row)

    def gone(self, now_ms: int) -> NDArray[np.int64]:
        """Find those who went before an instant and never had a ``Poller``."""
        rows = np.flatnonzero(self.departs_ms <= now_ms)
        return np.array([row for row in rows if self.persons[row] is None], np.int64)

    def passed(self, row: int, before_ms: int) -> int:
        """Count the polls of a row that lie before an instant."""
        ahead_ms = before_ms - int(self.poll_at_ms[row])
        return -(-ahead_ms // int(self.period_ms[row])) if ahead_ms > 0 else 0

    def concerned(self, former: float, rate: float) -> NDArray[np.int64]:
        """Find those who sleep and are on_progress something new when a rate takes the place of a former one."""
        between = (min(former, rate) <= self.ticket) & (self.ticket < max(former, rate))
        return np.flatnonzero(between & (self.asked == (rate < former)) & (self.poll_at_ms < NO_DEADLINE))

    def first_poll(self, from_ms: int) -> tuple[int, int] | None:
        """Find the earliest poll of all from an instant on: when, and the number of whose it is."""
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
        held = len(self.persons)
        more = max(1_024, held)
        self.number = np.concatenate([self.number, np.zeros(more, np.int64)])
        self.ticket = np.concatenate([self.ticket, np.zeros(more)])
        self.epoch = np.concatenate([self.epoch, np.zeros(more, np.int64)])
        self.poll_at_ms = np.concatenate([self.poll_at_ms, np.full(more, NO_DEADLINE)])
        self.comes_ms = np.concatenate([self.comes_ms, np.zeros(more, np.int64)])
        self.period_ms = np.concatenate([self.period_ms, np.ones(more, np.int64)])
        self.departs_ms = np.concatenate([self.departs_ms, np.full(more, NO_DEADLINE)])
        self.asked = np.concatenate([self.asked, np.zeros(more, np.bool_)])
        self.persons += [None] * more
        self._free += range(held + more - 1, held - 1, -1)
