"""A room over several objects: what stands beside the room in each of them.

Which of them somebody comes to, the Worker says (``core/replication/routing.py``): the first that has a place. The first object,
``lobby``, holds everybody until it is full; then their number doubles, ``lobby#1``, ``lobby#2`` and so on, as often as all are full, and
halves when a quarter would do. The panel, reads, averages and backups are the first one's business. What objects say to
each other, and what follows, is in ``core/replication/coordinator.py``.

A room that never was larger than one object has nothing of this, and pays for nothing of it.
"""

import asyncio
import ipaddress
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from breathing_room.core.broadcaster import LastBroadcast
from breathing_room.core.codec import DAMAGE, pack, unpack
from breathing_room.core.errors import HostError
from breathing_room.core.presence import Counts, Interval
from breathing_room.core.replication.coordinator import Coordinator
from breathing_room.core.replication.delta import Delta, PeerId, RoomDelta
from breathing_room.core.replication.membership import LATE_TICKS
from breathing_room.core.replication.replica import Replica
from breathing_room.core.replication.shard import CoordinatorUpdate, Shard, ShardReport
from breathing_room.core.room import Room
from breathing_room.core.summary import Summary
from breathing_room.hosts.common.rooms.room_host import RoomHost
from breathing_room.hosts.worker.routes import HttpRequest
from breathing_room.hosts.worker.socket import EdgeSocket

log = logging.getLogger("breathing_room.worker")

OBJECT_ORIGIN: Final = "https://room"
"""The address of an object to other objects, and to the Worker."""

INTERNAL_PATH: Final = "/shards/"
"""What begins the paths that objects ask each other for. No route of the Worker leads there."""

INTERNAL_BODY_BYTES_MAX: Final = 4_000_000
SECRET: Final = "secret/"  # noqa: S105 - a path, no secret
ADD_SHARDS: Final = "grow/"

SHARDS_HEADER: Final = "breathing-room-shards"
"""The header in which the first object tells the Worker how many there are, once there are several."""

SYNC_INTERVAL_MS_MAX: Final = 5_000
"""What is to be told is told after ``push_ms``, and never later than this: an object may be put to sleep after 10 s without work, and who came
and went since the last time is only in its memory."""

SHARD_COUNT_MAX_AGE_MS: Final = 60_000
"""How long the Worker goes by what it was told; then it asks the first object for a place again, and is told anew."""

FULL_MAX_AGE_MS: Final = 1_000
"""How long the Worker sends everybody away after all objects of a room were full."""

CALL_S: Final = 5.0
"""How long another object may take to answer."""

Call = Callable[[int, str, bytes], Awaitable[bytes]]
"""Asks another object of the room: its number, a path, and what to send."""


def object_name(room: str, shard: int) -> str:
    """Name an object. A room's name has no ``#``."""
    return f"{room}#{shard}" if shard else room


def room_and_shard(name: str) -> tuple[str, int]:
    """Read back what ``object_name`` made."""
    room, _, shard = name.partition("#")
    return room, int(shard or 0)


def routing_key(request: HttpRequest, address: str | None) -> bytes:
    """Find what a visitor brings each time before saying who it is: the id that older clients name, or else the address prefix.

    It is hashed at once (``order``), kept nowhere and told nobody.
    """
    if session_id := request.query.get("sessionId"):
        return session_id.encode()
    try:
        client = ipaddress.ip_address(address or "")
    except ValueError:
        return b""
    return client.packed if client.version == 4 else client.packed[:8]


