"""What a run found, and what many runs say together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.estimate import Estimate
from breathing_room.core.presence import Presence
from breathing_room.lab.sim.meter import Meter

SEATS_MIN = 20
"""An interval of a mood is judged where so many of its people are expected to report."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
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
    looks: tuple[Checkpoint, ...]
    meter: Meter
    reports_by_s: tuple[int, ...]


def independent_samples(runs: Iterable[Sequence[Checkpoint]], *, apart_ms: float) -> int:
    """Count the looks that see different people: those of different runs, and those of one run at least ``apart_ms`` apart.

    Looks that are closer see much the same panel, so a hundred of them are one sample of the estimator's error.

    Args:
        runs: The looks of each run, in their order.
        apart_ms: After how long a look sees other people; infinite where the same people stay.
    """
    count = 0
    for looks in runs:
        last_at_ms: float | None = None
        for look in looks:
            if last_at_ms is None or look.at_ms - last_at_ms >= apart_ms:
                last_at_ms = look.at_ms
                count += 1
    return count


@dataclass(frozen=True, slots=True)
class Score:
    """How an estimator fared over many looks.

    Attributes:
        looks: How many.
        bias: The mean error, as a share of the mean truth.
        bias_error: The standard error of that; None where one run's looks all see the same people.
        rmse: The root of the mean square of the error, as a share of the mean truth.
        bound: What theory allows, as such a share; None where there is no theory.
        coverage: The share of looks whose interval held the truth; None where there is no interval.
        ratio: The mean estimate over the mean truth.
    """

    looks: int
    bias: float
    bias_error: float | None
    rmse: float
    bound: float | None
    coverage: float | None
    ratio: float


def score(name: str, runs: Sequence[Sequence[Checkpoint]], *, independent: bool) -> Score | None:
    """Judge an estimator; None where it said nothing.

    Args:
        name: Whose figures.
        runs: The looks of each run.
        independent: Whether looks of one run are so far apart that they see other people.
    """
    said = [[(look, look.estimates[name]) for look in looks if name in look.estimates] for looks in runs]
    everything = [pair for pairs in said for pair in pairs]
    truth = sum(look.truth for look, _ in everything)
    if not truth:
        return None
    errors = [[estimate.count - look.truth for look, estimate in pairs] for pairs in said if pairs]
    # Looks that see the same people are one look, as far as it goes how well their mean is known.
    samples = [error for run in errors for error in run] if independent else [fmean(run) for run in errors]
    count = len(everything)
    mean, mean_truth = fmean(error for run in errors for error in run), truth / count
    has_interval = any(estimate.low < estimate.high for _, estimate in everything) or name == "panel"
    held = sum(estimate.low <= look.truth <= estimate.high for look, estimate in everything)
    by_theory = sqrt(fmean(look.standard_error**2 for look, _ in everything)) / mean_truth
    return Score(
        looks=count,
        bias=mean / mean_truth,
        bias_error=stdev(samples) / sqrt(len(samples)) / mean_truth if len(samples) > 1 else None,
        rmse=sqrt(fmean(error * error for run in errors for error in run)) / mean_truth,
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


def judged_moods(look: Checkpoint) -> Iterator[tuple[int, tuple[int, int | None]]]:
    """Yield the true number of people and the published interval of each mood that is judged at a look."""
    for mood, truth in zip((*look.presence.moods, UNSPOKEN), look.moods, strict=True):
        interval = look.presence.mood_intervals[mood]
        if interval is not None and truth * look.theta >= SEATS_MIN:
            yield truth, interval


def mood_score(looks: Iterable[Checkpoint]) -> MoodScore:
    """Judge the intervals of moods."""
    count = held = 0
    for look in looks:
        for truth, (low, high) in judged_moods(look):
            count += 1
            held += low <= truth and (high is None or truth <= high)
    return MoodScore(count, held / count if count else None)
