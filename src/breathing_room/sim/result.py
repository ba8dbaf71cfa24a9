"""What a run found, and what many runs say together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.estimate import Estimate
from breathing_room.core.presence import Presence
from breathing_room.sim.meter import Meter

SEATS_MIN = 20
"""An interval of a mood is judged where so many of its people are expected to report."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was said and what was true, at an instant.

    Attributes:
        at_ms: When, counted from the end of the warm-up.
        truth: People there.
        moods: People by mood, the unspoken last.
        presence: What the room said.
        theta: The lowest rate that anybody might still be acting on.
        seats: People who reported, and are counted.
        capped: Seats over the cap of their prefix.
        raw_count: What would be said without caps.
        standard_error: How well so many people can be known then, by theory: sqrt(V) / theta.
        estimates: What each estimator said.
    """

    at_ms: int
    truth: int
    moods: tuple[int, ...]
    presence: Presence
    theta: float
    seats: int
    capped: int
    raw_count: float
    standard_error: float
    estimates: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run.

    Attributes:
        seed: Where its chance came from.
        depth: ``events`` or ``crowd``.
        keep: Up to which ticket people were individuals.
        hours: How long it went on, warm-up included.
        looks: What was seen.
        meter: What it cost, warm-up included.
        reports_by_s: Reports that arrived in each second, warm-up included.
    """

    seed: int
    depth: str
    keep: float
    hours: float
    looks: tuple[Look, ...]
    meter: Meter
    reports_by_s: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """How an estimator fared over many looks.

    Attributes:
        looks: How many.
        bias: The mean error, as a share of the mean truth.
        bias_error: The standard error of that.
        rmse: The root of the mean square of the error, as a share of the mean truth.
        bound: What theory allows, as such a share; None where there is no theory.
        coverage: The share of looks whose interval held the truth; None where there is no interval.
        ratio: The mean estimate over the mean truth.
    """

    looks: int
    bias: float
    bias_error: float
    rmse: float
    bound: float | None
    coverage: float | None
    ratio: float


def score(name: str, looks: Sequence[Look]) -> Score | None:
    """Judge an estimator; None where it said nothing."""
    said = [(look, look.estimates[name]) for look in looks if name in look.estimates]
    truth = sum(look.truth for look, _ in said)
    if not truth:
        return None
    errors = [estimate.count - look.truth for look, estimate in said]
    count = len(said)
    mean = sum(errors) / count
    spread = sum((error - mean) ** 2 for error in errors) / max(count - 1, 1)
    mean_truth = truth / count
    has_interval = any(estimate.low < estimate.high for _, estimate in said) or name == "panel"
    held = sum(estimate.low <= look.truth <= estimate.high for look, estimate in said)
    by_theory = sqrt(sum(look.standard_error**2 for look, _ in said) / count) / mean_truth
    return Score(
        looks=count,
        bias=mean / mean_truth,
        bias_error=sqrt(spread / count) / mean_truth,
        rmse=sqrt(sum(error * error for error in errors) / count) / mean_truth,
        bound=by_theory if name == "panel" else None,
        coverage=held / count if has_interval else None,
        ratio=1 + mean / mean_truth,
    )


@dataclass(frozen=True, slots=True)
class MoodScore:
    """How the intervals of moods fared.

    Attributes:
        looks: Moods looked at of which ``SEATS_MIN`` people or more were expected to report.
        coverage: The share of them whose interval held the truth; None where there was none.
    """

    looks: int
    coverage: float | None


def mood_score(looks: Iterable[Look]) -> MoodScore:
    """Judge the intervals of moods."""
    count = held = 0
    for look in looks:
        for mood, truth in zip((*look.presence.moods, UNSPOKEN), look.moods, strict=True):
            interval = look.presence.mood_intervals[mood]
            if interval is None or truth * look.theta < SEATS_MIN:
                continue
            low, high = interval
            count += 1
            held += low <= truth and (high is None or truth <= high)
    return MoodScore(count, held / count if count else None)
