"""A room over several objects: the replica in each of them, and the requests between them.

The Worker routes a connection to the first object that has a place, in the order of
``core/replication/routing.py``. The first object, ``lobby``, holds all connections until it is full. Then the
number of objects doubles (``lobby#1``, ``lobby#2`` and so on) as often as all are full, and halves when a
quarter would do. The first object is the coordinator: it holds the panel, answers reads, and writes averages
and backups. The deltas between objects are those of ``core/replication/coordinator.py``.

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
from breathing_room.core.replication.membership import SUSPECT_TICKS
from breathing_room.core.replication.replica import Replica
from breathing_room.core.replication.shard import CoordinatorUpdate, Shard, ShardReport
from breathing_room.core.room import Room
from breathing_room.core.summary import Summary
from breathing_room.hosts.common.rooms.room_host import RoomHost
from breathing_room.hosts.worker.routes import HttpRequest
from breathing_room.hosts.worker.socket import EdgeSocket

log = logging.getLogger("breathing_room.worker")

OBJECT_ORIGIN: Final = "https://room"
"""The origin in the URLs of requests to an object."""

INTERNAL_PATH: Final = "/shards/"
"""The prefix of the paths of requests between objects. No route of the Worker leads there."""

INTERNAL_BODY_BYTES_MAX: Final = 4_000_000
SECRET: Final = "secret/"  # noqa: S105 - a path, no secret
ADD_SHARDS: Final = "add-shards/"

SHARDS_HEADER: Final = "breathing-room-shards"
"""The response header with the number of objects, which the first object sets once there are several."""

SYNC_INTERVAL_MS_MAX: Final = 5_000
"""Deltas are sent ``push_ms`` after the last ones, and never later than this: the platform may hibernate an
object after 10 s without work, and the keys of visitors who came and went since are only in its memory.
"""

SHARD_COUNT_MAX_AGE_MS: Final = 60_000
"""How long the Worker uses the number of objects that it last read; then it starts at the first object again,
whose answer has the number.
"""

FULL_MAX_AGE_MS: Final = 1_000
"""How long the Worker refuses connections to a room without a request after all of its objects were full."""

CALL_S: Final = 5.0
"""The timeout of a request to another object."""

Call = Callable[[int, str, bytes], Awaitable[bytes]]
"""Sends a request to another object of the room: its number, a path after ``INTERNAL_PATH``, and a body."""


def object_name(room: str, shard: int) -> str:
    """Return the name of an object. A room's name has no ``#``."""
    return f"{room}#{shard}" if shard else room


def room_and_shard(name: str) -> tuple[str, int]:
    """Split an object's name into the room and the number of the object."""
    room, _, shard = name.partition("#")
    return room, int(shard or 0)


def routing_key(request: HttpRequest, address: str | None) -> bytes:
    """Return a key that all handshakes of a visitor share: the ``sessionId`` of document clients, or the
    address prefix.

    It is hashed at once (``rank_shards``), and neither stored nor sent.
    """
    if session_id := request.query.get("sessionId"):
        return session_id.encode()
    try:
        client = ipaddress.ip_address(address or "")
    except ValueError:
        return b""
    return client.packed if client.version == 4 else client.packed[:8]


class ShardDirectory:
    """The number of objects of each room, and which rooms are full, as the Worker read it last."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}
        self._full_at_ms: dict[str, int] = {}

    def shards(self, room: str, now_ms: int) -> int:
        """Return the number of objects of a room; one if it is not known."""
        shards, learnt_at_ms = self._known.get(room, (1, now_ms))
        return shards if now_ms - learnt_at_ms < SHARD_COUNT_MAX_AGE_MS else 1

    def learn(self, room: str, shards: int, now_ms: int) -> None:
        """Store the number that the first object of a room answered."""
        self._known[room] = (shards, now_ms)

    def is_full(self, room: str, now_ms: int) -> bool:
        """Return whether all objects were full a moment ago: a full room must not cost a request to each for
        every handshake.
        """
        return now_ms - self._full_at_ms.get(room, 0) < FULL_MAX_AGE_MS

    def mark_full(self, room: str, now_ms: int) -> None:
        """Note that all objects of a room are full."""
        self._full_at_ms[room] = now_ms


class CoordinatorSecrets:
    """The secrets of the first object, requested by another object of the room.

    Args:
        call: Sends a request to another object.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def agree(self, epoch: int, proposed: bytes) -> bytes:
        """Return the secret of an epoch; the proposed one if the first object has none.

        Raises:
            ClientError: The first object cannot be reached.
        """
        return await self._call(0, f"{SECRET}{epoch}", b"") or proposed

    async def find(self, epoch: int) -> None:
        """Return None: an object had no visitors before its first secret."""


