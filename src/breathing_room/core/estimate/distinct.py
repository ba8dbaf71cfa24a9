"""Distinct: count different visitors in 4 KB, without a list of them.

Intuition: among many random numbers the longest run of leading zeros grows with their number: a run of k
zeros suggests about ``2**k`` different ones. A repeated number makes no run longer, so a visitor who comes
back changes nothing.

Model: HyperLogLog. The first ``P`` bits of a key choose one of ``m = 2**P`` registers, and the register keeps
the longest run of zeros that the other bits of any key began with, plus one. Keys are uniform: they are keyed
hashes already, of at least ``BITS`` bits. Sketches merge by taking the larger of each pair of registers,
which is the sketch of the union. Nothing can be removed from a sketch, so the visitors of a day need a new
one each day.

Error: 1.04 / sqrt(m) relative for many visitors, and that of counting occupied registers for few, ``sqrt(m
(exp(t) - t - 1)) / n`` with ``t = n / m``; whichever is less. m = 4,096 gives 1.6 % at most. An interval
never begins below the number of occupied registers: at least one visitor occupied each.

Source: Flajolet, Fusy, Gandouet & Meunier, AOFA (2007) 137; the estimator is Ertl's, arXiv:1702.01284,
algorithm 6; few visitors are Whang, Vander-Zanden & Taylor, ACM TODS 15 (1990) 208.
"""

from math import expm1, inf, log, sqrt
from typing import Final, Self

from breathing_room.core.errors import HostError
from breathing_room.core.estimate import EMPTY, Estimate, Z

P: Final = 12
M: Final = 1 << P
BITS: Final = 64

Q: Final = BITS - P
"""The bits in which zeros are counted; a register holds 0 to ``Q + 1``."""

ALPHA: Final = 1 / (2 * log(2))


class Sketch:
    """A HyperLogLog sketch of a set of visitors.

    Args:
        registers: Those of another sketch, as ``encode`` returned them; None for an empty one.

    Raises:
        HostError: They are not the registers of a sketch.
    """

    __slots__ = ("_registers",)

    def __init__(self, registers: bytes | None = None) -> None:
        if registers is not None and (len(registers) != M or max(registers) > Q + 1):
            raise HostError("a damaged sketch")
        self._registers = bytearray(M if registers is None else registers)

    def add(self, key: bytes) -> None:
        """Add a visitor.

        Args:
            key: A uniform hash of the visitor, of which the first 8 bytes are used.
        """
        bits = int.from_bytes(key[: BITS // 8], "big")
        index = bits >> Q
        rank = Q + 1 - (bits & ((1 << Q) - 1)).bit_length()
        self._registers[index] = max(self._registers[index], rank)

    def merge(self, other: Self) -> None:
        """Add the visitors of another sketch."""
        self._registers[:] = map(max, self._registers, other._registers)

    def encode(self) -> bytes:
        """Encode it as one value for a store: one byte a register."""
        return bytes(self._registers)

    def estimate(self) -> Estimate:
        """Estimate the number of distinct visitors added.

        Returns:
            Visitors, with a 95 % interval. Exactly zero when empty.
        """
        occupied = M - self._registers.count(0)
        if not occupied:
            return EMPTY
        count = max(_ertl(self._registers), float(occupied))
        half_width = Z * count * standard_error(count)
        return Estimate(count, max(count - half_width, float(occupied)), count + half_width)


def standard_error(count: float) -> float:
    """Return the relative standard error of an estimate of ``count`` visitors, above 0."""
    load = count / M
    few = sqrt(M * (expm1(load) - load)) / count if load < 4 else inf
    return min(1.04 / sqrt(M), few)


def _ertl(registers: bytearray) -> float:
    """Estimate from all registers at once, without a bias at either end of the range."""
    z = M * _tau(1 - registers.count(Q + 1) / M)
    for rank in range(Q, 0, -1):
        z = (z + registers.count(rank)) / 2
    return ALPHA * M * M / (z + M * _sigma(registers.count(0) / M))


def _sigma(x: float) -> float:
    """Sum ``x + x**2 + 2 x**4 + 4 x**8 + …``, for x in [0, 1)."""
    total, term, weight = x, x, 1.0
    while True:
        term *= term
        before, total = total, total + term * weight
        if total == before:
            return total
        weight *= 2


def _tau(x: float) -> float:
    """Sum ``(1 - x - (1 - sqrt x)**2 / 2 - (1 - x**(1/4))**2 / 4 - …) / 3``, for x in [0, 1]."""
    if x in {0.0, 1.0}:
        return 0.0
    total, weight = 1 - x, 1.0
    while True:
        x = sqrt(x)
        weight /= 2
        before, total = total, total - (1 - x) ** 2 * weight
        if total == before:
            return total / 3
