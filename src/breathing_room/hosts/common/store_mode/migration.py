"""Migrate a room from KV to a Durable Object while writers of store mode still take reports.

The object is one more writer: six times between two runs of the controller it puts the reports that it took
under a prefix of its own, and reads the records of the other writers. The latest record of a visitor counts,
regardless of its writer, so a visitor whose reports go to both sides is one visitor, and both publish the
same count, delayed by some seconds and by the propagation of KV. The rate is the controller's, on both sides.
Once the controller has not run for a while, the migration is over.

No state here needs to survive hibernation: records can be read again, and one that the room has applied
already changes nothing.
"""

import logging
from dataclasses import dataclass, replace
from typing import Final

from breathing_room.core.errors import HostError
from breathing_room.core.events import Event, PanelLeft, PanelReported, RateSet, TimerFired
from breathing_room.core.identity import VisitorKey
from breathing_room.core.leases import Leases
from breathing_room.core.room import Room
from breathing_room.core.tickets import TICKETS
from breathing_room.core.write_policies.records import (
    Record,
    decode_records,
    encode_records,
    later,
    live_seats,
)
from breathing_room.hosts.common.store_mode.records import REPORTS, read_control, read_values
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.ports import Store

log = logging.getLogger("breathing_room.worker")

MIGRATING: Final = "follows"
"""The key under which an object stores that its migration goes on."""

WRITER: Final = "object"

ROUNDS: Final = 6
"""Rounds of puts and reads between two runs of the controller: one every 10 s."""

JOBS_MISSED_MAX: Final = 3
"""Runs that the controller may miss before it counts as ended."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a migration.

    Attributes:
        syncing: Whether the controller still runs, so that writers may still take reports.
        seats: Seats of the panel.
        elsewhere: Those whose last report went to a writer.
    """

    syncing: bool
    seats: int
    elsewhere: int


async def take_over(store: Store, config: StoreModeConfig, empty: Room, *, now_ms: int) -> Room | None:
    """Create a room with the panel that store mode has in the store; the secrets are the same.

    A room moves into its Durable Object this way when that is deployed. While writers still take reports, a
    ``KvMigration`` keeps the room and the store in sync.

    Args:
        store: The store of the writers.
        config: Their config.
        empty: The room without a panel.
        now_ms: The time.

    Returns:
        The room, or None if it is not in the store.

    Raises:
        StoreError: The store failed.
        HostError: The stored records are damaged.
    """
    control = await read_control(store)
    if control is None or empty.name not in control.rooms:
        return None
    name, of_room = empty.name, control.rooms[empty.name]
    values = await read_values(store, name)
    lease_ms = empty.config.heartbeat_lease_ms
    rate = config.make_rate(name, of_room, now_ms)
    live = live_seats(values, now_ms=now_ms, lease_ms=lease_ms, heartbeat_lag_ms=config.heartbeat_lag_ms)
    seats = [record for record in live.values() if record.ticket < rate.current]
    moods = {mood: index for index, mood in enumerate(empty.config.moods)}
    leases = Leases(
        keys=b"".join(record.visitor for record in seats),
        mood_of=bytes(moods.get(record.mood or "", len(moods)) for record in seats),
        flags=bytes(len(seats)),
        left_ms=tuple(max(1, record.reported_at_ms + lease_ms - now_ms) for record in seats),
        tickets=tuple(round(record.ticket * TICKETS) for record in seats),
    )
    began = empty.snapshot()
    panel = replace(
        began.panel, seats=leases, rates=rate.rates, changed_at_ms=of_room.changed_at_ms, since_ms=now_ms
    )
    taken = replace(began, panel=panel, has_unsaved_changes=True, counted_at_ms=now_ms)
    room = Room.resume(taken, empty.config, {}, connection_is_lease=True)
    room.step(TimerFired(), now_ms=now_ms)
    return room