class ReplicaCalls(ABC):
    """The replica of an object, and its requests to the other objects of the room.

    Args:
        peers: The state of the other objects.
        room: This object's part of the room.
        call: Sends a request to another object.
    """

    def __init__(self, peers: Coordinator | Shard, room: RoomHost[Any], call: Call) -> None:
        self._peers = peers
        self._host = room
        self._call = call
        self._now_ms = room.host.clock.now_ms
        self.replica = Replica(room.room, peers, now_ms=self._now_ms())
        # The last broadcast as it was saved.
        self._saved_broadcast: LastBroadcast | None = None
        self._is_syncing = False
        # The fingerprint of the sums that were sent last, and ``room.changes`` when they were last compared
        # with it.
        self._sent_sums = ""
        self._compared_changes = -1
        self._sums_dirty = True
        self._saved_at_ms = self._now_ms()
        self._timer_fired_at_ms = 0
        self._busy = False
        self._changed = True

    @property
    def interval_ms(self) -> int:
        """The shortest time between two requests to another object."""
        return min(self._host.room.push_ms, SYNC_INTERVAL_MS_MAX)

    def next_at_ms(self, timer_at_ms: int | None) -> int | None:
        """Return when the alarm is due. All deadlines share it, so that one alarm in ``interval_ms`` is
        enough.

        Args:
            timer_at_ms: The next timer of the room itself.
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
        """Note that the alarm fired and what was due is done.

        If anything changed, the next alarm is set now: more is likely to change, and moving an alarm later
        costs a row.
        """
        self._timer_fired_at_ms = self._now_ms()
        self._busy = self._is_changed

    @property
    def _is_changed(self) -> bool:
        """Whether there is anything to save."""
        return self._changed or self._host.room.last_broadcast != self._saved_broadcast

    @property
    @abstractmethod
    def _next_sync_at_ms(self) -> int | None:
        """When a request to other objects is due, None for never."""

    @property
    def _has_keys(self) -> bool:
        """Whether there are keys of visitors who joined or left that were not sent."""
        return self.replica.has_keys

    @abstractmethod
    async def sync(self) -> None:
        """Send what is due to other objects, and apply their answers."""

    @abstractmethod
    async def answer(self, path: str, body: bytes) -> bytes:
        """Answer a request of another object.

        Args:
            path: The path after ``INTERNAL_PATH``.
            body: The body.

        Raises:
            HostError: The path or the body is not one of these.
        """

    def after_step(self) -> None:
        """Compare the sums with those that were sent last, if the room changed."""
        if self._host.room.changes != self._compared_changes:
            self._compared_changes = self._host.room.changes
            self._sums_dirty = (
                self._sums_dirty or _fingerprint(self._host.room.summary(self._now_ms())) != self._sent_sums
            )

    def compose(self, now_ms: int) -> RoomDelta:
        """Return the delta to send."""
        part = self.replica.compose(now_ms)
        self._sent_sums, self._sums_dirty = _fingerprint(part.summary), False
        return part

    # --- Deltas of other objects ---------------------------------------------------------------------------

    def _receive(self, deltas: Iterable[Delta], *, down: Iterable[PeerId] = ()) -> None:
        """Apply deltas of other objects, and carry out what follows."""
        self._host.carry_out(self.replica.receive(deltas, down=down, now_ms=self._now_ms()))
        self._changed = True

    def resume_standby(self, connection: EdgeSocket) -> None:
        """Put a connection on standby that was so before hibernation."""
        assert connection.key is not None
        assert connection.standby_at is not None
        self.replica.adopt(connection, connection.key, connection.mood, connection.standby_at)

    # --- Hibernation ---------------------------------------------------------------------------------------

    def save(self) -> bytes | None:
        """Return the row to write; None if nothing changed, or for ``interval_ms`` after the last one."""
        now_ms = self._now_ms()
        if not self._is_changed or now_ms < self._saved_at_ms + self.interval_ms:
            return None
        self._changed = False
        self._saved_at_ms = now_ms
        self._saved_broadcast = self._host.room.last_broadcast
        announced, broadcast_at_ms, label_shown, reply_ahead = self._saved_broadcast
        # A broadcast that is owed in any case is saved as one of unknown content.
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
        """Resume from a row of ``save``.

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
            raise HostError("a damaged row of a replica") from error
        self._resume_peers(peers)
        self.replica = Replica(self._host.room, self._peers, now_ms=self._now_ms(), last=last)
        self._saved_broadcast = last
        self._changed = self._sums_dirty = False
        self._sent_sums = str(head.get("stamp"))
        self.after_step()

    @abstractmethod
    def _encode_peers(self) -> bytes:
        """Encode the state of the other objects."""

    @abstractmethod
    def _resume_peers(self, peers: bytes) -> None:
        """Resume from a value of ``_encode_peers``."""

    def _moods_of(self, room: str) -> tuple[str, ...]:
        del room
        return self._host.config.moods


