"""A clock that jumps from one event to the next."""

import heapq
from collections.abc import Callable
from typing import Final, TypeAlias

Action: TypeAlias = Callable[[int], None]

FIRST: Final = -1
LAST: Final = 1 << 62
"""The ranks of actions before and after those of all visitors in an instant."""


class VirtualClock:
    """Actions by time. Those of one instant run by rank, and those of one rank in the order in which they
    were scheduled.

    The rank of a visitor's actions is the visitor's number, so their order is the same in both modes.
    """

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.rank = FIRST
        self._actions: list[tuple[int, int, int, Action]] = []
        self._number = 0

    def at(self, at_ms: int, rank: int, action: Action) -> None:
        """Schedule an action; an instant in the past is now."""
        self._number += 1
        heapq.heappush(self._actions, (max(at_ms, self.now_ms), rank, self._number, action))

    def run(self, until_ms: int) -> None:
        """Run all actions before an instant."""
        actions, pop = self._actions, heapq.heappop
        while actions and actions[0][0] < until_ms:
            self.now_ms, self.rank, _, action = pop(actions)
            action(self.now_ms)
        self.now_ms, self.rank = until_ms, FIRST