class ShardCounts:
    """What the Worker knows of how many objects rooms have, and which are full: what each of them said of itself lately."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}
        self._full_at_ms: dict[str, int] = {}

    def shards(self, room: str, now_ms: int) -> int:
        """Say how many there are; one where nothing else is known."""
        shards, learnt_at_ms = self._known.get(room, (1, now_ms))
        return shards if now_ms - learnt_at_ms < SHARD_COUNT_MAX_AGE_MS else 1

    def learn(self, room: str, shards: int, now_ms: int) -> None:
        """Remember what the first object of a room said."""
        self._known[room] = (shards, now_ms)

    def is_full(self, room: str, now_ms: int) -> bool:
        """Tell whether all objects of a room were full just now: a hundred are not to be asked for each who wants in."""
        return now_ms - self._full_at_ms.get(room, 0) < FULL_MAX_AGE_MS

    def mark_full(self, room: str, now_ms: int) -> None:
        """Remember that there is no place left."""
        self._full_at_ms[room] = now_ms


class CoordinatorSecrets:
    """The secrets of the first object, as another object of the room asks for them.

    Args:
        call: Asks another object.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def agree(self, epoch: int, proposed: bytes) -> bytes:
        """Return the secret of an epoch; the proposed one if the first object has none.

        Raises:
            ClientError: It cannot be reached.
        """
        return await self._call(0, f"{SECRET}{epoch}", b"") or proposed

    async def find(self, epoch: int) -> None:
        """Return nothing: no visitor was in another object before its first secret."""


