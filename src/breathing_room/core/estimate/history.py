"""History: predict a count that is not known from the same hour of past weeks.

Intuition: a room is as full as it was at this hour in the last weeks, more or less as much as those weeks
differed.

Model: the counts of one hour of the week in w weeks are independent and roughly normal. Their mean is the
estimate, and another such count lies within ``t s sqrt(1 + 1 / w)`` of it, where s is their standard
deviation and t the 97.5 % quantile of Student's distribution with w - 1 degrees of freedom. From fewer than
two weeks no variance can be computed, and nothing is predicted. A crowd that comes and goes by chance has a
variance of at least its mean (Poisson), so s is never taken to be less.

Error: that of a prediction, not of a measurement: a holiday is not in it. So it is always labelled
``estimated``, and used only in rooms whose config asks for it (``history_fallback``) and only while the
method would be ``unknown``.

Source: the prediction interval of a normal sample, e.g. Hahn & Meeker, Statistical Intervals (1991), ch. 4.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from typing import Any, Final

from breathing_room.core.config import MERGED, UNSPOKEN
from breathing_room.core.estimate import Estimate
from breathing_room.core.estimate.panel import apportion
from breathing_room.core.history import ALL, EPOCH_HOUR, HOUR_MS, HOURS, History
from breathing_room.core.presence import Presence, merge_cells, read_label

# Student's 97.5 % quantiles for 1 to 7 degrees of freedom: histories reach back 8 weeks.
STUDENT: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365)

WEEKS_MIN: Final = 2


def predict(mean: float, square: float, weeks: float) -> Estimate:
    """Predict another count from those of some weeks.

    Args:
        mean: The mean of the counts.
        square: The mean of their squares.
        weeks: The number of weeks, ``WEEKS_MIN`` or more.

    Returns:
        People, with a 95 % interval.
    """
    spread = max(square - mean * mean, 0.0) * weeks / (weeks - 1)
    quantile = STUDENT[min(int(weeks) - 2, len(STUDENT) - 1)]
    half_width = quantile * sqrt(max(spread, mean) * (1 + 1 / weeks))
    return Estimate(mean, max(mean - half_width, 0.0), mean + half_width)


def history_estimate(
    history: History, *, wall_ms: int, moods: Sequence[str]
) -> tuple[Estimate, list[Estimate]] | None:
    """Estimate the people in a room from its averages at this hour of the week.

    Args:
        history: The averages of the room.
        wall_ms: The time, milliseconds since 1970-01-01 UTC.
        moods: The moods to estimate one by one.

    Returns:
        People, and people of each mood, all with 95 % intervals; None where this hour was observed in fewer
        than two weeks.
    """
    average = history.average(wall_ms)
    if average.weeks < WEEKS_MIN:
        return None
    crowd, *of_moods = (
        predict(average.mean.get(mood, 0.0), average.square.get(mood, 0.0), average.weeks)
        for mood in (ALL, *moods)
    )
    return crowd, of_moods


def predictions(history: History) -> list[dict[str, Any]]:
    """Return the averages of a room with prediction intervals, for clients that are offline.

    Returns:
        As ``History.averages``, and for each hour ``low`` and ``high``, the ends of a 95 % interval for the
        people of another such hour; both None where it was observed in fewer than two weeks.
    """
    hours = []
    for average in history.averages():
        wall_ms = (average["hour"] - EPOCH_HOUR) % HOURS * HOUR_MS
        found = history_estimate(history, wall_ms=wall_ms, moods=())
        low, high = (round(found[0].low), round(found[0].high)) if found else (None, None)
        hours.append(average | {"low": low, "high": high})
    return hours


def estimated(presence: Presence, history: History, *, wall_ms: int, min_cell_size: int) -> Presence:
    """Return a presence with the estimate in place of an unknown count, if there is one.

    Args:
        presence: The presence; its ``low``, people who are certainly here, is kept as a lower bound.
        history: The averages of the room.
        wall_ms: The time, milliseconds since 1970-01-01 UTC.
        min_cell_size: The room's, as for ``merge_cells``.
    """
    names = (*presence.moods, UNSPOKEN)
    found = history_estimate(history, wall_ms=wall_ms, moods=names)
    if presence.method != "unknown" or found is None:
        return presence
    crowd, of_moods = found
    count = max(round(crowd.count), presence.low)
    low, high = max(round(crowd.low), presence.low), max(round(crowd.high), count)
    parts = apportion(count, [mood.count for mood in of_moods])
    cells = [mood.rounded(part) for part, mood in zip(parts, of_moods, strict=True)]
    # Moods that were merged then cannot be separated now.
    was_merged = history.average(wall_ms).mean.get(MERGED, 0.0) > 0
    *named, unspoken = [None] * len(cells) if was_merged else merge_cells(cells, min_cell_size)
    label, _ = read_label(count, low, high, shown=None)
    return replace(
        presence,
        count=count,
        low=low,
        high=high,
        method="estimated",
        moods={name: cell and cell[0] for name, cell in zip(presence.moods, named, strict=True)},
        unspoken=unspoken and unspoken[0],
        mood_intervals={
            name: cell and cell[1:] for name, cell in zip(names, (*named, unspoken), strict=True)
        },
        label=label,
    )
