"""Observations: the count of a room beside the number of participants in it."""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from breathing_room.core.presence import Method

Verdict: TypeAlias = Literal["joining", "covered", "outside", "others"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """The presence of a room at an instant, beside the number of participants in it.

    Attributes:
        at_s: When, in seconds since the beginning.
        gathered: Whether all participants had joined by then.
        own: The number of participants.
        own_low: The smallest number within the time that a change may be in flight.
        own_high: The largest, with those who are joining or leaving.
        others: Whether other visitors were there, or may have been.
        count: The count of the room.
        low: The lower bound of its interval.
        high: The upper bound.
        method: Its method.
        rate: The sampling rate.
        sent: The number of requests until then, by kind.
    """

    at_s: float
    gathered: bool
    own: int
    own_low: int
    own_high: int
    others: bool
    count: int | None
    low: int
    high: int | None
    method: Method
    rate: float
    sent: Mapping[str, int]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the interval.

        ``covered`` or ``outside`` where the room is ours alone; ``others`` where it is not, since then the
        truth is not known. Others can only add, so an interval that ends below the number of participants is
        ``outside`` in any case.
        """
        if not self.gathered:
            return "joining"
        if self.high is not None and self.high < self.own_low:
            return "outside"
        if self.others:
            return "others"
        return "covered" if self.low <= self.own_high else "outside"

    def rates(self, before: "Observation | None") -> dict[str, float]:
        """Return the requests per second since the observation before this one, or since the beginning."""
        length_s = max(self.at_s - (before.at_s if before else 0.0), 1e-3)
        return {
            name: (count - (before.sent[name] if before else 0)) / length_s
            for name, count in self.sent.items()
        }


@dataclass(slots=True)
class Observations:
    """All observations, in order.

    Attributes:
        all: The observations.
        on_observation: Called with each, and the one before it.
    """

    all: list[Observation] = field(default_factory=list)
    on_observation: Callable[[Observation, Observation | None], None] = lambda _look, _before: None

    @property
    def last(self) -> Observation | None:
        """The latest."""
        return self.all[-1] if self.all else None

    def add(self, observation: Observation) -> None:
        """Append one, and call ``on_observation``."""
        before = self.last
        self.all.append(observation)
        self.on_observation(observation, before)

    def summary(self) -> dict[str, Any]:
        """Judge the observations after all participants had joined, in plain values.

        Returns:
            How many there were, how many intervals were ``covered`` or ``outside``; the mean of ``count / own
            - 1`` as ``bias``, and the root of its mean square as ``error``, of those that gave a count, or
            None where others were in it; and the observations themselves.
        """
        gathered = [observation for observation in self.all if observation.gathered]
        verdicts = Counter(observation.verdict for observation in gathered)
        alone = not any(observation.others for observation in self.all)
        errors = (
            [
                observation.count / observation.own - 1
                for observation in gathered
                if observation.count is not None and observation.own
            ]
            if alone
            else []
        )
        return {
            "observations": len(gathered),
            "covered": verdicts["covered"],
            "outside": verdicts["outside"],
            "bias": round(statistics.fmean(errors), 4) if errors else None,
            "error": round(statistics.fmean(error**2 for error in errors) ** 0.5, 4) if errors else None,
            "rows": [asdict(observation) | {"verdict": observation.verdict} for observation in self.all],
        }
