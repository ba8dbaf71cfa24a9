"""Estimate the presence of a room from the records of writers and the control in the store."""

from collections.abc import Mapping
from dataclasses import replace

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.estimate import Estimate
from breathing_room.core.estimate.panel import apportion, expected_ghosts, panel_estimate
from breathing_room.core.identity import VisitorKey
from breathing_room.core.panel import WINDOW_LEASES
from breathing_room.core.presence import Counts, Method, Presence, describe, merge_cells
from breathing_room.core.tickets import TICKETS
from breathing_room.core.write_policies.records import Record
from breathing_room.hosts.common.store_mode.records import Control, RoomControl
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig


def read_presence(
    name: str,
    config: StoreModeConfig,
    control: Control | None,
    records: Mapping[VisitorKey, Record],
    *,
    now_ms: int,
) -> Presence:
    """Return the presence of a room.

    Args:
        name: The room.
        config: The config of writers and controller.
        control: The control, None if the controller never ran: the count is then unknown.
        records: The stored records, merged.
        now_ms: The time. The presence is as of one bucket before it.
    """
    settings = config.server.room_config(name)
    if control is None:
        empty = [(0, 0, 0)] * (len(settings.moods) + 1)
        counts = Counts(None, 0, None, "unknown", merge_cells(empty, settings.min_cell_size), 1.0)
    else:
        counts = _counts(name, config, control.room(name), records, now_ms)
    presence = describe(name, settings, counts, at_ms=now_ms - config.heartbeat_lag_ms, label_shown=None)
    return replace(
        presence, epoch=now_ms // config.server.room.epoch_ms if control is None else control.epoch
    )


def _counts(
    name: str,
    config: StoreModeConfig,
    control: RoomControl,
    records: Mapping[VisitorKey, Record],
    now_ms: int,
) -> Counts:
    """Estimate the count, and that of each mood from its own seats, as a ``Room`` does from its panel."""
    settings = config.server.room_config(name)
    rate = config.make_rate(name, control, now_ms)
    theta = rate.theta(now_ms)
    lease_ms = settings.heartbeat_lease_ms + config.heartbeat_lag_ms
    tally = dict.fromkeys((*settings.moods, UNSPOKEN), 0)
    for record in records.values():
        if record.here and record.ticket < theta and record.reported_at_ms + lease_ms > now_ms:
            mood = record.mood or UNSPOKEN
            tally[mood if mood in tally else UNSPOKEN] += (
                1  # A writer may still have an older config with other moods.
            )
    seats = sum(tally.values())
    ghost_ms = lease_ms - settings.heartbeat_ms / 2
    window_ms = max(
        settings.heartbeat_lease_ms,
        min(
            WINDOW_LEASES * settings.heartbeat_lease_ms,
            now_ms - control.since_ms - settings.heartbeat_lease_ms,
        ),
    )
    suspect = sum(at_ms > now_ms - window_ms and drawn < theta * TICKETS for at_ms, drawn in control.expired)
    ghosts = min(expected_ghosts(suspect, ghost_ms=ghost_ms, window_ms=window_ms), seats)

    def people(of_seats: int) -> Estimate:
        share = ghosts * of_seats / seats if seats else 0.0  # Ghosts are spread over all moods alike.
        return panel_estimate(of_seats, share, theta, ghost_ms=ghost_ms, window_ms=window_ms)

    total = people(seats)
    count, low, high = total.rounded(round(total.count))
    parts = apportion(count, list(tally.values()))
    cells = [people(of_mood).rounded(part) for part, of_mood in zip(parts, tally.values(), strict=True)]
    method: Method = "counted" if theta == 1.0 else "sampled"
    return Counts(count, low, high, method, merge_cells(cells, settings.min_cell_size), rate.current)
