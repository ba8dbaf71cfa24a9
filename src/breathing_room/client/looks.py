"""What a room says, beside the truth."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from breathing_room.core.presence import Method


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One look at a room that somebody fills.

    Attributes:
        at_s: When, in seconds since the crowd began.
        gathered: Whether everybody had come by then.
        truth: How many there were.
        count: What the room said.
        low: The lower end of its interval.
        high: The upper end.
        method: How it knew.
        rate: The sampling rate.
        sent: What the crowd had sent until then, by kind.
    """

    at_s: float
    gathered: bool
    truth: int
    count: int | None
    low: int
    high: int | None
    method: Method
    rate: float
    sent: Mapping[str, int]

    @property
    def held(self) -> bool:
        """Whether the interval held the truth."""
        return self.low <= self.truth and (self.high is None or self.truth <= self.high)

    def rates(self, before: "Look | None") -> dict[str, float]:
        """Say how much of what was sent per second since the look before this one, or since the beginning."""
        length_s = max(self.at_s - (before.at_s if before else 0.0), 1e-3)
        return {
            name: (count - (before.sent[name] if before else 0)) / length_s
            for name, count in self.sent.items()
        }


@dataclass(slots=True)
class Looks:
    """All looks, in their order.

    Attributes:
        all: The looks.
        on_look: Called with each, and the one before it.
    """

    all: list[Look] = field(default_factory=list)
    on_look: Callable[[Look, Look | None], None] = lambda _look, _before: None

    @property
    def last(self) -> Look | None:
        """The latest."""
        return self.all[-1] if self.all else None

    def add(self, look: Look) -> None:
        """Take one in."""
        before = self.last
        self.all.append(look)
        self.on_look(look, before)

    def summary(self) -> dict[str, Any]:
        """Judge the looks since everybody had come, in plain values.

        Returns:
            How many there were and how many held the truth; the mean of ``count / truth - 1`` as ``bias``, and the root of
            its mean square as ``error``, of those that gave a count; and the looks themselves.
        """
        judged = [look for look in self.all if look.gathered]
        errors = [look.count / look.truth - 1 for look in judged if look.count is not None and look.truth]
        return {
            "looks": len(judged),
            "held": sum(look.held for look in judged),
            "bias": round(statistics.fmean(errors), 4) if errors else None,
            "error": round(statistics.fmean(error**2 for error in errors) ** 0.5, 4) if errors else None,
            "rows": [asdict(look) | {"held": look.held} for look in self.all],
        }
