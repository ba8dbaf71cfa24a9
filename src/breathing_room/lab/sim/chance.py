"""Random numbers of single visitors: the same draws in any order of visitors, one by one or as an array.

The n-th draw of a visitor is a hash of (seed, stream, visitor, n). So a visitor who is needed later, or
never, does not shift the draws of others; and the first draw of a million visitors is one expression over an
array.

Source: SplitMix64 (Steele, Lea & Flood, OOPSLA 2014): a counter in steps of the golden ratio, and a mixing of
64 bits.
"""

from enum import IntEnum
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

MASK: Final = (1 << 64) - 1
GOLDEN: Final = 0x9E37_79B9_7F4A_7C15
ONE: Final = 2.0**-53


class Stream(IntEnum):
    """The purposes of draws; each has a stream of its own."""

    KIND = 0
    POLLER = 1
    MOODS = 2
    NORMAL_CLOSURE = 3
    NETWORK = 4
    LEGACY = 5


def mix(value: int) -> int:
    """Mix 64 bits."""
    value = (value ^ value >> 30) * 0xBF58_476D_1CE4_E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D0_49BB_1331_11EB & MASK
    return value ^ value >> 31


def stream_key(seed: int, stream: Stream) -> int:
    """Make the key of a stream in a run."""
    return mix(mix(seed * GOLDEN + 1 & MASK) + stream & MASK)


class VisitorRandom:
    """The random numbers of one visitor in one stream.

    Args:
        key: The key of the stream.
        visitor: The visitor's number.
    """

    __slots__ = ("_state",)

    def __init__(self, key: int, visitor: int) -> None:
        self._state = mix(key + visitor * GOLDEN & MASK)

    def random(self) -> float:
        """Draw from [0, 1)."""
        self._state = self._state + GOLDEN & MASK
        return (mix(self._state) >> 11) * ONE

    def uniform(self, a: float, b: float, /) -> float:
        """Draw a number from a to b."""
        return a + (b - a) * self.random()

    def exponential(self, mean: float) -> float:
        """Draw an exponential time."""
        return -log(1.0 - self.random()) * mean


def first_draws(key: int, visitors: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what ``VisitorRandom(key, visitor).random()`` gives first, for many visitors at once."""
    golden = np.uint64(GOLDEN)
    state = _mix_all(np.uint64(key) + visitors.astype(np.uint64) * golden)
    return (_mix_all(state + golden) >> np.uint64(11)).astype(np.float64) * ONE


def _mix_all(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ value >> np.uint64(30)) * np.uint64(0xBF58_476D_1CE4_E5B9)
    value = (value ^ value >> np.uint64(27)) * np.uint64(0x94D0_49BB_1331_11EB)
    return value ^ value >> np.uint64(31)
