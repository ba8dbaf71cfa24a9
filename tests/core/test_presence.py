"""How a count is published: its precision, its label, and small cells."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from breathing_room.core.presence import merge_cells, precision, read_label

widths = st.integers(0, 2_000_000)


def figure(count: int, low: int, high: int, shown: int | None = None) -> int:
    """Return the number in a label, and check that it is the one to show from now on."""
    label, figure = read_label(count, low, high, shown=shown)
    assert figure == int(re.sub(r"[^0-9]", "", label))
    return figure


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [
        (0, 0, 1),
        (7, 7, 1),
        (0, 3, 1),
        (0, 4, 2),
        (10, 19, 2),
        (10, 20, 5),
        (0, 19, 5),
        (0, 20, 10),
        (0, 39, 10),
        (0, 40, 20),
        (0, 100, 50),
        (9_000, 11_000, 1_000),
        (0, 2_000_000, 1_000_000),
    ],
)
def test_precision_at_the_borders(low: int, high: int, step: int) -> None:
    """A count is rounded to the largest of 1, 2, 5, 10, … that is at most half the interval's width."""
    assert precision(low, high) == step


@given(st.integers(0, 10_000_000), widths)
def test_precision_is_the_largest_round_step_that_fits(low: int, width: int) -> None:
    """The precision is the largest round step that is at most half the width, as found by trying all."""
    steps = [factor * 10**power for power in range(8) for factor in (1, 2, 5)]

    assert precision(low, low + width) == max([step for step in steps if step <= width // 2], default=1)


@pytest.mark.parametrize(
    ("count", "low", "high", "text"),
    [
        (0, 0, 0, "0"),
        (12, 12, 12, "12"),
        (12, 9, 12, "12"),
        (1_234, 1_234, 1_234, "1,234"),
        (10_240, 9_270, 11_310, "about 10,000"),
        (247, 200, 290, "about 240"),
        (1_234_567, 1_000_000, 1_500_000, "about 1,200,000"),
        (0, 0, 40, "about 0"),
        (None, 0, None, "unknown"),
        (5, 5, None, "unknown"),
    ],
)
def test_labels(count: int | None, low: int, high: int | None, text: str) -> None:
    """An exact count is a plain number, a rounded one has "about", and an unknown one is "unknown"."""
    assert read_label(count, low, high, shown=None)[0] == text


def test_a_count_above_0_is_never_rounded_to_0() -> None:
    """A count above 0 is not rounded to 0, even if 0 was shown before."""
    assert figure(3, 0, 100) > 0
    assert figure(20, 0, 100, shown=0) > 0


@given(
    st.integers(0, 1_000_000),
    st.integers(0, 1_000_000),
    st.integers(0, 1_000_000),
    st.none() | st.integers(0, 1_000_000),
)
def test_a_label_never_leaves_the_interval(low: int, below: int, above: int, shown: int | None) -> None:
    """The figure lies between low and high, for any figure shown before."""
    count, high = low + below, low + below + above

    assert low <= figure(count, low, high, shown) <= high


def test_five_suspects_are_not_about_six() -> None:
    """A figure is not rounded above high."""
    assert figure(5, 0, 5) <= 5


@given(st.integers(0, 1_000_000), widths, st.none() | st.just(0) | st.integers(0, 1_000_000))
@example(low=0, width=1_000_000, shown=0)
def test_a_label_is_never_finer_than_the_count_is_known(low: int, width: int, shown: int | None) -> None:
    """A figure is a multiple of the precision, unless that would round a count above 0 to 0."""
    count = low + width // 3
    step = precision(low, low + width)

    assert figure(count, low, low + width, shown) % step == 0 or 2 * count < step


@given(st.integers(0, 1_000_000), widths, st.none() | st.integers(0, 1_000_000))
def test_a_label_is_within_three_quarters_of_a_step(low: int, width: int, shown: int | None) -> None:
    """The figure differs from the count by less than three quarters of a step."""
    count = low + width // 2
    step = precision(low, low + width)

    assert 4 * abs(figure(count, low, low + width, shown) - count) < 3 * step


def test_a_label_does_not_jitter_at_a_border() -> None:
    """The label stays while the count varies by half a step, and moves at three quarters of a step."""
    shown, labels = None, []
    for count in (100, 109, 111, 110, 114, 115, 111, 106, 105):
        label, shown = read_label(count, count - 20, count + 20, shown=shown)
        labels.append(label)

    assert labels == ["about 100"] * 5 + ["about 120"] * 3 + ["about 100"]


def test_a_label_takes_a_new_step_at_once() -> None:
    """When the precision grows or shrinks, a figure that is no multiple of the new step is not kept."""
    assert figure(104, 104, 104, shown=100) == 104
    assert figure(104, 84, 124, shown=104) == 100


def test_an_unknown_count_has_no_figure() -> None:
    """An unknown count is labeled "unknown", and drops the figure shown before."""
    assert read_label(None, 0, None, shown=100) == ("unknown", None)


@given(st.integers(0, 100_000), widths, st.none() | st.just(0) | st.integers(0, 100_000))
def test_reading_a_label_twice_gives_the_same(low: int, width: int, shown: int | None) -> None:
    """Reading a label twice gives the same figure."""
    first = read_label(low + width // 3, low, low + width, shown=shown)

    assert read_label(low + width // 3, low, low + width, shown=first[1]) == first


# --- Small cells ------------------------------------------------------------------------------------------


def merged(people: list[int], min_cell_size: int) -> list[int | None]:
    """Return the published counts of some moods."""
    return [cell and cell[0] for cell in merge_cells([(cell, cell, cell) for cell in people], min_cell_size)]


@pytest.mark.parametrize(
    ("people", "min_cell_size", "published"),
    [
        ([3, 0, 1], 0, [3, 0, 1]),
        ([9, 7, 5], 5, [9, 7, 5]),
        ([9, 7, 4], 5, [9, None, None]),  # 4 alone could be computed from the count
        ([9, 4, 4], 5, [9, None, None]),
        ([9, 2, 2], 5, [None, None, None]),  # 4 together are too few as well
        ([9, 8, 2, 2], 5, [9, None, None, None]),
        ([9, 3, 3, 4], 5, [9, None, None, None]),
        ([9, 5, 0], 5, [9, None, None]),
        ([0, 0, 0], 1, [None, None, None]),
        ([6, 6], 6, [6, 6]),
        ([6, 5], 6, [None, None]),
    ],
)
def test_small_cells_are_merged(people: list[int], min_cell_size: int, published: list[int | None]) -> None:
    """The smallest cells are suppressed, two at least, until their sum is at least min_cell_size."""
    assert merged(people, min_cell_size) == published


@given(st.lists(st.integers(0, 12), min_size=2, max_size=6), st.integers(1, 12))
def test_no_small_cell_can_be_computed(people: list[int], min_cell_size: int) -> None:
    """Every published cell is at least min_cell_size, and so is the sum of the suppressed ones, unless all
    are suppressed.
    """
    published = merged(people, min_cell_size)
    hidden = [cell for cell, public in zip(people, published, strict=True) if public is None]

    assert all(public is None or public >= min_cell_size for public in published)
    assert all(public in {None, cell} for cell, public in zip(people, published, strict=True))
    assert len(hidden) != 1
    assert not hidden or sum(hidden) >= min_cell_size or len(hidden) == len(people)
    assert not hidden or min(hidden) < min_cell_size, "no cell is suppressed without need"
