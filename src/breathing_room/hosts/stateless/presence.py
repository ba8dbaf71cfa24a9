"""Who is in a room, read out of what writers and job left in the store."""

from collections.abc import Mapping
from dataclasses import replace
from math import ceil, floor

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.estimate.panel import apportion, expected_ghosts, panel_estimate
from breathing_room.core.events import VisitorKey
from breathing_room.core.panel import WINDOW_LEASES
from breathing_room.core.policies import Record
from breathing_room.core.presence import Presence, read_label
from breathing_room.core.tickets import TICKETS
from breathing_room.hosts.stateless.config import StatelessConfig
from breathing_room.hosts.stateless.control import Control


def describe(
    name: str,
    config: StatelessConfig,
    control: Control | None,
    records: Mapping[VisitorKey, Record],
    *,
    now_ms: int,
) -> Presence:
    """Say who is in a room.

    Args:
        name: The room.
        config: How writers and job work.
        control: What the job said, None if it never ran: then nobody knows.
        records: What the store holds, merged.
        now_ms: The time. What is published is true as of one bucket before.
    """
    settings = config.server.room_config(name)
    unknown = Presence(
        room=name,
        count=None,
        low=0,
        high=None,
        method="unknown",
        rate=1.0,
        epoch=now_ms // config.server.room.epoch_ms,
        moods=dict.fromkeys(settings.moods, 0),
        unspoken=0,
        mood_intervals={},
        label="unknown",
        as_of_ms=now_ms - config.silence_ms,
        valid_ms=settings.valid_ms,
        next_ms=settings.next_ms,
    )
    if control is None:
        return unknown
    room = control.room(name)
    rate = config.make_rate(name, room, now_ms)
    theta = rate.theta(now_ms)
    lease_ms = settings.beat_lease_ms + config.silence_ms
    seats = [
        record
        for record in records.values()
        if record.here and record.ticket < theta and record.heard_at_ms + lease_ms > now_ms
    ]
    ghost_ms = lease_ms - settings.beat_ms / 2
    window_ms = max(
        settings.beat_lease_ms,
        min(WINDOW_LEASES * settings.beat_lease_ms, now_ms - room.since_ms - settings.beat_lease_ms),
    )
    silent = sum(at_ms > now_ms - window_ms and drawn < theta * TICKETS for at_ms, drawn in room.lapsed)
    ghosts = min(expected_ghosts(silent, ghost_ms=ghost_ms, window_ms=window_ms), len(seats))
    estimate = panel_estimate(len(seats), ghosts, theta, ghost_ms=ghost_ms, window_ms=window_ms)
    total = round(estimate.count)
    low = min(total, floor(estimate.low))
    high = max(total, ceil(estimate.high))
    tally = dict.fromkeys((*settings.moods, UNSPOKEN), 0)
    for record in seats:
        mood = record.mood or UNSPOKEN
        tally[mood if mood in tally else UNSPOKEN] += 1  # Writers may know other moods for a moment.
    *moods, unspoken = apportion(total, list(tally.values()))
    label, _ = read_label(total, low, high, shown=None)
    return replace(
        unknown,
        count=total,
        low=low,
        high=high,
        method="counted" if theta == 1.0 else "sampled",
        rate=rate.current,
        epoch=control.epoch,
        moods=dict(zip(settings.moods, moods, strict=True)),
        unspoken=unspoken,
        label=label,
    )