def _cell(count: int, low: int, high: int) -> Interval:
    return int(count), int(low), int(high)


def _fingerprint(summary: Summary) -> str:
    """Return the sums that other objects need to know of, without what changes by time alone."""
    panel, legacy = summary.panel, summary.legacy
    people = (summary.members, summary.suspect, summary.restored, summary.unknown)
    return repr((*people, panel.tally, panel.restored, panel.rate, panel.theta, legacy.repeats))


def _suspect_after_ms(room: RoomHost[Any]) -> int:
    return SUSPECT_TICKS * min(room.config.push_ms, SYNC_INTERVAL_MS_MAX)


def _empty(room: RoomHost[Any], now_ms: int) -> Summary:
    return Room(room.name, room.config, now_ms=now_ms).summary(now_ms)


class CoordinatorCalls(ReplicaCalls):
    """The replica of the first object: it adds the sums of all shards, and sends them updates.

    Args:
        room: The first object's part of the room.
        call: Sends a request to another object.
    """

    def __init__(self, room: RoomHost[Any], call: Call) -> None:
        now_ms = room.host.clock.now_ms()
        self.coordinator = Coordinator(
            room.name,
            ("0", now_ms),
            _empty(room, now_ms),
            suspect_after_ms=_suspect_after_ms(room),
            lease_ms=room.config.lease_ms,
            now_ms=now_ms,
        )
        super().__init__(self.coordinator, room, call)

    @property
    def is_alone(self) -> bool:
        """Whether the room is one object again, and no shard and no connection on standby is left."""
        return not (self.coordinator.states or self.coordinator.shards > 1 or self.replica.standby_count)

    @property
    def _next_sync_at_ms(self) -> int | None:
        return self.coordinator.next_at_ms(self.interval_ms)

    def add_shards(self, full: int, most: int) -> int:
        """Spread visitors over more objects, if all objects in use are full.

        Args:
            full: How many were found full.
            most: How many there may be.

        Returns:
            The number of objects.
        """
        if self.coordinator.add_shards(full, most):
            self._changed = True
        return self.coordinator.shards

    def after_step(self) -> None:
        """Note changes to send to the shards, and use fewer of them if a quarter would do."""
        super().after_step()
        coordinator, now_ms = self.coordinator, self._now_ms()
        if self._sums_dirty or self._has_keys:
            coordinator.touch(now_ms)
        if coordinator.remove_shards(self._host.attached, self._host.platform.worker.sockets_per_object):
            self._changed = True

    def _append_own(self, now_ms: int) -> Summary:
        """Append the coordinator's own delta to the log, which it has then read; return its sums."""
        has_keys = self._has_keys
        part = self.compose(now_ms)
        if has_keys:
            self.coordinator.append(part, now_ms)
            self._host.carry_out(self.replica.acknowledge(now_ms=now_ms))
        return part.summary

    async def answer(self, path: str, body: bytes) -> bytes:
        """Handle a report of a shard, and answer with an update."""
        now_ms, shard = self._now_ms(), int(path)
        report = ShardReport.decode(body, self._moods_of)
        deltas, resync = self.coordinator.receive(shard, report, now_ms)
        self._receive(deltas)
        own = self._append_own(now_ms)
        update = self.coordinator.update(shard, own, now_ms, resync=resync)
        self.coordinator.informed(shard, update.version)
        self._expire()
        return update.encode(self._moods_of)

    async def sync(self) -> None:
        """Send an update to each shard that did not request it in time by a report of its own."""
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
        except Exception as error:  # noqa: BLE001 - any error of the platform means that it was not reached
            log.debug("shard %d of room %s did not take an update: %s", shard, self._host.name, error)
            self.coordinator.failed(shard, self._now_ms())
            return
        self.coordinator.informed(shard, update.version)
        if report is not None:
            self._receive(self.coordinator.receive(shard, report, self._now_ms())[0])
        else:
            self.coordinator.reached(shard, self._now_ms())

    def _expire(self) -> None:
        """Remove the shards that are gone, and apply their last deltas."""
        self._receive(self.coordinator.expire(self._now_ms()))

    def connections_lost(self) -> None:
        """Mark all shards suspect: a deploy or a crash closed our connections, and perhaps theirs."""
        self.coordinator.mark_all_suspect(self._now_ms())
        self._receive(())
        self._changed = True

    def _encode_peers(self) -> bytes:
        return self.coordinator.encode(self._moods_of)

    def _resume_peers(self, peers: bytes) -> None:
        self.coordinator.resume(peers, self._moods_of)


