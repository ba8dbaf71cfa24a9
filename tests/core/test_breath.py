"""The breath: one function of wall time, the same for all clients."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.breath import PATTERNS, Moment, Pattern, moment

patterns = st.sampled_from(list(PATTERNS.values()))
instants = st.integers(-(10**13), 10**13)


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("4-7-8", [("inhale", 4_000), ("hold", 7_000), ("exhale", 8_000)]),
        ("box", [("inhale", 4_000), ("hold", 4_000), ("exhale", 4_000), ("rest", 4_000)]),
        ("coherent", [("inhale", 5_500), ("exhale", 5_500)]),
    ],
)
def test_the_patterns(name: str, phases: list[tuple[str, int]]) -> None:
    """The three patterns have the phases that are known by their names."""
    assert PATTERNS[name].name == name
    assert list(PATTERNS[name].phases) == phases
    assert PATTERNS[name].cycle_ms == sum(length_ms for _, length_ms in phases)


@pytest.mark.parametrize(
    ("wall_ms", "expected"),
    [
        (0, Moment("inhale", 0.0, 4_000)),
        (3_999, Moment("inhale", 3_999 / 4_000, 1)),
        (4_000, Moment("hold", 0.0, 7_000)),
        (7_500, Moment("hold", 0.5, 3_500)),
        (11_000, Moment("exhale", 0.0, 8_000)),
        (18_999, Moment("exhale", 7_999 / 8_000, 1)),
        (19_000, Moment("inhale", 0.0, 4_000)),
        (-1, Moment("exhale", 7_999 / 8_000, 1)),
        (-8_000, Moment("exhale", 0.0, 8_000)),
        (-19_000, Moment("inhale", 0.0, 4_000)),
        (1_767_225_600_000, Moment("exhale", 0.25, 6_000)),
    ],
)
def test_where_in_the_breath_we_are(wall_ms: int, expected: Moment) -> None:
    """Cycles are counted from 1970-01-01 UTC, also before it."""
    assert moment(PATTERNS["4-7-8"], wall_ms) == expected


@given(patterns, instants, st.integers(-1_000_000, 1_000_000))
def test_every_breath_is_like_the_next(pattern: Pattern, wall_ms: int, cycles: int) -> None:
    """The moment is the same a whole number of cycles later."""
    assert moment(pattern, wall_ms + cycles * pattern.cycle_ms) == moment(pattern, wall_ms)


@given(patterns, instants)
def test_the_breath_flows(pattern: Pattern, wall_ms: int) -> None:
    """From one millisecond to the next a phase goes on by one, or ends and is followed by the next one's
    start.
    """
    lengths_ms = dict(pattern.phases)
    names = [name for name, _ in pattern.phases]
    now, then = moment(pattern, wall_ms), moment(pattern, wall_ms + 1)

    assert 0 <= now.elapsed < 1
    assert now.remaining_ms == round(lengths_ms[now.phase] * (1 - now.elapsed)) >= 1
    if now.remaining_ms > 1:
        assert (then.phase, then.remaining_ms) == (now.phase, now.remaining_ms - 1)
        assert then.elapsed > now.elapsed
    else:
        following = names[(names.index(now.phase) + 1) % len(names)]
        assert then == Moment(pattern.phases[names.index(following)][0], 0.0, lengths_ms[then.phase])


@given(patterns, instants)
def test_the_next_phase_begins_when_it_is_said(pattern: Pattern, wall_ms: int) -> None:
    """The next phase begins after remaining_ms, and not a millisecond before."""
    now = moment(pattern, wall_ms)

    assert moment(pattern, wall_ms + now.remaining_ms).elapsed == 0
    assert moment(pattern, wall_ms + now.remaining_ms - 1).phase == now.phase
