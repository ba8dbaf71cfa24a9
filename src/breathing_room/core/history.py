"""The typical count of a room: averages by hour of the week.

A week has 168 hours, numbered from Monday 00:00 UTC. Every hour keeps a running mean of the count and of each
mood, and of their squares, weighted by the time that was observed: an hour of which a server observed half
weighs half, and the time for which it was down weighs nothing. The weight is capped at ``WEEKS_MAX`` hours,
from where on the mean is a moving one: it follows a room that grows or shrinks with a half-life of about
``0.7 WEEKS_MAX`` weeks.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from breathing_room.core.errors import HostError

HOUR_MS: Final = 3_600_000
HOURS: Final = 168
PEOPLE_MAX: Final = 10**10
WEEKS_MAX: Final = 8

# 1970-01-01 was a Thursday: three days after a Monday.
EPOCH_HOUR: Final = 3 * 24

ALL: Final = ""
"""The key of the total among moods; no mood has this name."""


def hour_of_week(wall_ms: int) -> int:
    """Return the hour of the week at a time, 0 (Monday, 00:00 UTC) to 167."""
    return (wall_ms // HOUR_MS + EPOCH_HOUR) % HOURS


@dataclass(frozen=True, slots=True)
class HourAverage:
    """The averages of one hour of the week.

    Attributes:
        weeks: The number of such hours observed, at most ``WEEKS_MAX``.
        mean: People by mood, and ``ALL`` of them.
        square: The means of their squares.
    """

    weeks: float
    mean: Mapping[str, float]
    square: Mapping[str, float]


class History:
    """The averages of one room.

    An observation holds until the next one: call ``observe`` whenever the count changes.
    """

    def __init__(self) -> None:
        self._weight = [0.0] * HOURS
        self._mean: list[dict[str, float]] = [{} for _ in range(HOURS)]
        self._square: list[dict[str, float]] = [{} for _ in range(HOURS)]
        self._since_ms: int | None = None
        self._now: Mapping[str, int] = {}

    def observe(self, people: Mapping[str, int] | None, *, wall_ms: int) -> None:
        """Set the count from now on.

        Args:
            people: People by mood, those without one included; None while the count is not known, a time that
                weighs nothing.
            wall_ms: Milliseconds since 1970-01-01 UTC. Time that runs backwards is not counted.
        """
        if self._since_ms is not None:
            # A gap of over a week would only go round: every hour of it is the same.
            start_ms = max(self._since_ms, wall_ms - HOURS * HOUR_MS)
            while start_ms < wall_ms:
                end_ms = min(wall_ms, (start_ms // HOUR_MS + 1) * HOUR_MS)
                self._add(hour_of_week(start_ms), (end_ms - start_ms) / HOUR_MS)
                start_ms = end_ms
        self._since_ms = None if people is None else wall_ms
        self._now = {} if people is None else {**people, ALL: sum(people.values())}

    def _add(self, hour: int, weight: float) -> None:
        observed = self._weight[hour]
        share = weight / (observed + weight)
        mean, square = self._mean[hour], self._square[hour]
        for mood in mean.keys() | self._now.keys():
            people = self._now.get(mood, 0)
            mean[mood] = _moved(mean.get(mood, 0.0), people, share)
            square[mood] = _moved(square.get(mood, 0.0), people**2, share)
        self._weight[hour] = min(observed + weight, WEEKS_MAX)

    def average(self, wall_ms: int) -> HourAverage:
        """Return the averages of the hour of the week at a time."""
        hour = hour_of_week(wall_ms)
        return HourAverage(self._weight[hour], dict(self._mean[hour]), dict(self._square[hour]))

    def averages(self) -> list[dict[str, Any]]:
        """Return the averages of the hours that were ever observed.

        Returns:
            For each: ``hour`` of the week, ``count``, people by mood in ``moods`` (the unspoken among them),
            and ``observed_h``, the number of hours observed.
        """
        return [
            {
                "hour": hour,
                "count": round(mean[ALL], 2),
                "moods": {mood: round(people, 2) for mood, people in sorted(mean.items()) if mood != ALL},
                "observed_h": round(weight, 3),
            }
            for hour, (mean, weight) in enumerate(zip(self._mean, self._weight, strict=True))
            if weight
        ]

    def encode(self) -> bytes:
        """Encode it as one value for a store."""
        hours = {
            hour: [self._weight[hour], self._mean[hour], self._square[hour]]
            for hour in range(HOURS)
            if self._weight[hour]
        }
        return json.dumps({"version": 2, "hours": hours}, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Decode a stored value. The time since then is not observed.

        Raises:
            HostError: It is damaged, or of a later version.
        """
        history = cls()
        try:
            body = json.loads(value)
            if body["version"] != 2:
                raise HostError("a history of another version")
            for hour, (weight, mean, square) in body["hours"].items():
                index = range(HOURS).index(int(hour))
                history._weight[index] = _amount(weight, WEEKS_MAX)
                history._mean[index] = _amounts(mean, PEOPLE_MAX)
                history._square[index] = _amounts(square, PEOPLE_MAX**2)
                if not ALL in mean.keys() == square.keys():
                    raise ValueError  # noqa: TRY301 - reported once, below
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise HostError("a damaged history") from error
        return history


def _moved(mean: float, value: float, share: float) -> float:
    """Move a mean towards a value by its share."""
    return mean + (value - mean) * share


def _amounts(values: Mapping[str, float], most: float) -> dict[str, float]:
    return {str(mood): _amount(value, most) for mood, value in values.items()}


def _amount(value: float, most: float) -> float:
    """Validate a number from 0 to ``most``; NaN is none."""
    if not 0 <= value <= most:
        raise ValueError
    return float(value)