class ShardCalls(ReplicaCalls):
    """The replica of any other object: it sends reports to the first one, and applies its updates.

    Args:
        room: This object's part of the room.
        shard: The number of the object.
        call: Sends a request to another object.
    """

    def __init__(self, room: RoomHost[Any], shard: int, call: Call) -> None:
        now_ms = room.host.clock.now_ms()
        self.shard = Shard(
            room.name, (str(shard), now_ms), _empty(room, now_ms), suspect_after_ms=_suspect_after_ms(room)
        )
        self._number = shard
        self._synced_at_ms = 0
        self._sockets_reported = 0
        super().__init__(self.shard, room, call)

    @property
    def _next_sync_at_ms(self) -> int | None:
        is_due = self._has_keys or self._sums_dirty or self.shard.is_failing
        return self._synced_at_ms + self.interval_ms if is_due else None

    def after_step(self) -> None:
        """Note changes to send to the coordinator."""
        super().after_step()
        if bool(self._host.attached) != bool(self._sockets_reported):
            self._sums_dirty = True  # The coordinator removes a shard without connections.

    async def answer(self, path: str, body: bytes) -> bytes:
        """Apply an update; answer with a report if that has sums only, since an answer may be lost."""
        del path
        self._receive_update(CoordinatorUpdate.decode(body, self._moods_of))
        if self._has_keys:
            return b""
        now_ms = self._synced_at_ms = self._now_ms()
        return self._encode_report(now_ms, self.compose(now_ms))

    async def sync(self) -> None:
        """Send a report to the coordinator if one is due; a failure is logged and made up for by the next."""
        at_ms = self._next_sync_at_ms
        if self._is_syncing or at_ms is None or self._now_ms() < at_ms:
            return
        try:
            await self.send_report()
        except Exception as error:  # noqa: BLE001 - any error of the platform means that it was not reached
            log.debug("the first object of room %s did not take a report: %s", self._host.name, error)

    async def send_report(self) -> None:
        """Send a report to the coordinator, and apply the update in its answer.

        Raises:
            Exception: The request failed, with any error of the platform. Its keys are queued again.
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
        # A shard reports for the first time because a connection is about to be opened on it.
        self._sockets_reported = self._host.attached or int(self.shard.is_new)
        return self.shard.report(part, self._sockets_reported, now_ms).encode(self._moods_of)

    def _receive_update(self, update: CoordinatorUpdate) -> None:
        unread = self.shard.receive(update)
        self._receive(unread)
        # Until the next report, the coordinator does not know that our sums include it. A shard without
        # connections and leases has no sums: it was removed, and to report again would make it a new one,
        # which is removed again.
        if unread and (self._host.attached or self._host.room.summary(self._now_ms()).leases):
            self._sums_dirty = True
        if update.resync:
            self._receive((), down=self.replica.standby_at)
            self.replica.resync()

    def connections_lost(self) -> None:
        """Become another peer, since a deploy or a crash closed our connections: visitors on standby
        elsewhere are released.
        """
        self.shard.restart(self._now_ms())
        self._sums_dirty = self._changed = True

    def _encode_peers(self) -> bytes:
        return self.shard.encode(self._moods_of)

    def _resume_peers(self, peers: bytes) -> None:
        self.shard.resume(peers, self._moods_of)
