"""Invariants of the simulation, checked at every observation.

A run that breaks one stops with ``UnsafeError``: it found a bug, and its measurements are void.
"""

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.presence import Presence
from breathing_room.core.room import Room
from breathing_room.core.write_policies.records import KEY_REST_MS
from breathing_room.lab.sim.meter import StoreMeter


class UnsafeError(AssertionError):
    """An invariant of the room does not hold."""


def check_presence(presence: Presence) -> None:
    """Check a presence: an interval around the count, and moods that sum to it.

    Raises:
        UnsafeError: It is inconsistent.
    """
    count, low, high = presence.count, presence.low, presence.high
    if count is not None and high is not None:
        if not 0 <= low <= count <= high:
            raise UnsafeError(f"{count} people in an interval from {low} to {high}")
        if sum(presence.people.values()) != count:
            raise UnsafeError(f"moods that do not sum to the count: {presence.people}, {count}")
    if not 0 < presence.sample_rate <= 1:
        raise UnsafeError(f"a rate of {presence.sample_rate}")
    for mood, value in {**presence.moods, UNSPOKEN: presence.unspoken}.items():
        interval = presence.mood_intervals[mood]
        if (value is None) != (interval is None):
            raise UnsafeError(f"{mood} has an interval and no value, or the other way round")
        if value is not None and interval is not None and not interval[0] <= value <= (interval[1] or value):
            raise UnsafeError(f"{value} people of mood {mood} in an interval of {interval}")


def check_room(room: Room, now_ms: int) -> None:
    """Check that theta is no higher than the rate, and that no lease is overdue.

    Raises:
        UnsafeError: One of them does not hold.
    """
    panel = room.panel
    if not 0 < panel.theta <= panel.rate:
        raise UnsafeError(f"theta {panel.theta} over the rate {panel.rate}")
    if panel.next_at_ms is not None and panel.next_at_ms < now_ms:
        raise UnsafeError(f"the panel's timer was due {now_ms - panel.next_at_ms} ms ago")


def check_store(meter: StoreMeter) -> None:
    """Check that no key was written twice within its rest.

    Raises:
        UnsafeError: One was.
    """
    if meter.rest_ms is not None and meter.rest_ms < KEY_REST_MS:
        raise UnsafeError(f"a key was written {meter.rest_ms} ms after the last time")
