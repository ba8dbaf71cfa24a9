"""Arrivals, and the lengths of visits."""

from dataclasses import dataclass
from math import erf, log, sqrt
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from breathing_room.core.errors import ConfigError
from breathing_room.lab.sim.scenario import HOUR_MS, MINUTE_MS, SECOND_MS, CrowdSettings, Scenario

Floats = NDArray[np.float64]
Instants = NDArray[np.int64]

CHUNK_MS: Final = 60_000
"""Arrivals are drawn a minute at a time."""

STEP_MS: Final = 1_000
"""Within a step of it arrivals are as likely at one instant as at another."""


class VisitLengths(Protocol):
    """A distribution of the lengths of visits."""

    @property
    def mean_ms(self) -> float:
        """The mean length."""
        ...

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw visits, in ms."""
        ...

    def up_to(self, age_ms: Floats) -> Floats:
        """Return the mean part of a visit before each age: the integral of the survival function, in ms."""
        ...


@dataclass(frozen=True, slots=True)
class Exponential:
    """Exponential visits: memoryless."""

    mean_ms: float

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw visits, in ms."""
        return rng.exponential(self.mean_ms, count)

    def up_to(self, age_ms: Floats) -> Floats:
        """Return the integral of the survival function."""
        return self.mean_ms * -np.expm1(-age_ms / self.mean_ms)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Log-normal visits: many short ones and a few long ones."""

    mean_ms: float
    sigma: float

    @property
    def mu(self) -> float:
        """The mean of the logarithm."""
        return log(self.mean_ms) - self.sigma**2 / 2

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw visits, in ms."""
        return rng.lognormal(self.mu, self.sigma, count)

    def up_to(self, age_ms: Floats) -> Floats:
        """Return the integral of the survival function: the mean of min(visit, age)."""
        with np.errstate(divide="ignore"):
            z = (np.log(age_ms) - self.mu) / self.sigma
        below = np.array([_normal(value) for value in z])
        part = np.array([_normal(value - self.sigma) for value in z])
        reached: Floats = self.mean_ms * part + age_ms * (1 - below)
        return reached


class Recorded:
    """Visits that were recorded, drawn from a file.

    Args:
        visits_ms: The visits.
    """

    def __init__(self, visits_ms: Floats) -> None:
        self._visits_ms = np.sort(visits_ms)
        self._sums_ms = np.concatenate([[0.0], np.cumsum(self._visits_ms)])
        self.mean_ms = float(visits_ms.mean())

    @classmethod
    def read(cls, path: Path) -> "Recorded":
        """Read a file with one visit in seconds per line.

        Raises:
            ConfigError: It cannot be read, or a line is no time above 0.
        """
        try:
            lines = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"crowd.visit: cannot read {path}: {error}") from None
        try:
            visits_s = np.array([float(line) for line in lines])
        except ValueError:
            raise ConfigError(f"crowd.visit: {path} must hold one visit in seconds per line") from None
        if not len(visits_s) or not np.all(np.isfinite(visits_s) & (visits_s > 0)):
            raise ConfigError(f"crowd.visit: {path} must hold visits above 0")
        return cls(visits_s * 1_000)

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw visits, in ms."""
        drawn: Floats = rng.choice(self._visits_ms, count)
        return drawn

    def up_to(self, age_ms: Floats) -> Floats:
        """Return the integral of the survival function."""
        over = np.searchsorted(self._visits_ms, age_ms)
        return (self._sums_ms[over] + age_ms * (len(self._visits_ms) - over)) / len(self._visits_ms)


def visit_lengths_of(crowd: CrowdSettings) -> VisitLengths:
    """Return the distribution of the visits of a crowd.

    Raises:
        ConfigError: A file of them cannot be read.
    """
    mean_ms = crowd.visit_minutes * MINUTE_MS
    if crowd.visit == "exponential":
        return Exponential(mean_ms)
    if crowd.visit == "log-normal":
        return LogNormal(mean_ms, crowd.visit_sigma)
    return Recorded.read(Path(crowd.visit))


def _normal(z: float) -> float:
    """The distribution function of the normal distribution."""
    return (1 + erf(z / sqrt(2))) / 2


def levels_at(scenario: Scenario, at_ms: NDArray[np.int64] | Floats) -> Floats:
    """Return the intended number of visitors at each instant of a run."""
    hours = at_ms / HOUR_MS
    if scenario.crowd.period_hours:
        hours %= scenario.crowd.period_hours
    begins_ms, ends_ms = scenario.surge_ms
    risen = np.clip((at_ms - begins_ms) / (ends_ms - begins_ms), 0.0, 1.0)
    when, factors = zip(*scenario.points, strict=True)
    levels: Floats = (
        scenario.crowd.people * np.interp(hours, when, factors) * (1 + (scenario.surge.factor - 1) * risen)
    )
    return levels


class Arrivals:
    """The times of arrival: a Poisson stream whose rate keeps the crowd at the scenario's level.

    Departures are replaced, at ``level / mean visit``; where the level rises, the difference arrives too.
    Where it falls no visitor is removed: the crowd shrinks as visits end.

    Args:
        scenario: The scenario.
        visits: The distribution of visits.
    """

    def __init__(self, scenario: Scenario, visits: VisitLengths) -> None:
        self._scenario = scenario
        self._mean_ms = visits.mean_ms
        self._level_at_first = float(levels_at(scenario, np.zeros(1))[0])

    def expected(self, begins_ms: int, ends_ms: int, step_ms: int) -> Floats:
        """Return the mean number of arrivals in each step; those of the beginning first."""
        edges = np.arange(begins_ms, ends_ms + 1, step_ms)
        levels = levels_at(self._scenario, edges)
        # Within a second a level may jump: the points of a curve have that resolution.
        rises = np.maximum(np.diff(levels), 0.0)
        came: Floats = (levels[:-1] + levels[1:]) / 2 * step_ms / self._mean_ms + rises
        gather_ms = self._scenario.crowd.gather_s * SECOND_MS
        came += self._level_at_first * np.diff(np.minimum(edges, gather_ms)) / gather_ms
        return came


@dataclass(frozen=True, slots=True)
class Newcomers:
    """The visitors who arrive within a stretch of time, in order of arrival."""

    arrives_ms: Instants
    departs_ms: Instants

    @property
    def visits_ms(self) -> Instants:
        """The lengths of their visits."""
        return self.departs_ms - self.arrives_ms


def draw_newcomers(
    rng: np.random.Generator, counts: Instants, visits: VisitLengths, begins_ms: int, step_ms: int = STEP_MS
) -> Newcomers:
    """Draw the visitors who arrive from ``begins_ms`` on, so many in each step."""
    begins = np.repeat(begins_ms + step_ms * np.arange(len(counts)), counts)
    arrives_ms = np.sort(begins + rng.integers(step_ms, size=len(begins)))
    visits_ms = np.maximum(1, np.rint(visits.draw(rng, len(begins)))).astype(np.int64)
    return Newcomers(arrives_ms, arrives_ms + visits_ms)
