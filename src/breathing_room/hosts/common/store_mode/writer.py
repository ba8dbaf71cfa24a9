"""A writer: admits reports, puts them into the store under its own name, and returns presences."""

import asyncio
import logging
import secrets
from itertools import count
from typing import TYPE_CHECKING, Final

from breathing_room.core.admission import Admission, admit_another_room, admit_room, admit_while
from breathing_room.core.errors import ClientError, HostError, StoreError
from breathing_room.core.identity import visitor_key
from breathing_room.core.presence import Presence
from breathing_room.core.tickets import ticket
from breathing_room.core.wire import check_room, resolve_room
from breathing_room.core.write_policies.every import EveryPolicy
from breathing_room.core.write_policies.policy import WritePolicy
from breathing_room.core.write_policies.records import (
    Kind,
    Put,
    Record,
    SeatReport,
    Writes,
    decode_records,
    later,
    merge,
)
from breathing_room.hosts.common.rooms.secrets import SECRET
from breathing_room.hosts.common.store_mode.presence import read_presence
from breathing_room.hosts.common.store_mode.records import Control, read_control, read_values
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.ports import Clock, Store, wall_ms
from breathing_room.stores import open_store

if TYPE_CHECKING:
    from breathing_room.core.identity import VisitorKey

log = logging.getLogger("breathing_room.store_mode")

RETRIES_MAX: Final = 6
"""Retries of a failed put, after 1, 2, 4, … s: a minute in all."""


class RecordCache:
    """A writer's cache of the records of a room; it can be dropped at any time."""

    def __init__(self) -> None:
        self.records: dict[VisitorKey, Record] = {}
        self.read_at_ms: int | None = None
        self.reading = asyncio.Lock()
        self._meanwhile: list[Record] = []

    def add(self, record: Record) -> None:
        """Add a record that this writer took since the last read."""
        self.records[record.visitor] = later(self.records.get(record.visitor), record)
        self._meanwhile.append(record)

    async def read(self, store: Store, room: str, held: list[Record]) -> None:
        """Read the records of all writers.

        Args:
            store: The store.
            room: The room's name.
            held: This writer's records that are not in the store yet.
        """
        # Records that are put or reported during the read must not be missed: they are merged again
        # afterwards.
        self._meanwhile = held
        self.records = merge(await read_values(store, room))
        for record in self._meanwhile:
            self.records[record.visitor] = later(self.records.get(record.visitor), record)
        self._meanwhile = []