class KvMigration:
    """Keeps a room and the writers in KV in sync.

    Args:
        name: The room's name.
        store: The store of the writers.
        config: Their config.
        now_ms: The time.

    Attributes:
        every_ms: The time between two rounds.
        next_at_ms: When the next round is due: ``begin_round``, then ``sync``.
        over: Whether the controller has ended, and the migration with it.
    """

    def __init__(self, name: str, store: Store, config: StoreModeConfig, *, now_ms: int) -> None:
        self.next_at_ms = now_ms
        self.every_ms = config.reconcile_ms // ROUNDS
        self.over = False
        self._name = name
        self._store = store
        self._config = config
        self._lease_ms = config.server.room_config(name).heartbeat_lease_ms
        self._unsent: dict[VisitorKey, Record] = {}
        self._read: dict[str, list[Record]] = {}
        # The record of each visitor that was applied last.
        self._acted: dict[VisitorKey, Record] = {}
        self._elsewhere: set[VisitorKey] = set()

    def note(self, event: PanelReported | PanelLeft, now_ms: int) -> None:
        """Record a report or leave that the room took, to be sent to the writers."""
        match event:
            case PanelReported(visitor, ticket, mood):
                record = Record(visitor, ticket, mood, now_ms)
            case PanelLeft(visitor):
                record = Record(visitor, 0.0, None, now_ms, here=False)
        self._acted[visitor] = record
        self._elsewhere.discard(visitor)
        self._unsent[visitor] = later(self._unsent.get(visitor), record)

    def begin_round(self, now_ms: int) -> None:
        """Set the time of the next round."""
        self.next_at_ms = now_ms + self.every_ms

    async def sync(self, room: Room, now_ms: int) -> list[Event]:
        """Put the room's reports where the writers read, and return the events that follow from theirs.

        Args:
            room: The room; it is not changed.
            now_ms: The time.

        Returns:
            The events to feed to the room.

        Raises:
            StoreError: The store failed. Unsent records are sent in the next round.
        """
        control = await read_control(self._store)
        self.over = control is None or now_ms - control.as_of_ms > JOBS_MISSED_MAX * self._config.reconcile_ms
        if control is None or self.over:
            return []
        await self._send(now_ms)
        events: list[Event] = []
        known_ms = _reported_at_ms(room, self._lease_ms)
        of_room = control.room(self._name)
        rate = self._config.make_rate(self._name, of_room, now_ms)
        for record in (await self._records()).values():
            visitor, acted = record.visitor, self._acted.get(record.visitor)
            lives = (
                record.here
                and record.reported_at_ms + self._lease_ms > now_ms
                and record.ticket < rate.current
            )
            # A room whose own rate was lower has dropped seats that are in the sample at the controller's
            # rate.
            was_shed = lives and acted is not None and acted.here and not room.panel.holds(visitor)
            reported_at_ms = known_ms.get(visitor, 0) if acted is None else acted.reported_at_ms
            if record.reported_at_ms <= reported_at_ms and not was_shed:
                continue
            self._acted[visitor] = record
            if lives:
                mood = record.mood if record.mood in room.config.moods else None
                events.append(PanelReported(visitor, record.ticket, mood, None))
            elif not record.here:
                events.append(PanelLeft(visitor))
        # Both sides must sample at one rate, or their panels differ.
        rate_set = [] if rate.current == room.panel.rate else [RateSet(rate.rates, of_room.changed_at_ms)]
        return [*rate_set, *events]

    def progress(self, room: Room) -> Progress:
        """Return the progress of the migration."""
        elsewhere = sum(room.panel.holds(visitor) for visitor in self._elsewhere)
        return Progress(not self.over, room.panel.seat_count, elsewhere)

    # --- Inside --------------------------------------------------------------------------------------------

    async def _send(self, now_ms: int) -> None:
        """Put the unsent records where the writers read."""
        if not self._unsent:
            return
        sent = dict(self._unsent)
        ttl_ms = self._lease_ms + self.every_ms + 2 * self._config.reconcile_ms
        key = f"{REPORTS}{self._name}/{WRITER}/{now_ms:013}"
        await self._store.put(key, encode_records(sent.values()), ttl_ms=ttl_ms)
        for visitor, record in sent.items():
            if self._unsent.get(visitor) is record:  # Otherwise a later report arrived during the put.
                del self._unsent[visitor]

    async def _records(self) -> dict[VisitorKey, Record]:
        """Read the new values, and return the latest record of each visitor; a value never changes."""
        prefix = f"{REPORTS}{self._name}/"
        keys = await self._store.list(prefix)
        read: dict[str, list[Record]] = {}
        for key in keys:
            records = self._read.get(key)
            if records is None and (value := await self._store.get(key)) is not None:
                try:
                    records = decode_records(value)
                except HostError as error:
                    log.error("%s: %s", key, error)
                    records = []
            if records is not None:
                read[key] = records
        self._read = read
        latest: dict[VisitorKey, Record] = {}
        ours: dict[VisitorKey, bool] = {}
        for key, records in read.items():
            for record in records:
                former = latest.get(record.visitor)
                if former is None or record.reported_at_ms >= former.reported_at_ms:
                    ours[record.visitor] = key.startswith(f"{prefix}{WRITER}/")
                latest[record.visitor] = later(former, record)
        self._elsewhere = {
            visitor for visitor, own in ours.items() if not own and visitor not in self._unsent
        }
        self._acted = {
            visitor: record
            for visitor, record in self._acted.items()
            if visitor in latest or visitor in self._unsent
        }
        return latest


def _reported_at_ms(room: Room, lease_ms: int) -> dict[VisitorKey, int]:
    """Return when each seat last reported, computed from what is left of its lease."""
    snapshot = room.snapshot()
    return {key: snapshot.as_of_ms + left_ms - lease_ms for key, _, _, left_ms in snapshot.panel.seats}
