"""The sketch of distinct visitors, against theory, an exact set, and its own properties."""

import random
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.errors import HostError
from breathing_room.core.estimate import EMPTY
from breathing_room.core.estimate.distinct import M, P, Q, Sketch, standard_error

keys = st.binary(min_size=16, max_size=16)


def sketch_of(visitors: list[bytes]) -> Sketch:
    """Return a sketch of these visitors."""
    sketch = Sketch()
    for visitor in visitors:
        sketch.add(visitor)
    return sketch


def drawn(visitors: int, chance: np.random.Generator) -> Sketch:
    """Return the sketch of so many random visitors, computed at once."""
    bits = chance.integers(0, 1 << 64, size=visitors, dtype=np.uint64)
    rest = bits & np.uint64((1 << Q) - 1)
    # The exponent of a float is its bit length: 52 bits fit one exactly.
    ranks = Q + 1 - np.frexp(rest.astype(np.float64))[1]
    registers = np.zeros(M, dtype=np.uint8)
    np.maximum.at(registers, (bits >> np.uint64(Q)).astype(np.int64), ranks.astype(np.uint8))
    return Sketch(registers.tobytes())


def test_an_empty_sketch_is_exactly_0() -> None:
    """The estimate of an empty sketch is exactly 0."""
    assert Sketch().estimate() == EMPTY


def test_registers_computed_by_hand() -> None:
    """The first bits choose the register, and the zeros after them its value; the longest run stays."""
    sketch = sketch_of([bytes.fromhex("0038000000000000"), bytes.fromhex("ffffffffffffffff"), bytes(8)])
    registers = sketch.encode()
    assert (registers[0], registers[3], registers[M - 1]) == (Q + 1, 1, 1)
    assert sum(registers) == Q + 3

    sketch.add(bytes.fromhex("0030800000000000"))
    sketch.add(bytes.fromhex("0038000000000000"))
    assert sketch.encode()[3] == 5


def test_many_at_once_are_as_one_by_one() -> None:
    """A sketch drawn in bulk equals that of adding the same visitors."""
    bits = np.random.default_rng(3).integers(0, 1 << 64, size=500, dtype=np.uint64)
    assert sketch_of([int(one).to_bytes(8, "big") for one in bits]).encode() == (
        drawn(500, np.random.default_rng(3)).encode()
    )


@pytest.mark.parametrize(
    ("visitors", "runs"),
    [(10, 400), (100, 400), (1_000, 400), (10_000, 300), (100_000, 100), (1_000_000, 12)],
)
def test_mean_error_and_interval_are_those_of_theory(visitors: int, runs: int) -> None:
    """From 10 to 1,000,000 visitors the estimate has no bias and the predicted spread, and 95 % of intervals
    cover the truth.
    """
    chance = np.random.default_rng(visitors)
    estimates = [drawn(visitors, chance).estimate() for _ in range(runs)]
    counts = np.array([estimate.count for estimate in estimates]) / visitors
    predicted = standard_error(visitors)

    assert abs(counts.mean() - 1) < 4 * predicted / sqrt(runs)
    # A standard deviation from n runs is itself off by 1 / sqrt(2 n).
    assert abs(counts.std() / predicted - 1) < 4 / sqrt(2 * runs)
    coverage = sum(estimate.low <= visitors <= estimate.high for estimate in estimates) / runs
    assert coverage > 0.95 - 4 * sqrt(0.95 * 0.05 / runs)


def test_the_error_is_at_most_that_of_theory() -> None:
    """The relative error grows with the visitors up to 1.04 / sqrt(m), 1.6 %, and no further."""
    errors = [standard_error(10**power) for power in range(10)]
    assert errors == sorted(errors)
    assert errors[-1] == 1.04 / sqrt(2**P) == 0.01625


@given(st.lists(keys), st.lists(keys))
def test_a_merged_sketch_is_that_of_both(here: list[bytes], there: list[bytes]) -> None:
    """A merged sketch is the sketch of all visitors of both, in any order and with any repeats."""
    both = sketch_of(here)
    both.merge(sketch_of(there))
    visitors = [*there, *here, *there]
    random.Random(1).shuffle(visitors)
    assert both.encode() == sketch_of(visitors).encode()


@given(st.lists(keys, max_size=300))
def test_an_interval_contains_its_count_and_starts_at_the_occupied_registers(visitors: list[bytes]) -> None:
    """The lower end is at least the number of occupied registers, and the interval contains the count."""
    sketch = sketch_of(visitors)
    estimate = sketch.estimate()
    occupied = sum(register > 0 for register in sketch.encode())
    assert occupied <= estimate.low <= estimate.count <= estimate.high


@given(st.lists(keys))
def test_a_sketch_is_decoded_as_it_was_encoded(visitors: list[bytes]) -> None:
    """A decoded sketch has the estimate of the encoded one."""
    sketch = sketch_of(visitors)
    assert Sketch(sketch.encode()).estimate() == sketch.estimate()


def test_full_registers_are_estimated_too() -> None:
    """A sketch with every register at its maximum has an estimate."""
    assert Sketch(bytes([Q] * M)).estimate().count > 1e15
    assert Sketch(bytes([Q + 1] * (M - 1) + [1])).estimate().count > 0


@pytest.mark.parametrize("registers", [b"", bytes(M - 1), bytes(M + 1), bytes([Q + 2] * M)])
def test_other_registers_are_rejected(registers: bytes) -> None:
    """Too few or too many registers, or a value above the maximum, raise HostError."""
    with pytest.raises(HostError):
        Sketch(registers)