class ReplicaCalls(ABC):
    """What an object tells the others of its part of the room, and its people of all.

    Args:
        peers: What it knows of the others.
        room: Its part.
        call: Asks another object.
    """

    def __init__(self, peers: Coordinator | Shard, room: RoomHost[Any], call: Call) -> None:
        self._peers = peers
        self._host = room
        self._call = call
        self._now_ms = room.host.clock.now_ms
        self.replica = Replica(room.room, peers, now_ms=self._now_ms())
        # The last broadcast as it was kept.
        self._saved_broadcast: LastBroadcast | None = None
        self._is_syncing = False
        # What the others know of our part, and how often it was described when that was compared.
        self._sent_sums = ""
        self._compared_changes = -1
        self._sums_dirty = True
        self._saved_at_ms = self._now_ms()
        self._timer_fired_at_ms = 0
        self._busy = False
        self._changed = True

    @property
    def interval_ms(self) -> int:
        """The least time between two things that are told to another object."""
        return min(self._host.room.push_ms, SYNC_INTERVAL_MS_MAX)

    def next_at_ms(self, timer_at_ms: int | None) -> int | None:
        """Say when to be timer_fired: for all that is to be done at once, so that one alarm in ``interval_ms`` is enough for it.

        Args:
            timer_at_ms: When the room itself wants to be timer_fired.
        """
        deadlines = (
            timer_at_ms,
            self._timer_fired_at_ms if self._busy else None,
            self._saved_at_ms + self.interval_ms if self._is_changed else None,
            None if self._is_syncing else self._next_sync_at_ms,
        )
        at_ms = min((deadline for deadline in deadlines if deadline is not None), default=None)
        return None if at_ms is None else max(at_ms, self._timer_fired_at_ms + self.interval_ms)

    def timer_fired(self) -> None:
        """The alarm rang, and what was due is done. Where there was something, more is likely to come: to move an alarm is a row."""
        self._timer_fired_at_ms = self._now_ms()
        self._busy = self._is_changed

    @property
    def _is_changed(self) -> bool:
        """Whether there is something to keep."""
        return self._changed or self._host.room.last_broadcast != self._saved_broadcast

    @property
    @abstractmethod
    def _next_sync_at_ms(self) -> int | None:
        """When to call others, None for not at all."""

    @property
    def _has_keys(self) -> bool:
        """Whether somebody came or went of whom nobody was told."""
        return self.replica.has_keys

    @abstractmethod
    async def sync(self) -> None:
        """Call others, if there is something to send and it is time."""

    @abstractmethod
    async def answer(self, path: str, body: bytes) -> bytes:
        """Answer another object.

        Args:
            path: After ``INTERNAL_PATH``.
            body: What it sent.

        Raises:
            HostError: It makes no sense.
        """

    def after_step(self) -> None:
        """Something happened here: see whether the others must know."""
        if self._host.room.changes != self._compared_changes:
            self._compared_changes = self._host.room.changes
            self._sums_dirty = self._sums_dirty or _fingerprint(self._host.room.summary(self._now_ms())) != self._sent_sums

    def compose(self, now_ms: int) -> RoomDelta:
        """Return what the others should know."""
        part = self.replica.compose(now_ms)
        self._sent_sums, self._sums_dirty = _fingerprint(part.summary), False
        return part

    # --- What others say --------------------------------------------------------------------------------------

    def _receive(self, messages: Iterable[Delta], *, down: Iterable[PeerId] = ()) -> None:
        """Do what follows from what others said for those who are here."""
        self._host.take(self.replica.receive(messages, down=down, now_ms=self._now_ms()))
        self._changed = True

    def resume_standby(self, session: EdgeSocket) -> None:
        """Go on with a socket that was standby_at before a sleep."""
        assert session.key is not None
        assert session.standby_at is not None
        self.replica.adopt(session, session.key, session.mood, session.standby_at)

    # --- Rest -------------------------------------------------------------------------------------------------

    def save(self) -> bytes | None:
        """Write what is to be remembered, if it changed and was not written just now."""
        now_ms = self._now_ms()
        if not self._is_changed or now_ms < self._saved_at_ms + self.interval_ms:
            return None
        self._changed = False
        self._saved_at_ms = now_ms
        self._saved_broadcast = self._host.room.last_broadcast
        announced, broadcast_at_ms, label_shown, reply_ahead = self._saved_broadcast
        # A broadcast that is to follow in any case is kept as one of which it is not known what it said.
        counts = (
            None
            if reply_ahead
            else (
                *(announced.count, announced.low, announced.high, announced.method),
                *(announced.cells, announced.sample_rate),
            )
        )
        head = {"announced": counts, "announced_at_ms": broadcast_at_ms, "label_shown": label_shown}
        return pack(head | {"stamp": self._sent_sums}, self._encode_peers())

    def resume(self, kept: bytes) -> None:
        """Go on from what ``keep`` wrote.

        Raises:
            HostError: It is damaged.
        """
        head, values = unpack(kept)
        try:
            (peers,) = values
            counts, at_ms, label_shown = head["announced"], int(head["announced_at_ms"]), head["label_shown"]
            announced = self._host.room.last_broadcast.counts
            if counts is not None:
                count, low, high, method, cells, rate = counts
                cells = tuple(None if cell is None else _cell(*cell) for cell in cells)
                announced = Counts(count, low, high, method, cells, rate)
            last = LastBroadcast(announced, at_ms, label_shown, reply_ahead=counts is None)
        except DAMAGE as error:
            raise HostError("damaged words of a part") from error
        self._resume_peers(peers)
        self.replica = Replica(self._host.room, self._peers, now_ms=self._now_ms(), last=last)
        self._saved_broadcast = last
        self._changed = self._sums_dirty = False
        self._sent_sums = str(head.get("stamp"))
        self.after_step()

    @abstractmethod
    def _encode_peers(self) -> bytes:
        """Encode what is known of the others."""

    @abstractmethod
    def _resume_peers(self, peers: bytes) -> None:
        """Go on from what ``_encode_peers`` encoded."""

    def _moods_of(self, room: str) -> tuple[str, ...]:
        del room
        return self._host.config.moods


def _cell(count: int, low: int, high: int) -> Interval:
    return int(count), int(low), int(high)


def _fingerprint(summary: Summary) -> str:
    """Say what others would learn from a summary, but not how it ages."""
    panel, legacy = summary.panel, summary.legacy
    people = (summary.people, summary.suspect, summary.restored, summary.unknown)
    return repr((*people, panel.tally, panel.restored, panel.rate, panel.theta, legacy.repeats))


def _late_ms(room: RoomHost[Any]) -> int:
    return LATE_TICKS * min(room.config.push_ms, SYNC_INTERVAL_MS_MAX)


def _empty(room: RoomHost[Any], now_ms: int) -> Summary:
    return Room(room.name, room.config, now_ms=now_ms).summary(now_ms)


