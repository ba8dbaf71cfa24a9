"""The breathing pattern that all visitors share: a pure function of wall time.

A pattern is a cycle of phases, and cycles are counted from the Unix epoch. Clients whose clocks agree
therefore show the same phase, and no message is needed to keep them in step.
"""

from dataclasses import dataclass
from typing import Final, Literal

PhaseName = Literal["inhale", "hold", "exhale", "rest"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A breathing pattern.

    Attributes:
        name: Its usual name.
        phases: The phases of one cycle in order, each with its length in milliseconds.
    """

    name: str
    phases: tuple[tuple[PhaseName, int], ...]

    @property
    def cycle_ms(self) -> int:
        """The length of one cycle, in milliseconds."""
        return sum(length_ms for _, length_ms in self.phases)


@dataclass(frozen=True, slots=True)
class Moment:
    """A position within a cycle.

    Attributes:
        phase: The current phase.
        elapsed: The part of it that is over, from 0 up to but not including 1.
        remaining_ms: Milliseconds until the next phase, at least 1.
    """

    phase: PhaseName
    elapsed: float
    remaining_ms: int


# In through the nose for 4 s, hold for 7 s, out for 8 s; box breathing; and breathing at about 5.5 breaths a
# minute, which is called coherent or resonant.
PATTERNS: Final = {
    pattern.name: pattern
    for pattern in (
        Pattern("4-7-8", (("inhale", 4_000), ("hold", 7_000), ("exhale", 8_000))),
        Pattern("box", (("inhale", 4_000), ("hold", 4_000), ("exhale", 4_000), ("rest", 4_000))),
        Pattern("coherent", (("inhale", 5_500), ("exhale", 5_500))),
    )
}


def moment(pattern: Pattern, wall_ms: int) -> Moment:
    """Return the position within the cycle at a time.

    Args:
        pattern: The breathing pattern.
        wall_ms: Milliseconds since 1970-01-01 UTC; may be negative.
    """
    position_ms = wall_ms % pattern.cycle_ms
    for phase, length_ms in pattern.phases:
        if position_ms < length_ms:
            return Moment(phase, position_ms / length_ms, length_ms - position_ms)
        position_ms -= length_ms
    raise AssertionError("a position lies inside its own cycle")
