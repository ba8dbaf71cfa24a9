"""Many deadlines of one length, at O(1) each.

Deadlines of one length end in the order in which they began, so a dict that keeps its order is a queue from which
anything can be taken out.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Timeouts(Generic[Item]):
    """Items, each to be handed back ``length_ms`` after it was put in, unless it is taken out before."""

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self._ends_at_ms: dict[Item, int] = {}

    def __len__(self) -> int:
        return len(self._ends_at_ms)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._ends_at_ms)

    @property
    def next_at_ms(self) -> int | None:
        """When the first of them ends, None while there is none."""
        return next(iter(self._ends_at_ms.values()), None)

    def start(self, item: Item, now_ms: int) -> None:
        """Begin anew with an item."""
        self._ends_at_ms.pop(item, None)
        self._ends_at_ms[item] = now_ms + self.length_ms

    def stop(self, item: Item) -> None:
        """Forget an item; it need not be there."""
        self._ends_at_ms.pop(item, None)

    def ended(self, now_ms: int) -> list[Item]:
        """Take out every item whose time is over, the oldest first."""
        over: list[Item] = []
        for item, ends_at_ms in self._ends_at_ms.items():
            if ends_at_ms > now_ms:
                break
            over.append(item)
        for item in over:
            del self._ends_at_ms[item]
        return over
