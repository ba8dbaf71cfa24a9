"""Visitor ids of a run, and their tickets by the million.

``core/tickets.py`` defines tickets; here they are computed over arrays. An id is sixteen letters that are
the run's and six that are the visitor's number, so that nearly all of the hash is computed once for all.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from breathing_room.core.tickets import TICKETS, ticket

LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PLACES: Final = 6
BLOCK: Final = 64**3
"""The numbers in a block: a quarter of a million, which fits a processor's cache."""

_CODES: Final = np.frombuffer(LETTERS.encode(), dtype=np.uint8).astype(np.uint32)


def _mix(value: NDArray[np.uint32]) -> NDArray[np.uint32]:
    value = value ^ value >> np.uint32(16)
    value = value * np.uint32(0x85EB_CA6B)
    value = value ^ value >> np.uint32(13)
    value = value * np.uint32(0xC2B2_AE35)
    return value ^ value >> np.uint32(16)


class Ids:
    """The ids of a run, in order.

    Args:
        room: The room's name.
        rng: Draws the letters that all ids share.
        below: Only ids whose ticket lies below it are returned; 1 for all.
    """

    def __init__(self, room: str, rng: np.random.Generator, *, below: float = 1.0) -> None:
        self._room = room
        self._below = below
        self._common = "".join(LETTERS[index] for index in rng.integers(64, size=16))
        self._next = 0
        self._numbers, self._tickets = np.empty(0, np.int64), np.empty(0)
        self._taken = 0
        self._epoch: int | None = None

    def visitor(self, number: int) -> str:
        """Return the visitor id of a number."""
        return self._common + "".join(LETTERS[number >> 6 * place & 63] for place in reversed(range(PLACES)))

    def tickets(self, numbers: NDArray[np.int64], epoch: int) -> NDArray[np.float64]:
        """Compute the tickets of some visitors."""
        state = np.full(numbers.shape, self._start(epoch), dtype=np.uint32)
        for place in reversed(range(PLACES)):
            state = _mix(state ^ _CODES[numbers >> 6 * place & 63])
        return state / TICKETS

    def draw(self, count: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the next ids.

        Returns:
            Their numbers, and their tickets in an epoch.
        """
        if self._epoch != epoch:
            self._epoch = epoch
            self._numbers, self._tickets = np.empty(0, np.int64), np.empty(0)
            self._taken = 0
        while len(self._numbers) - self._taken < count:
            numbers, tickets = self._next_block(epoch)
            self._numbers = np.concatenate([self._numbers[self._taken :], numbers])
            self._tickets = np.concatenate([self._tickets[self._taken :], tickets])
            self._taken = 0
        drawn = slice(self._taken, self._taken + count)
        self._taken += count
        return self._numbers[drawn], self._tickets[drawn]

    def redraw(self, numbers: NDArray[np.int64], epoch: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return tickets of another epoch for visitors who have not arrived; other visitors, where only some
        are returned.
        """
        return (
            (numbers, self.tickets(numbers, epoch)) if self._below == 1.0 else self.draw(len(numbers), epoch)
        )

    def _next_block(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Compute the tickets of the next block."""
        first, self._next = self._next, self._next + BLOCK
        state = np.array([self._start(epoch)], dtype=np.uint32)
        for place in reversed(range(3, PLACES)):
            state = _mix(state ^ _CODES[first >> 6 * place & 63])
        for _ in range(3):
            state = _mix(state[:, None] ^ _CODES[None, :]).ravel()
        kept = np.flatnonzero(state < self._below * TICKETS)
        return first + kept, state[kept] / TICKETS

    def _start(self, epoch: int) -> int:
        """The state of the hash before a visitor's own letters."""
        return round(ticket(self._common, room=self._room, epoch=epoch) * TICKETS)