class Writer:
    """Admits reports and returns presences.

    Args:
        store: A store, or a URL for ``open_store``.
        config: The config of writers and controller.
        name: A name that is unique among writers; random by default.
        clock: Returns the wall time in milliseconds. The clocks of all writers must agree to about a second.
    """

    def __init__(
        self, store: Store | str, config: StoreModeConfig, *, name: str | None = None, clock: Clock = wall_ms
    ) -> None:
        self.config = config
        self.name = check_room(name or secrets.token_hex(8))
        self.clock = clock
        self._given = store
        self._store: Store
        self._opening = asyncio.Lock()
        self.ready = False
        self.puts_failed = 0
        self._control: Control | None = None
        self._control_read_at_ms = 0
        self._reading = asyncio.Lock()
        self._secrets: dict[int, bytes] = {}
        self._policies: dict[str, WritePolicy] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._caches: dict[str, RecordCache] = {}
        self._in_flight: dict[asyncio.Task[bool], tuple[str, Put]] = {}

    async def start(self) -> None:
        """Open the store.

        Raises:
            StoreError: It cannot be opened.
        """
        async with self._opening:
            if not self.ready:
                self._store = await open_store(self._given) if isinstance(self._given, str) else self._given
                self.ready = True

    async def stop(self) -> None:
        """Flush the batches, and close the store if this writer opened it."""
        for timer in self._timers.values():
            timer.cancel()
        for room, policy in self._policies.items():
            self._carry_out(room, policy.flush(now_ms=self.clock()))
        await asyncio.gather(*self._in_flight, return_exceptions=True)
        if isinstance(self._given, str) and self.ready:
            await self._store.close()

    # --- What the routes ask -------------------------------------------------------------------------------

    def check_open(self, room: str) -> str:
        """Return the name of an open room, given that name or ``DEFAULT_ROOM``.

        Raises:
            ClientError: ``bad_room`` or ``no_such_room``.
        """
        server = self.config.server
        name = resolve_room(room, server.default_room)
        admit_room(is_known=name in server.kept_rooms, open_rooms=server.open_rooms)
        return name

    async def control(self) -> Control | None:
        """Return the control, at most half of ``propagation_ms`` old; None if there is none."""
        async with self._reading:
            now_ms = self.clock()
            due_at_ms = self._control_read_at_ms + self.config.propagation_ms // 2
            if self._control is None or now_ms >= due_at_ms:
                self._control = await read_control(self._store) or self._control
                self._control_read_at_ms = now_ms
        return self._control

    async def presence(self, room: str) -> Presence:
        """Return the presence of a room, from the cached records and this writer's own."""
        control = await self.control()
        cache = await self._cache(room)
        return read_presence(room, self.config, control, cache.records, now_ms=self.clock())

    async def heartbeat(self, room: str, body: bytes) -> Presence:
        """Handle a report, and return the presence.

        Raises:
            ClientError: The body is not valid, its visitor id is not signed, or the room cannot count now.
        """
        control = await self._control_or_refuse()
        now_ms, admission = self.clock(), self.admission(room)
        rate = self.config.make_rate(room, control.room(room), now_ms).current
        report = admission.admit(admission.decode(body, epoch=control.epoch), rate=rate, now_ms=now_ms)
        if report.in_panel:
            await self._write(room, report.visitor, report.epoch, "heartbeat", report.mood)
        return await self.presence(room)

    async def leave(self, room: str, body: bytes) -> None:
        """Handle a leave. It does not name the epoch in which the visit began, so it is written for both.

        Raises:
            ClientError: The body is not valid, its visitor id is not signed, or the room cannot count now.
        """
        visitor = self.admission(room).leave(body)
        control = await self._control_or_refuse()
        rates = self.config.make_rate(room, control.room(room), self.clock()).rates
        for epoch in (control.epoch, control.epoch - 1):
            # A visitor who was never in the sample has no record.
            if ticket(visitor, room=room, epoch=epoch) < max(rate for _, rate in rates) and (
                epoch == control.epoch or await self._secret(epoch) is not None
            ):
                await self._write(room, visitor, epoch, "leave", None)

    def admission(self, room: str) -> Admission:
        """Return the admission of a room, without memory: a writer may end with the request, and there may be
        many.
        """
        return self.config.server.admission(room, now_ms=self.clock(), wall_ms=self.clock, has_memory=False)

    # --- Inside --------------------------------------------------------------------------------------------

    async def _control_or_refuse(self) -> Control:
        control = await self.control()
        admit_while(control is not None)
        assert control is not None
        return control

    async def _secret(self, epoch: int) -> bytes | None:
        if epoch not in self._secrets:
            secret = await self._store.get(f"{SECRET}{epoch}")
            if secret is None:
                return None
            self._secrets = {number: held for number, held in self._secrets.items() if number >= epoch - 1}
            self._secrets[epoch] = secret
        return self._secrets[epoch]

    async def _write(self, room: str, visitor: str, epoch: int, kind: Kind, mood: str | None) -> None:
        """Write a report by the policy; one that writes every report waits until the store has it."""
        secret = await self._secret(epoch)
        if secret is None:
            raise ClientError(
                "bad_epoch",
                "epoch must be that of a presence of this room; read the presence and begin a new visit",
            )
        key = visitor_key(visitor, room=room, secret=secret)
        report = SeatReport(key, ticket(visitor, room=room, epoch=epoch), mood, kind)
        now_ms = self.clock()
        tasks = self._carry_out(room, self._policy(room).report(report, now_ms=now_ms))
        if (cache := self._caches.get(room)) is not None:
            cache.add(Record(key, report.ticket, mood, now_ms, kind != "leave"))
        if self.config.policy == EveryPolicy.name and not all(
            await asyncio.gather(*map(asyncio.shield, tasks))
        ):
            raise ClientError("unavailable", "the report could not be stored", status=503, retry_after_s=5)

    def _policy(self, room: str) -> WritePolicy:
        policy = self._policies.get(room)
        if policy is None:
            if len(self._policies) >= self.config.server.rooms_max:
                self._policies = {name: held for name, held in self._policies.items() if held.unwritten()}
            admit_another_room(len(self._policies), self.config.server.rooms_max)
            policy = self._policies[room] = self.config.make_policy(room, self.name)
        return policy

    async def _cache(self, room: str) -> RecordCache:
        """Return the cached records of a room, read again once they are ``presence_max_age_s`` old."""
        if len(self._caches) >= self.config.server.rooms_max:
            self._caches.clear()
        cache = self._caches.setdefault(room, RecordCache())
        max_age_ms = 1_000 * self.config.server.presence_max_age_s
        async with cache.reading:
            if cache.read_at_ms is None or self.clock() - cache.read_at_ms >= max_age_ms:
                await cache.read(self._store, room, self._held(room))
                cache.read_at_ms = self.clock()
        return cache

    def _held(self, room: str) -> list[Record]:
        """List this writer's records that are not in the store yet."""
        policy = self._policies.get(room)
        on_the_way = [put.value for name, put in self._in_flight.values() if name == room]
        return [record for value in on_the_way for record in decode_records(value)] + (
            policy.unwritten() if policy is not None else []
        )

    def _carry_out(self, room: str, writes: Writes) -> list[asyncio.Task[bool]]:
        """Start the puts, and set the room's timer."""
        loop = asyncio.get_running_loop()
        tasks = []
        for order in writes.writes:
            assert isinstance(order, Put)  # These policies keep no seats, so they delete none.
            task = loop.create_task(self._put(order))
            self._in_flight[task] = (room, order)
            tasks.append(task)
        if (timer := self._timers.pop(room, None)) is not None:
            timer.cancel()
        if writes.next_timer_ms is not None:
            delay_s = max(0, writes.next_timer_ms - self.clock()) / 1_000
            self._timers[room] = loop.call_later(delay_s, self._on_timer, room)
        return tasks

    def _on_timer(self, room: str) -> None:
        self._timers.pop(room, None)
        if (policy := self._policies.get(room)) is not None:
            self._carry_out(room, policy.on_timer(now_ms=self.clock()))

    async def _put(self, order: Put) -> bool:
        """Put a value, with retries; return whether it is in the store."""
        task = asyncio.current_task()
        try:
            for attempt in count():
                try:
                    await self._store.put(order.key, order.value, ttl_ms=order.ttl_ms)
                except (StoreError, HostError) as error:  # HostError: the batch is larger than a value may be
                    if isinstance(error, HostError) or not error.temporary or attempt == RETRIES_MAX:
                        self.puts_failed += 1
                        log.error("reports were lost: %s", error)
                        return False
                    await asyncio.sleep(2.0**attempt)
                else:
                    return True
            raise AssertionError
        finally:
            assert task is not None
            self._in_flight.pop(task, None)
