"""A room on its way out of KV: while writers of the stateless mode still take reports, it hears them, and they hear it.

The object of a room that was found in KV is one more writer there: six times between two runs of the job it puts what was reported to it under a prefix of its
own, and reads what others put. The latest record of a visitor counts, whoever wrote it, so whoever reports now here and now there is one person,
and both sides publish the same crowd, some seconds late, and as late as KV is. The rate is the job's, on both sides. When the job has not run for a
while, nobody is left to follow.

Nothing here needs to outlast a sleep: what was read can be read again, and a record that the room has acted on already changes nothing.
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
"""Where an object remembers that it follows."""

WRITER: Final = "object"

ROUNDS: Final = 6
"""How often it puts and reads between two runs of the job: every 10 s."""

JOBS_MISSED_MAX: Final = 3
"""Runs of the job that may be missed before it is taken to have ended."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a room has come.

    Attributes:
        syncing: Whether the job still runs, so that somebody may still report elsewhere.
        seats: People of the panel.
        elsewhere: Those of them who reported elsewhere last.
    """

    syncing: bool
    seats: int
    elsewhere: int


async def take_over(store: Store, config: StoreModeConfig, empty: Room, *, now_ms: int) -> Room | None:
    """Make a room of the panel that store mode left in the store; the secrets are the same.

    So a room moves into its object when that is deployed. As long as writers elsewhere go on reporting to the store, a
    ``Follower`` keeps both together.

    Args:
        store: What the writers share.
        config: How they work.
        empty: The room as it begins without them.
        now_ms: The time.

    Returns:
        The room, or None if the store holds nothing of it.

    Raises:
        StoreError: The store failed.
        HostError: What it holds is damaged.
    """
    control = await read_control(store)
    if control is None or empty.name not in control.rooms:
        return None
    name, of_room = empty.name, control.rooms[empty.name]
    values = await read_values(store, name)
    lease_ms = empty.config.heartbeat_lease_ms
    rate = config.make_rate(name, of_room, now_ms)
    live = live_seats(values, now_ms=now_ms, lease_ms=lease_ms, silence_ms=config.silence_ms)
    seats = [record for record in live.values() if record.ticket < rate.current]
    moods = {mood: index for index, mood in enumerate(empty.config.moods)}
    leases = Leases(
        keys=b"".join(record.visitor for record in seats),
        mood_of=bytes(moods.get(record.mood or "", len(moods)) for record in seats),
        flags=bytes(len(seats)),
        left_ms=tuple(max(1, record.heard_at_ms + lease_ms - now_ms) for record in seats),
        tickets=tuple(round(record.ticket * TICKETS) for record in seats),
    )
    began = empty.snapshot()
    panel = replace(
        began.panel, seats=leases, rates=rate.rates, changed_at_ms=of_room.changed_at_ms, since_ms=now_ms
    )
    taken = replace(began, panel=panel, has_unsaved_changes=True, counted_at_ms=now_ms)
    room = Room.wake(taken, empty.config, {}, connection_is_lease=True)
    room.step(TimerFired(), now_ms=now_ms)
    return room


class KvMigration:
    """Keeps a room and the writers in KV together.

    Args:
        name: The room's name.
        store: What the writers share.
        config: How they work.
        now_ms: The time.

    Attributes:
        every_ms: How often it follows.
        next_at_ms: When the next round is due: ``begin_round``, then ``follow``.
        over: Whether there is nobody left to follow.
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
        # The record of each visitor that was acted on last.
        self._acted: dict[VisitorKey, Record] = {}
        self._elsewhere: set[VisitorKey] = set()

    def note(self, event: PanelReported | PanelLeft, now_ms: int) -> None:
        """Take down what was reported here."""
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
        """Tell writers what was reported here, and find what was reported there.

        Args:
            room: The room, to look at.
            now_ms: The time.

        Returns:
            What to feed to the room.

        Raises:
            StoreError: The store failed. What was to be told is told the next time.
        """
        control = await read_control(self._store)
        self.over = control is None or now_ms - control.as_of_ms > JOBS_MISSED_MAX * self._config.reconcile_ms
        if control is None or self.over:
            return []
        await self._tell(now_ms)
        events: list[Event] = []
        known_ms = _heard_at_ms(room, self._lease_ms)
        of_room = control.room(self._name)
        rate = self._config.make_rate(self._name, of_room, now_ms)
        for record in (await self._records()).values():
            visitor, acted = record.visitor, self._acted.get(record.visitor)
            lives = (
                record.here and record.heard_at_ms + self._lease_ms > now_ms and record.ticket < rate.current
            )
            # A room whose own rate had been lower let some people go whom it needs now.
            was_shed = lives and acted is not None and acted.here and not room.panel.holds(visitor)
            heard_at_ms = known_ms.get(visitor, 0) if acted is None else acted.heard_at_ms
            if record.heard_at_ms <= heard_at_ms and not was_shed:
                continue
            self._acted[visitor] = record
            if lives:
                mood = record.mood if record.mood in room.config.moods else None
                events.append(PanelReported(visitor, record.ticket, mood, None))
            elif not record.here:
                events.append(PanelLeft(visitor))
        # Two rates would make two panels of one.
        paced = [] if rate.current == room.panel.rate else [RateSet(rate.rates, of_room.changed_at_ms)]
        return [*paced, *events]

    def progress(self, room: Room) -> Progress:
        """Say how far it is."""
        elsewhere = sum(room.panel.holds(visitor) for visitor in self._elsewhere)
        return Progress(not self.over, room.panel.seat_count, elsewhere)

    # --- Inside -----------------------------------------------------------------------------------------------

    async def _tell(self, now_ms: int) -> None:
        """Put what was reported here where the writers look."""
        if not self._unsent:
            return
        told = dict(self._unsent)
        ttl_ms = self._lease_ms + self.every_ms + 2 * self._config.reconcile_ms
        key = f"{REPORTS}{self._name}/{WRITER}/{now_ms:013}"
        await self._store.put(key, encode_records(told.values()), ttl_ms=ttl_ms)
        for visitor, record in told.items():
            if self._unsent.get(visitor) is record:  # Otherwise there was more meanwhile.
                del self._unsent[visitor]

    async def _records(self) -> dict[VisitorKey, Record]:
        """Read what is new, and find the latest record of everybody; a value never changes."""
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
                if former is None or record.heard_at_ms >= former.heard_at_ms:
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


def _heard_at_ms(room: Room, lease_ms: int) -> dict[VisitorKey, int]:
    """Say when each seat was heard from last, as far as its lease tells."""
    snapshot = room.snapshot()
    return {key: snapshot.as_of_ms + left_ms - lease_ms for key, _, _, left_ms in snapshot.panel.seats}