class CoordinatorCalls(ReplicaCalls):
    """The part of the first object: it adds up, and tells.

    Args:
        room: Its part.
        call: Asks another object.
    """

    def __init__(self, room: RoomHost[Any], call: Call) -> None:
        now_ms = room.host.clock.now_ms()
        self.coordinator = Coordinator(
            room.name,
            ("0", now_ms),
            _empty(room, now_ms),
            late_ms=_late_ms(room),
            lease_ms=room.config.lease_ms,
            now_ms=now_ms,
        )
        super().__init__(self.coordinator, room, call)

    @property
    def is_alone(self) -> bool:
        """Whether the room is one object again, and there is nothing left to tell or to remember."""
        return not (self.coordinator.states or self.coordinator.shards > 1 or self.replica.standby_count)

    @property
    def _next_sync_at_ms(self) -> int | None:
        return self.coordinator.next_at_ms(self.interval_ms)

    def add_shards(self, full: int, most: int) -> int:
        """ShardCounts people over more objects, if all of those are full that are in use.

        Args:
            full: How many were found full.
            most: How many there may be.

        Returns:
            How many there are.
        """
        if self.coordinator.add_shards(full, most):
            self._changed = True
        return self.coordinator.shards

    def after_step(self) -> None:
        """Something happened here: see whether the children must know, and whether fewer of them would do."""
        super().after_step()
        coordinator, now_ms = self.coordinator, self._now_ms()
        if self._sums_dirty or self._has_keys:
            coordinator.touch(now_ms)
        if coordinator.remove_shards(self._host.attached, self._host.platform.worker.sockets_per_object):
            self._changed = True

    def _append_own(self, now_ms: int) -> Summary:
        """Put our own words into the log; it is ours, so that they are read at once."""
        has_words = self._has_keys
        part = self.compose(now_ms)
        if has_words:
            self.coordinator.append(part, now_ms)
            self._host.take(self.replica.acknowledge(now_ms=now_ms))
        return part.summary

    async def answer(self, path: str, body: bytes) -> bytes:
        """Take a report, and answer with update."""
        now_ms, shard = self._now_ms(), int(path)
        report = ShardReport.decode(body, self._moods_of)
        said, resync = self.coordinator.hear(shard, report, now_ms)
        self._receive(said)
        own = self._append_own(now_ms)
        update = self.coordinator.update(shard, own, now_ms, resync=resync)
        self.coordinator.informed(shard, update.version)
        self._expire()
        return update.encode(self._moods_of)

    async def sync(self) -> None:
        """Tell children what they would not hear in time by telling us something."""
        if self._is_syncing:
            return
        self._is_syncing = True
        try:
            now_ms = self._now_ms()
            due = self.coordinator.due(now_ms, self.interval_ms)
            if due:
                own = self._append_own(now_ms)
                await asyncio.gather(*(self._send_update(shard, own, now_ms) for shard in due))
        finally:
            self._is_syncing = False
        if due:
            self._expire()

    async def _send_update(self, shard: int, own: Summary, now_ms: int) -> None:
        update = self.coordinator.update(shard, own, now_ms)
        try:
            async with asyncio.timeout(CALL_S):
                answered = await self._call(shard, "0", update.encode(self._moods_of))
            report = ShardReport.decode(answered, self._moods_of) if answered else None
        except Exception as error:  # noqa: BLE001 - whatever the platform throws, it could not be reached
            log.debug("shard %d of room %s was not told: %s", shard, self._host.name, error)
            self.coordinator.failed(shard, self._now_ms())
            return
        self.coordinator.informed(shard, update.version)
        if report is not None:
            self._receive(self.coordinator.hear(shard, report, self._now_ms())[0])
        else:
            self.coordinator.reached(shard, self._now_ms())

    def _expire(self) -> None:
        """Let go of those who are gone."""
        self._receive(self.coordinator.expire(self._now_ms()))

    def connections_lost(self) -> None:
        """A deploy or a crash took our sockets, and perhaps those of others."""
        self.coordinator.suspect_all(self._now_ms())
        self._receive(())
        self._changed = True

    def _encode_peers(self) -> bytes:
        return self.coordinator.encode(self._moods_of)

    def _resume_peers(self, peers: bytes) -> None:
        self.coordinator.resume(peers, self._moods_of)


