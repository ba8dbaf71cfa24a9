"""The observations of a run, and scores over many runs."""

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
class RunObservation:
    """The published presence and the truth, at an instant.

    Attributes:
        at_ms: When, counted from the end of the warm-up.
        truth: Visitors present.
        moods: Visitors by mood, the unspoken last.
        presence: The presence of the room.
        effective_rate: The lowest rate that a client might still be acting on.
        seats: Seats that count.
        capped: Seats over the cap of their prefix.
        raw_count: The count without caps.
        standard_error: The standard error for so many visitors, by theory: sqrt(V) / effective_rate.
        estimates: The estimates by estimator.
    """

    at_ms: int
    truth: int
    moods: tuple[int, ...]
    presence: Presence
    effective_rate: float
    seats: int
    capped: int
    raw_count: float
    standard_error: float
    estimates: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run.

    Attributes:
        seed: The seed.
        mode: ``exact`` or ``fast``.
        keep: Visitors with a ticket below it were individuals.
        hours: Its length, warm-up included.
        observations: The observations.
        meter: The operations, warm-up included.
        reports_by_s: Reports that arrived in each second, warm-up included.
    """

    seed: int
    mode: str
    keep: float
    hours: float
    observations: tuple[RunObservation, ...]
    meter: Meter
    reports_by_s: tuple[int, ...]


def independent_samples(runs: Iterable[Sequence[RunObservation]], *, apart_ms: float) -> int:
    """Count the observations that see different people: those of different runs, and those of one run at
    least ``apart_ms`` apart.

    Observations that are closer see much the same panel, so a hundred of them are one sample of the
    estimator's error.

    Args:
        runs: The observations of each run, in their order.
        apart_ms: After how long an observation sees other people; infinite where the same visitors remain.
    """
    count = 0
    for observations in runs:
        last_at_ms: float | None = None
        for observation in observations:
            if last_at_ms is None or observation.at_ms - last_at_ms >= apart_ms:
                last_at_ms = observation.at_ms
                count += 1
    return count


@dataclass(frozen=True, slots=True)
class Score:
    """The accuracy of an estimator over many observations.

    Attributes:
        observations: How many.
        bias: The mean error, as a share of the mean truth.
        bias_error: The standard error of that; None where one run's observations all see the same people.
        rmse: The root of the mean square of the error, as a share of the mean truth.
        bound: What theory allows, as such a share; None where there is no theory.
        coverage: The share of observations whose interval covered the truth; None where there is no interval.
        ratio: The mean estimate over the mean truth.
    """

    observations: int
    bias: float
    bias_error: float | None
    rmse: float
    bound: float | None
    coverage: float | None
    ratio: float


def score(name: str, runs: Sequence[Sequence[RunObservation]], *, independent: bool) -> Score | None:
    """Score an estimator; None where it has no estimate.

    Args:
        name: The estimator.
        runs: The observations of each run.
        independent: Whether observations of one run are so far apart that they see other people.
    """
    pairs_by_run = [
        [
            (observation, observation.estimates[name])
            for observation in observations
            if name in observation.estimates
        ]
        for observations in runs
    ]
    everything = [pair for pairs in pairs_by_run for pair in pairs]
    truth = sum(observation.truth for observation, _ in everything)
    if not truth:
        return None
    errors = [
        [estimate.count - observation.truth for observation, estimate in pairs]
        for pairs in pairs_by_run
        if pairs
    ]
    # Observations of the same visitors count as one for the error of their mean.
    samples = [error for run in errors for error in run] if independent else [fmean(run) for run in errors]
    count = len(everything)
    mean, mean_truth = fmean(error for run in errors for error in run), truth / count
    has_interval = any(estimate.low < estimate.high for _, estimate in everything) or name == "panel"
    covered = sum(estimate.low <= observation.truth <= estimate.high for observation, estimate in everything)
    by_theory = sqrt(fmean(observation.standard_error**2 for observation, _ in everything)) / mean_truth
    return Score(
        observations=count,
        bias=mean / mean_truth,
        bias_error=stdev(samples) / sqrt(len(samples)) / mean_truth if len(samples) > 1 else None,
        rmse=sqrt(fmean(error * error for run in errors for error in run)) / mean_truth,
        bound=by_theory if name == "panel" else None,
        coverage=covered / count if has_interval else None,
        ratio=1 + mean / mean_truth,
    )


@dataclass(frozen=True, slots=True)
class MoodScore:
    """The coverage of the intervals of moods.

    Attributes:
        observations: The moods of which ``SEATS_MIN`` visitors or more were expected to report.
        coverage: The share of them whose interval covered the truth; None where there was none.
    """

    observations: int
    coverage: float | None


def judged_moods(observation: RunObservation) -> Iterator[tuple[int, tuple[int, int | None]]]:
    """Yield the true number of people and the published interval of each mood that is judged at an
    observation.
    """
    for mood, truth in zip((*observation.presence.moods, UNSPOKEN), observation.moods, strict=True):
        interval = observation.presence.mood_intervals[mood]
        if interval is not None and truth * observation.effective_rate >= SEATS_MIN:
            yield truth, interval


def mood_score(observations: Iterable[RunObservation]) -> MoodScore:
    """Judge the intervals of moods."""
    count = covered = 0
    for observation in observations:
        for truth, (low, high) in judged_moods(observation):
            count += 1
            covered += low <= truth and (high is None or truth <= high)
    return MoodScore(count, covered / count if count else None)
