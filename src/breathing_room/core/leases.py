"""Leases in columns: their form in a snapshot, and when they are sent to another machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from breathing_room.core.identity import KEY_BYTES, VisitorKey

SUSPECT: Final = 1
"""Flag of a suspect lease: its connection broke, or it is left from before a restart, and nothing was
received since.
"""

RESTORED: Final = 2
"""Flag of a suspect lease that is left from before a restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """Leases in columns.

    Attributes:
        keys: The visitors' keys, one after another.
        mood_of: One byte each: an index into the declared moods; one past the last: unspoken.
        flags: One byte each, of SUSPECT and RESTORED.
        left_ms: The time left of each lease; of expired ones, how long ago they expired.
        tickets: Each one's ticket times TICKETS of ``tickets.py``; empty for the leases of connections.
    """

    keys: bytes = b""
    mood_of: bytes = b""
    flags: bytes = b""
    left_ms: tuple[int, ...] = ()
    tickets: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.mood_of)

    def __iter__(self) -> Iterator[tuple[VisitorKey, int, int, int]]:
        """Yield the key, mood, flags and time left of each lease."""
        for index, (mood, flags, left_ms) in enumerate(
            zip(self.mood_of, self.flags, self.left_ms, strict=True)
        ):
            yield VisitorKey(self.keys[index * KEY_BYTES : (index + 1) * KEY_BYTES]), mood, flags, left_ms


NO_LEASES: Final = Leases()
