"""The controller: it alone sets the sampling rate of each room and records leases that expired."""

from math import exp

from breathing_room.core.config import DAY_MS
from breathing_room.core.panel import ARRIVALS_MS, WINDOW_LEASES
from breathing_room.core.tickets import TICKETS
from breathing_room.core.write_policies.records import decode_records, merge
from breathing_room.hosts.common.rooms.secrets import keep_secrets
from breathing_room.hosts.common.store_mode.records import (
    CONTROL,
    REPORTS,
    Control,
    RoomControl,
    encode_control,
    read_control,
    read_values,
)
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.ports import Clock, Store, wall_ms


async def reconcile(
    store: Store, config: StoreModeConfig | None = None, *, clock: Clock = wall_ms
) -> Control:
    """Set rates, record expired leases and advance the epoch, once.

    Exactly one process calls it, every ``reconcile_ms``.

    Returns:
        The control that it wrote.

    Raises:
        StoreError: The store failed. The next run makes up for it.
    """
    config = config or StoreModeConfig()
    now_ms = clock()
    before = await read_control(store)
    epoch_ms = config.server.room.epoch_ms
    epoch = now_ms // epoch_ms if before is None else max(before.epoch, now_ms // epoch_ms)
    await keep_secrets(store, epoch=epoch, epoch_ms=epoch_ms, clock=clock)
    before = before or Control(as_of_ms=now_ms, epoch=epoch)
    names = {key.removeprefix(REPORTS).partition("/")[0] for key in await store.list(REPORTS)}
    rooms = {}
    for name in sorted(names | before.rooms.keys()):
        room = _reconcile_room(config, name, before, await read_values(store, name), now_ms)
        # A room in its initial state needs no entry.
        if name in names or room.expired or len(room.rates) > 1 or room.rates[0][1] < 1.0:
            rooms[name] = room
    control = Control(as_of_ms=now_ms, epoch=epoch, rooms=rooms)
    await store.put(CONTROL, encode_control(control))
    return control


def _reconcile_room(
    config: StoreModeConfig, name: str, before: Control, values: list[bytes], now_ms: int
) -> RoomControl:
    """Compute the control of one room from the one before and the stored records."""
    room = before.room(name)
    settings = config.server.room_config(name)
    lease_ms = settings.heartbeat_lease_ms + config.heartbeat_lag_ms
    records = [record for record in merge(values).values() if record.here]
    rate = config.make_rate(name, room, now_ms)
    window_ms = WINDOW_LEASES * settings.heartbeat_lease_ms
    expired = [(at_ms, drawn) for at_ms, drawn in room.expired if at_ms > now_ms - window_ms]
    for record in records:
        ended_at_ms = record.reported_at_ms + lease_ms
        if before.as_of_ms < ended_at_ms <= now_ms:
            expired.append((ended_at_ms, round(record.ticket * TICKETS)))
    passed_ms = now_ms - before.as_of_ms
    heard_after_ms, heard_until_ms = (
        before.as_of_ms - config.heartbeat_lag_ms,
        now_ms - config.heartbeat_lag_ms,
    )
    arrived = sum(
        heard_after_ms < record.reported_at_ms <= heard_until_ms
        for value in values
        for record in decode_records(value)
    )
    kept = exp(-passed_ms / ARRIVALS_MS)
    arrivals_per_ms = room.arrivals_per_ms * kept + (
        arrived / passed_ms * (1 - kept) if passed_ms > 0 else 0.0
    )
    budget = settings.reports_per_day
    seats = sum(
        record.reported_at_ms + lease_ms > now_ms and record.ticket < rate.current for record in records
    )
    rate.theta(now_ms)  # Drops the rates that no client can still act on.
    was = rate.current
    if rate.adjust(seats, arrivals_per_ms * DAY_MS / budget if budget else 0.0, now_ms):
        arrivals_per_ms *= (
            rate.current / was
        )  # The sample changes with the rate, and the reports with the sample.
    return RoomControl(
        rates=rate.rates,
        changed_at_ms=rate.changed_at_ms,
        since_ms=room.since_ms,
        expired=tuple(sorted(expired)),
        arrivals_per_ms=arrivals_per_ms,
    )
