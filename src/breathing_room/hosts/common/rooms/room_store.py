"""Rooms in a store, under the same keys on every host, so that one can go on where another stopped.

==============  ================================================================================================
``snapshot/``   the room (``core/snapshot.py``). It holds keyed hashes of visitor ids, so it is gone when the last
                lease in it ends, and the last session of a legacy client is forgotten
``note/``       how many leases that were, so that a restart knows what it does not know
``history/``    the averages of the hours of the week
``day/``        what the operator is shown of today
``secret/``     the secrets of the key epochs (``secrets.py``)
==============  ================================================================================================
"""

import json
import logging
from dataclasses import dataclass
from typing import Final

from breathing_room.core.config import RoomConfig
from breathing_room.core.daily import DailyStats
from breathing_room.core.errors import HostError, StoreError
from breathing_room.core.estimate.legacy_sampling import MEMORY_MS
from breathing_room.core.history import WEEKS_MAX, History
from breathing_room.core.room import Room
from breathing_room.core.snapshot import Snapshot, decode_snapshot
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.ports import Clock, Store, wall_ms

log = logging.getLogger("breathing_room.rooms")

SNAPSHOT: Final = "snapshot/"
NOTE: Final = "note/"
HISTORY: Final = "history/"
DAY: Final = "day/"

# Averages of a room that was empty for as many weeks as they reach back say nothing any more.
HISTORY_TTL_MS: Final = WEEKS_MAX * 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Restored:
    """What a store holds of a room.

    Attributes:
        name: The room's name.
        is_known: Whether the room was ever stored.
        is_empty: Whether it is known that no lease was held when it was stored last.
        snapshot: The room as it was stored last, if there were leases in it that can still be read.
    """

    name: str
    is_known: bool
    is_empty: bool = False
    snapshot: Snapshot | None = None

    def room(
        self, config: RoomConfig, *, now_ms: int, crashed: bool = False, connection_is_lease: bool = False
    ) -> Room:
        """Make the room as the last run left it.

        Args:
            config: How it works from now on.
            now_ms: The host's time.
            crashed: Whether the last run may have ended without storing what it knew.
            connection_is_lease: As of ``Room``.
        """
        if self.snapshot is not None:
            return Room.restore(self.snapshot, config, now_ms=now_ms, connection_is_lease=connection_is_lease)
        unknown = crashed or not self.is_empty
        return Room(
            self.name, config, now_ms=now_ms, unknown=unknown, connection_is_lease=connection_is_lease
        )


class RoomStore:
    """Writes rooms into a store, and reads them back. A save that fails is logged, counted, and made up for by the next.

    Args:
        store: The store.
        counters: Where saves are counted.
        writes_cost: Whether each write is paid for: the note and the averages are then written only when the note changes
            from empty to not empty or back, which is all that a restart asks it.
        clock: Tells the wall time.

    Attributes:
        saved_at_ms: When something was last stored, by the wall clock.
    """

    def __init__(
        self, store: Store, counters: Counters, *, writes_cost: bool = False, clock: Clock = wall_ms
    ) -> None:
        self.saved_at_ms: int | None = None
        self._clock = clock
        self._store = store
        self._counters = counters
        self._writes_cost = writes_cost
        self._noted_empty: dict[str, bool] = {}

    async def names(self) -> list[str]:
        """Name the rooms that are stored.

        Raises:
            StoreError: The store failed.
        """
        return [key.removeprefix(NOTE) for key in await self._store.list(NOTE)]

    async def restore(self, name: str) -> Restored:
        """Read a room. One that cannot be decoded is known, and it is unknown who was in it.

        Raises:
            StoreError: The store failed.
        """
        noted = await self._store.get(NOTE + name)
        if noted is None:
            return Restored(name, is_known=False)
        try:
            people = json.loads(noted).get("people")
            stored = await self._store.get(SNAPSHOT + name)
            snapshot = None if stored is None else decode_snapshot(stored)
        except (HostError, ValueError, AttributeError) as error:
            log.error("the snapshot of room %s is of no use: %s", name, error)
            return Restored(name, is_known=True)
        return Restored(name, is_known=True, is_empty=people == 0, snapshot=snapshot)

    async def save(
        self, snapshot: Snapshot, encoded: bytes, *, elsewhere: int = 0, history: bytes | None = None
    ) -> bool:
        """Store a room.

        Args:
            snapshot: The room.
            encoded: The same, encoded.
            elsewhere: Leases of the room that other machines hold.
            history: Its averages, to be stored beside the note; None for not at all.

        Returns:
            Whether it was stored.
        """
        lengths_ms = (
            *snapshot.people.left_ms,
            *snapshot.panel.seats.left_ms,
            *(MEMORY_MS - age_ms for age_ms in snapshot.legacy.ages_ms),
        )
        ttl_ms = max(lengths_ms, default=0)
        name, people = snapshot.room, snapshot.count + elsewhere
        try:
            if ttl_ms > 0:
                await self._store.put(SNAPSHOT + name, encoded, ttl_ms=ttl_ms)
            else:
                await self._store.delete(SNAPSHOT + name)
            if not (self._writes_cost and self._noted_empty.get(name) == (people == 0)):
                note = json.dumps({"people": people, "as_of_ms": snapshot.as_of_ms}).encode()
                await self._store.put(NOTE + name, note)
                if history is not None:
                    await self._store.put(HISTORY + name, history, ttl_ms=HISTORY_TTL_MS)
                self._noted_empty[name] = people == 0
        except (StoreError, HostError) as error:  # HostError: more leases than one value can hold
            self._counters.snapshots_failed += 1
            log.error("room %s could not be saved: %s", name, error)
            return False
        self._counters.snapshots += 1
        self.saved_at_ms = self._clock()
        return True

    async def forget(self, name: str) -> None:
        """Delete a room that is empty; its averages stay.

        Raises:
            StoreError: The store failed.
        """
        await self._store.delete(SNAPSHOT + name)
        await self._store.delete(NOTE + name)

    # --- Averages, and today ----------------------------------------------------------------------------------

    async def history(self, name: str) -> History | None:
        """Read the averages of a room; None where there are none that can be read."""
        try:
            stored = await self._store.get(HISTORY + name)
            return None if stored is None else History.decode(stored)
        except (StoreError, HostError) as error:
            log.error("the history of room %s could not be read: %s", name, error)
            return None

    async def save_history(self, name: str, history: History, day: DailyStats | None) -> bool:
        """Store the averages of a room, and what its operator is shown of today until that ends.

        Returns:
            Whether both were stored.
        """
        try:
            await self._store.put(HISTORY + name, history.encode(), ttl_ms=HISTORY_TTL_MS)
            if day is not None:
                ttl_ms = max(1, day.ends_ms - self._clock())
                await self._store.put(DAY + name, day.encode(), ttl_ms=ttl_ms)
        except StoreError as error:
            self._counters.histories_failed += 1
            log.error("the history of room %s could not be saved: %s", name, error)
            return False
        self.saved_at_ms = self._clock()
        return True

    async def merge_day(self, name: str, day: DailyStats) -> None:
        """Take in what is stored of today, if it can be read."""
        try:
            stored = await self._store.get(DAY + name)
            if stored is not None:
                day.merge(stored)
        except (StoreError, HostError) as error:
            log.error("the day of room %s could not be read: %s", name, error)