class ShardCalls(ReplicaCalls):
    """The part of any other object: it tells the first one, and hears from it.

    Args:
        room: Its part.
        shard: The number of the object.
        call: Asks another object.
    """

    def __init__(self, room: RoomHost[Any], shard: int, call: Call) -> None:
        now_ms = room.host.clock.now_ms()
        self.shard = Shard(room.name, (str(shard), now_ms), _empty(room, now_ms), late_ms=_late_ms(room))
        self._number = shard
        self._synced_at_ms = 0
        self._sockets_reported = 0
        super().__init__(self.shard, room, call)

    @property
    def _next_sync_at_ms(self) -> int | None:
        has_news = self._has_keys or self._sums_dirty or self.shard.is_failing
        return self._synced_at_ms + self.interval_ms if has_news else None

    def after_step(self) -> None:
        """Something happened here: see whether the parent must know."""
        super().after_step()
        if bool(self._host.attached) != bool(self._sockets_reported):
            self._sums_dirty = True  # The parent forgets whoever has none.

    async def answer(self, path: str, body: bytes) -> bytes:
        """Take update, and answer with a report, unless there is more to tell than sums: an answer may be lost."""
        del path
        self._receive_update(CoordinatorUpdate.decode(body, self._moods_of))
        if self._has_keys:
            return b""
        now_ms = self._synced_at_ms = self._now_ms()
        return self._encode_report(now_ms, self.compose(now_ms))

    async def sync(self) -> None:
        """Tell the parent what is new, and hear what is new elsewhere."""
        at_ms = self._next_sync_at_ms
        if self._is_syncing or at_ms is None or self._now_ms() < at_ms:
            return
        try:
            await self.send_report()
        except Exception as error:  # noqa: BLE001 - whatever the platform throws, it could not be reached
            log.debug("the first object of room %s was not told: %s", self._host.name, error)

    async def send_report(self) -> None:
        """Call the parent.

        Raises:
            Exception: Whatever the platform throws. What there was to say is said again.
        """
        self._is_syncing = True
        now_ms = self._now_ms()
        part = self.compose(now_ms)
        try:
            async with asyncio.timeout(CALL_S):
                answered = await self._call(0, str(self._number), self._encode_report(now_ms, part))
            update = CoordinatorUpdate.decode(answered, self._moods_of)
        except BaseException:
            self.replica.requeue(part)
            self.shard.failed(self._now_ms())
            self._receive(())
            self._sums_dirty = True
            raise
        finally:
            self._is_syncing = False
            self._synced_at_ms = self._now_ms()
        self._receive_update(update)

    def _encode_report(self, now_ms: int, part: RoomDelta) -> bytes:
        # Who is new is so for the sake of somebody who is about to come in.
        self._sockets_reported = self._host.attached or int(self.shard.is_new)
        return self.shard.report(part, self._sockets_reported, now_ms).encode(self._moods_of)

    def _receive_update(self, update: CoordinatorUpdate) -> None:
        unread = self.shard.hear(update)
        self._receive(unread)
        if unread:  # Until we say so, nobody knows that our sums heed it.
            self._sums_dirty = True
        if update.resync:
            self._receive((), down=self.replica.standby_at)
            self.replica.resync()

    def connections_lost(self) -> None:
        """A deploy or a crash took our sockets: we are somebody else from now on, so that nobody counts on us for theirs."""
        self.shard.restart(self._now_ms())
        self._sums_dirty = self._changed = True

    def _encode_peers(self) -> bytes:
        return self.shard.encode(self._moods_of)

    def _resume_peers(self, peers: bytes) -> None:
        self.shard.resume(peers, self._moods_of)
