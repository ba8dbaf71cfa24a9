"""Rooms in a store, under the same keys on every host, so that one host can resume a room of another.

==============  ================================================================================================
``snapshot/``   the room (``core/snapshot.py``). It holds keyed hashes of visitor ids, so its TTL ends with the
                last lease in it and with the memory of the last legacy client
``note/``       the number of leases, so that a restart knows whether the count is unknown
``history/``    the averages of the hours of the week
``day/``        the daily statistics of the operator's page
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

# Averages older than the weeks that they cover hold no information.
HISTORY_TTL_MS: Final = WEEKS_MAX * 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Restored:
    """The stored state of a room.

    Attributes:
        name: The room's name.
        is_known: Whether the room was ever stored.
        is_empty: Whether it is known to have had no lease when it was last stored.
        snapshot: Its last snapshot, if that held leases and can be decoded.
    """

    name: str
    is_known: bool
    is_empty: bool = False
    snapshot: Snapshot | None = None

    def room(
        self, config: RoomConfig, *, now_ms: int, crashed: bool = False, connection_is_lease: bool = False
    ) -> Room:
        """Restore the room.

        Args:
            config: Its config from now on.
            now_ms: The host's time.
            crashed: Whether the last run may have ended without a final save.
            connection_is_lease: As for ``Room``.
        """
        if self.snapshot is not None:
            return Room.restore(self.snapshot, config, now_ms=now_ms, connection_is_lease=connection_is_lease)
        unknown = crashed or not self.is_empty
        return Room(
            self.name, config, now_ms=now_ms, unknown=unknown, connection_is_lease=connection_is_lease
        )


class RoomStore:
    """Saves and restores rooms. A save that fails is logged and counted; the next one makes up for it.

    Args:
        store: The store.
        counters: Counts the saves.
        writes_cost: Whether writes are billed: the note and the history are then written only when the note
            changes between empty and not empty, which is all that a restart needs.
        clock: Returns the wall time in milliseconds.

    Attributes:
        saved_at_ms: The time of the last save, by the wall clock.
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
        """List the names of the stored rooms.

        Raises:
            StoreError: The store failed.
        """
        return [key.removeprefix(NOTE) for key in await self._store.list(NOTE)]

    async def restore(self, name: str) -> Restored:
        """Read the stored state of a room. If it cannot be decoded, the count is unknown.

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
            log.error("the snapshot of room %s cannot be decoded: %s", name, error)
            return Restored(name, is_known=True)
        return Restored(name, is_known=True, is_empty=people == 0, snapshot=snapshot)

    async def save(
        self, snapshot: Snapshot, encoded: bytes, *, elsewhere: int = 0, history: bytes | None = None
    ) -> bool:
        """Save a room.

        Args:
            snapshot: Its snapshot.
            encoded: The same, encoded.
            elsewhere: The number of leases that other replicas hold.
            history: Its encoded history, stored with the note; None to store none.

        Returns:
            Whether it was stored.
        """
        lengths_ms = (
            *snapshot.members.left_ms,
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
        except (StoreError, HostError) as error:  # HostError: the snapshot is larger than a value may be
            self._counters.snapshots_failed += 1
            log.error("room %s could not be saved: %s", name, error)
            return False
        self._counters.snapshots += 1
        self.saved_at_ms = self._clock()
        return True

    async def remove(self, name: str) -> None:
        """Delete the snapshot and the note of an empty room; its history stays.

        Raises:
            StoreError: The store failed.
        """
        await self._store.delete(SNAPSHOT + name)
        await self._store.delete(NOTE + name)

    # --- Averages, and today -------------------------------------------------------------------------------

    async def history(self, name: str) -> History | None:
        """Read the history of a room; None if there is none, or it cannot be read."""
        try:
            stored = await self._store.get(HISTORY + name)
            return None if stored is None else History.decode(stored)
        except (StoreError, HostError) as error:
            log.error("the history of room %s could not be read: %s", name, error)
            return None

    async def save_history(self, name: str, history: History, day: DailyStats | None) -> bool:
        """Store the history of a room, and its daily statistics until the end of the day.

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
        """Merge the stored daily statistics into ``day``, if they can be read."""
        try:
            stored = await self._store.get(DAY + name)
            if stored is not None:
                day.merge(stored)
        except (StoreError, HostError) as error:
            log.error("the daily statistics of room %s could not be read: %s", name, error)
