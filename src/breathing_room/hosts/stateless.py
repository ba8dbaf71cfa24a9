"""The stateless mode: any number of writers that remember nobody, over one store, and a job that runs now and then.

For places where no process lives long enough to be the room: functions at an edge, a handful of small machines without
a leader. It counts people who poll; there are no sockets.

Theory of operation
-------------------
A *writer* (``stateless_app``) takes reports and puts them into the store under its own name, each of them (policy ``every``) or
one batch every ten seconds (``bucketed``). No key has two writers and none is read in order to be written, so nothing can be
lost between two of them. Whoever wants the presence reads all that lies under the room's prefix and merges it by visitor
(``core/policies.py``): who reports now here, now there, is one person. A writer that dies takes its batch with it, and nothing else.

The rate, and what was seen of leases that ended in silence, must be said by one voice: the *job* (``housekeep``), which runs once
a minute wherever there is a scheduler, and of which there must be one. It alone writes the key ``control``; writers only read it,
at most ``propagation_ms`` late. So theta, the lowest rate that anybody may still be acting on, looks back by so much more. Nothing stops
when the job does: the count stays unbiased, but the panel is no longer held to its size, and ghosts are those of before.

What the store holds of a visitor is a keyed hash, for one lease and two turns of the job. The secret is drawn by the job.

What this mode cannot do
------------------------
Clients of the planning document's kind flip a coin at every beat, and are counted without bias only by whoever can tell a first
report from a repeat: that takes a memory of sessions, of hours. Their heartbeat is answered 501, and they are not counted.
The size of a surge is known to the job after a minute, and to the writers after ``propagation_ms`` more; until then all
its reports are stored. A beat should name the mood: it lasts for one lease after it was named.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from http import HTTPStatus
from itertools import count
from math import ceil, exp, floor
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from breathing_room.core.config import DAY_MS, UNSPOKEN, RoomConfig, check_range
from breathing_room.core.errors import ConfigError, HostError, PeerError, StoreError
from breathing_room.core.estimate.panel import apportion, expected_ghosts, panel_estimate
from breathing_room.core.events import VisitorKey
from breathing_room.core.panel import ARRIVALS_MS, WINDOW_LEASES
from breathing_room.core.policies import (
    POLICIES,
    Bucketed,
    Every,
    Kind,
    Put,
    Record,
    SeatReport,
    WritePolicy,
    Writes,
    decode_records,
    later,
    merge,
)
from breathing_room.core.presence import Presence, read_label
from breathing_room.core.rate import Rate
from breathing_room.core.tickets import TICKETS, ticket
from breathing_room.core.visitors import SECRET_BYTES, visitor_key
from breathing_room.core.wire import (
    check_room,
    check_visitor,
    config_body,
    decode_object,
    decode_report,
    encode,
    encode_presence,
    presence_body,
)
from breathing_room.hosts.server.config import ServerConfig
from breathing_room.hosts.server.http import Cors
from breathing_room.hosts.server.origins import origin_allowed
from breathing_room.hosts.server.responses import cacheable, error_response, etag_of, json_response
from breathing_room.ports import Clock, Store, wall_ms
from breathing_room.stores import open_store

log = logging.getLogger("breathing_room.stateless")

CONTROL: Final = "control"
REPORTS: Final = "reports/"
SECRET: Final = "secret/"  # noqa: S105 - a place, no secret

RETRIES_MAX: Final = 6
"""How often a put that failed is tried again, after 1, 2, 4, … s: a minute in all."""

POLICIES_HERE: Final = (Every.name, Bucketed.name)
"""The others remember people between reports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatelessConfig:
    """How writers and job work. They must be given the same.

    Attributes:
        server: Rooms and HTTP; what concerns sockets and limits per address is not used.
        policy: ``bucketed``, or ``every`` where a process does not live for ten seconds.
        bucket_ms: How long a batch is collected: what a writer that dies takes with it.
        propagation_ms: How late a writer may know of the control key. Half of it is the writer's own, the other half
            the store's (Workers KV: 60 s).
        job_ms: How often the job runs, at least.
    """

    server: ServerConfig = field(default_factory=ServerConfig)
    policy: str = Bucketed.name
    bucket_ms: int = 10_000
    propagation_ms: int = 60_000
    job_ms: int = 60_000

    def __post_init__(self) -> None:
        """Check every field."""
        if self.policy not in POLICIES_HERE:
            raise ConfigError(
                f"policy must be one of {', '.join(POLICIES_HERE)}: the others remember people, and are a room's only writer"
            )
        check_range(self, "bucket_ms", 100, 60_000)
        check_range(self, "propagation_ms", 100, 3_600_000)
        check_range(self, "job_ms", 1_000, 3_600_000)

    @property
    def silence_ms(self) -> int:
        """How late a sign of life may be in the store."""
        return self.bucket_ms if self.policy == Bucketed.name else 0

    def make_policy(self, room: str, writer: str) -> WritePolicy:
        """Make the policy of one writer in one room."""
        prefix = f"{REPORTS}{room}/{writer}/"
        lease_ms, linger_ms = self.server.room_config(room).beat_lease_ms, 2 * self.job_ms
        if self.policy == Bucketed.name:
            return Bucketed(prefix, lease_ms=lease_ms, linger_ms=linger_ms, bucket_ms=self.bucket_ms)
        return POLICIES[self.policy](prefix, lease_ms=lease_ms, linger_ms=linger_ms)

    def make_rate(self, room: str, control: "RoomControl", now_ms: int) -> Rate:
        """Make the rate of a room as the job left it."""
        config = self.server.room_config(room)
        rate = Rate(config.panel_size, config.spread_ms + self.propagation_ms, now_ms=control.changed_at_ms)
        rate.wake(control.rates, control.changed_at_ms, now_ms)
        return rate


# --- The control key ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomControl:
    """What the job says about a room.

    Attributes:
        rates: The current rate, and those that somebody may still act on, each with the time until when.
        changed_at_ms: When the rate last changed.
        since_ms: Since when the job has watched this room.
        lapsed: Leases that ended in silence lately: when, and the ticket times 2^32. Nobody can tell whose.
        arrivals_per_ms: Reports that were stored, on average over ten minutes.
    """

    rates: tuple[tuple[int, float], ...] = ((0, 1.0),)
    changed_at_ms: int
    since_ms: int
    lapsed: tuple[tuple[int, int], ...] = ()
    arrivals_per_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What the job says.

    Attributes:
        as_of_ms: When.
        epoch: The epoch in which stays begin.
        rooms: By name. A room that is not in it has a rate of 1.
    """

    as_of_ms: int
    epoch: int
    rooms: Mapping[str, RoomControl] = field(default_factory=dict)

    def room(self, name: str) -> RoomControl:
        """What it says about a room; about one that it does not know: that it is new."""
        return self.rooms.get(name) or RoomControl(changed_at_ms=self.as_of_ms, since_ms=self.as_of_ms)


def encode_control(control: Control) -> bytes:
    """Write it as one value."""
    return encode(asdict(control))


def decode_control(value: bytes) -> Control:
    """Read it.

    Raises:
        HostError: It is damaged.
    """
    try:
        body = json.loads(value)
        rooms = {
            str(name): RoomControl(
                rates=tuple((int(until_ms), float(rate)) for until_ms, rate in room["rates"]),
                changed_at_ms=int(room["changed_at_ms"]),
                since_ms=int(room["since_ms"]),
                lapsed=tuple((int(at_ms), int(drawn)) for at_ms, drawn in room["lapsed"]),
                arrivals_per_ms=float(room["arrivals_per_ms"]),
            )
            for name, room in body["rooms"].items()
        }
        if not all(room.rates and 0 < min(rate for _, rate in room.rates) <= 1 for room in rooms.values()):
            raise ValueError  # noqa: TRY301 - said once, below
        return Control(as_of_ms=int(body["as_of_ms"]), epoch=int(body["epoch"]), rooms=rooms)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise HostError("a damaged control key") from error


async def read_control(store: Store) -> Control | None:
    """Read what the job said last; None when it never ran, or said what cannot be read."""
    value = await store.get(CONTROL)
    try:
        return None if value is None else decode_control(value)
    except HostError as error:
        log.error("%s; the next run of the job writes it anew", error)
        return None


async def read_values(store: Store, room: str) -> list[bytes]:
    """Read all that writers put under a room's prefix, in the order of their keys; what is damaged is left out."""
    values = []
    for key in await store.list(f"{REPORTS}{room}/"):
        value = await store.get(key)
        if value is None:
            continue  # Its time ended just now.
        try:
            decode_records(value)
        except HostError as error:
            log.error("%s: %s", key, error)
        else:
            values.append(value)
    return values


# --- The job ------------------------------------------------------------------------------------------------------


async def housekeep(
    store: Store, config: StatelessConfig | None = None, *, clock: Clock = wall_ms
) -> Control:
    """Look after rates, silent expiries and the epoch, once. Exactly one process calls it, every ``job_ms``.

    Returns:
        What it wrote.

    Raises:
        StoreError: The store failed. Call it again the next time.
    """
    config = config or StatelessConfig()
    now_ms = clock()
    before = await read_control(store)
    epoch_ms = config.server.room.epoch_ms
    epoch = now_ms // epoch_ms if before is None else max(before.epoch, now_ms // epoch_ms)
    # The next epoch's secret is there before anybody needs it, and the last one's as long as somebody may.
    for number in (epoch, epoch + 1):
        if await store.get(f"{SECRET}{number}") is None:
            ttl_ms = (number + 2) * epoch_ms - now_ms
            await store.put(f"{SECRET}{number}", secrets.token_bytes(SECRET_BYTES), ttl_ms=ttl_ms)
    before = before or Control(as_of_ms=now_ms, epoch=epoch)
    names = {key.removeprefix(REPORTS).partition("/")[0] for key in await store.list(REPORTS)}
    rooms = {}
    for name in sorted(names | before.rooms.keys()):
        room = _follow(config, name, before, await read_values(store, name), now_ms)
        # Of a room where nothing is going on there is nothing to say.
        if name in names or room.lapsed or len(room.rates) > 1 or room.rates[0][1] < 1.0:
            rooms[name] = room
    control = Control(as_of_ms=now_ms, epoch=epoch, rooms=rooms)
    await store.put(CONTROL, encode_control(control))
    return control


def _follow(
    config: StatelessConfig, name: str, before: Control, values: list[bytes], now_ms: int
) -> RoomControl:
    """Say anew what there is to say about a room."""
    room = before.room(name)
    settings = config.server.room_config(name)
    lease_ms = settings.beat_lease_ms + config.silence_ms
    records = [record for record in merge(values).values() if record.here]
    rate = config.make_rate(name, room, now_ms)
    window_ms = WINDOW_LEASES * settings.beat_lease_ms
    lapsed = [(at_ms, drawn) for at_ms, drawn in room.lapsed if at_ms > now_ms - window_ms]
    for record in records:
        ended_at_ms = record.heard_at_ms + lease_ms
        if before.as_of_ms < ended_at_ms <= now_ms:
            lapsed.append((ended_at_ms, round(record.ticket * TICKETS)))
    passed_ms = now_ms - before.as_of_ms
    heard_after_ms, heard_until_ms = before.as_of_ms - config.silence_ms, now_ms - config.silence_ms
    arrived = sum(
        heard_after_ms < record.heard_at_ms <= heard_until_ms
        for value in values
        for record in decode_records(value)
    )
    kept = exp(-passed_ms / ARRIVALS_MS)
    arrivals_per_ms = room.arrivals_per_ms * kept + (
        arrived / passed_ms * (1 - kept) if passed_ms > 0 else 0.0
    )
    budget = settings.reports_per_day
    seats = sum(record.heard_at_ms + lease_ms > now_ms and record.ticket < rate.current for record in records)
    rate.theta(now_ms)  # Lets go of rates that nobody acts on any more.
    was = rate.current
    if rate.follow(seats, arrivals_per_ms * DAY_MS / budget if budget else 0.0, now_ms):
        arrivals_per_ms *= rate.current / was  # Fewer are asked from now on.
    return RoomControl(
        rates=rate.rates,
        changed_at_ms=rate.changed_at_ms,
        since_ms=room.since_ms,
        lapsed=tuple(sorted(lapsed)),
        arrivals_per_ms=arrivals_per_ms,
    )


# --- The presence -------------------------------------------------------------------------------------------------


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


# --- A writer -----------------------------------------------------------------------------------------------------


class View:
    """What a writer read of a room a moment ago; it can be thrown away at any time."""

    def __init__(self) -> None:
        self.records: dict[VisitorKey, Record] = {}
        self.read_at_ms: int | None = None
        self.reading = asyncio.Lock()
        self._meanwhile: list[Record] = []

    def add(self, record: Record) -> None:
        """Put in what was reported here since."""
        self.records[record.visitor] = later(self.records.get(record.visitor), record)
        self._meanwhile.append(record)

    async def read(self, store: Store, room: str, held: list[Record]) -> None:
        """Read it anew.

        Args:
            store: The store.
            room: The room's name.
            held: What is not in the store yet.
        """
        # While we read, some of that gets there, and more is reported: it must not be missed.
        self._meanwhile = held
        self.records = merge(await read_values(store, room))
        for record in self._meanwhile:
            self.records[record.visitor] = later(self.records.get(record.visitor), record)
        self._meanwhile = []


class Writer:
    """Takes reports and answers with presences.

    Args:
        store: A store, or what ``open_store`` opens.
        config: How writers and job work.
        name: What no other writer is called; by default drawn at random.
        clock: Tells the wall time. All writers' clocks must agree to a second or so.
    """

    def __init__(
        self, store: Store | str, config: StatelessConfig, *, name: str | None = None, clock: Clock = wall_ms
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
        self._views: dict[str, View] = {}
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
        """Write what waits, and close the store if we opened it."""
        for timer in self._timers.values():
            timer.cancel()
        for room, policy in self._policies.items():
            self._carry_out(room, policy.flush(now_ms=self.clock()))
        await asyncio.gather(*self._in_flight, return_exceptions=True)
        if isinstance(self._given, str) and self.ready:
            await self._store.close()

    # --- What the routes ask ----------------------------------------------------------------------------------

    def check_open(self, room: str) -> str:
        """Return the name of a room that people may be in.

        Raises:
            PeerError: It is no name, or no room here.
        """
        server = self.config.server
        if not (server.open_rooms or check_room(room) in {server.default_room, *server.rooms}):
            raise PeerError("no_such_room", "there is no such room here", status=404)
        return check_room(room)

    async def control(self) -> Control | None:
        """Tell what the job said, at most half of ``propagation_ms`` ago."""
        async with self._reading:
            now_ms = self.clock()
            due_at_ms = self._control_read_at_ms + self.config.propagation_ms // 2
            if self._control is None or now_ms >= due_at_ms:
                self._control = await read_control(self._store) or self._control
                self._control_read_at_ms = now_ms
        return self._control

    async def presence(self, room: str) -> Presence:
        """Say who is in a room: what the store held a moment ago, and what was reported here since."""
        control = await self.control()
        view = await self._view(room)
        return describe(room, self.config, control, view.records, now_ms=self.clock())

    async def beat(self, room: str, body: bytes) -> dict[str, Any]:
        """Take a report, and answer with presence.

        Raises:
            PeerError: It makes no sense, or nobody can be counted now.
        """
        control = await self._control_or_refuse()
        report = decode_report(body, self.config.server.room_config(room).moods, epoch=control.epoch)
        drawn = ticket(report.visitor, room=room, epoch=report.epoch)
        in_sample = drawn < self.config.make_rate(room, control.room(room), self.clock()).current
        if in_sample:
            await self._tell(room, report.visitor, report.epoch, "beat", report.mood)
        return presence_body(await self.presence(room)) | {"in_sample": in_sample}

    async def leave(self, room: str, visitor: str) -> None:
        """Take a goodbye. It does not say in which epoch the stay began, so it is said for both."""
        control = await self._control_or_refuse()
        rates = self.config.make_rate(room, control.room(room), self.clock()).rates
        for epoch in (control.epoch, control.epoch - 1):
            # Whoever was in no sample has nothing to take back.
            if ticket(visitor, room=room, epoch=epoch) < max(rate for _, rate in rates) and (
                epoch == control.epoch or await self._secret(epoch) is not None
            ):
                await self._tell(room, visitor, epoch, "leave", None)

    # --- Inside -----------------------------------------------------------------------------------------------

    async def _control_or_refuse(self) -> Control:
        control = await self.control()
        if control is None:
            raise PeerError("unavailable", "the server is starting or stopping", status=503, retry_after_s=2)
        return control

    async def _secret(self, epoch: int) -> bytes | None:
        if epoch not in self._secrets:
            secret = await self._store.get(f"{SECRET}{epoch}")
            if secret is None:
                return None
            self._secrets = {number: held for number, held in self._secrets.items() if number >= epoch - 1}
            self._secrets[epoch] = secret
        return self._secrets[epoch]

    async def _tell(self, room: str, visitor: str, epoch: int, kind: Kind, mood: str | None) -> None:
        """Tell the policy; where it collects nothing, wait until the store has it."""
        secret = await self._secret(epoch)
        if secret is None:
            raise PeerError("bad_epoch", "epoch must be that of the presence that you saw; begin a new stay")
        key = visitor_key(visitor, room=room, secret=secret)
        report = SeatReport(key, ticket(visitor, room=room, epoch=epoch), mood, kind)
        now_ms = self.clock()
        tasks = self._carry_out(room, self._policy(room).report(report, now_ms=now_ms))
        if (view := self._views.get(room)) is not None:
            view.add(Record(key, report.ticket, mood, now_ms, kind != "leave"))
        if self.config.policy == Every.name and not all(await asyncio.gather(*map(asyncio.shield, tasks))):
            raise PeerError("unavailable", "the report could not be kept", status=503, retry_after_s=5)

    def _policy(self, room: str) -> WritePolicy:
        policy = self._policies.get(room)
        if policy is None:
            if len(self._policies) >= self.config.server.rooms_max:
                self._policies = {name: held for name, held in self._policies.items() if held.unwritten()}
            if len(self._policies) >= self.config.server.rooms_max:
                raise PeerError(
                    "too_many_rooms", "too many rooms are open on this server", status=503, retry_after_s=60
                )
            policy = self._policies[room] = self.config.make_policy(room, self.name)
        return policy

    async def _view(self, room: str) -> View:
        """Read a room, if it was not read just now."""
        if len(self._views) >= self.config.server.rooms_max:
            self._views.clear()
        view = self._views.setdefault(room, View())
        max_age_ms = 1_000 * self.config.server.presence_max_age_s
        async with view.reading:
            if view.read_at_ms is None or self.clock() - view.read_at_ms >= max_age_ms:
                await view.read(self._store, room, self._held(room))
                view.read_at_ms = self.clock()
        return view

    def _held(self, room: str) -> list[Record]:
        """List what was reported here and is not in the store yet."""
        policy = self._policies.get(room)
        on_the_way = [put.value for name, put in self._in_flight.values() if name == room]
        return [record for value in on_the_way for record in decode_records(value)] + (
            policy.unwritten() if policy is not None else []
        )

    def _carry_out(self, room: str, writes: Writes) -> list[asyncio.Task[bool]]:
        """Put what is to be put, and set the room's timer."""
        loop = asyncio.get_running_loop()
        tasks = []
        for order in writes.orders:
            assert isinstance(order, Put)  # Who remembers nobody deletes nothing.
            task = loop.create_task(self._put(order))
            self._in_flight[task] = (room, order)
            tasks.append(task)
        if (timer := self._timers.pop(room, None)) is not None:
            timer.cancel()
        if writes.wake_at_ms is not None:
            delay_s = max(0, writes.wake_at_ms - self.clock()) / 1_000
            self._timers[room] = loop.call_later(delay_s, self._wake, room)
        return tasks

    def _wake(self, room: str) -> None:
        self._timers.pop(room, None)
        if (policy := self._policies.get(room)) is not None:
            self._carry_out(room, policy.wake(now_ms=self.clock()))

    async def _put(self, order: Put) -> bool:
        """Put a value, again and again if need be; tell whether it is in the store."""
        task = asyncio.current_task()
        try:
            for attempt in count():
                try:
                    await self._store.put(order.key, order.value, ttl_ms=order.ttl_ms)
                except (StoreError, HostError) as error:  # HostError: more than one value can hold
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


# --- HTTP ---------------------------------------------------------------------------------------------------------


class Routes:
    """The handlers, over one writer."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.config = writer.config.server

    async def presence(self, request: Request) -> Response:
        """Answer who is here, for caches to share."""
        presence = await self.writer.presence(self.writer.check_open(request.path_params["room"]))
        max_age_s = self.config.presence_max_age_s
        # The time moves in steps, so that most revalidations are answered by 304.
        step_ms = presence.valid_ms // 2
        stepped = replace(presence, as_of_ms=presence.as_of_ms // step_ms * step_ms)
        return cacheable(
            request,
            encode_presence(presence),
            f"public, max-age={max_age_s}, stale-while-revalidate={max_age_s}",
            etag=etag_of(encode_presence(stepped)),
        )

    async def room_config(self, request: Request) -> Response:
        """Answer how a room works."""
        name = self.writer.check_open(request.path_params["room"])
        settings: RoomConfig = self.config.room_config(name)
        body = config_body(name, settings, now_ms=self.writer.clock()) | {"mode": "poll"}
        max_age = f"public, max-age={self.config.config_max_age_s}"
        return cacheable(request, encode(body), max_age, etag=etag_of(encode({**body, "now_ms": 0})))

    async def beat(self, request: Request) -> Response:
        """Take a report."""
        self._check_origin(request)
        room = self.writer.check_open(request.path_params["room"])
        answer = await self.writer.beat(room, await self._body(request))
        return json_response(encode(answer))

    async def leave(self, request: Request) -> Response:
        """Take a goodbye."""
        self._check_origin(request)
        room = self.writer.check_open(request.path_params["room"])
        await self.writer.leave(room, check_visitor(decode_object(await self._body(request)).get("visitor")))
        return Response(status_code=204)

    async def heartbeat(self, request: Request) -> Response:
        """Refuse the planning document's clients, who cannot be counted without a memory of them."""
        del request
        raise PeerError(
            "cannot_count",
            "clients that flip coins cannot be counted without a memory of sessions, which this server has not",
            status=501,
        )

    async def healthz(self, request: Request) -> Response:
        """Answer: whoever can is alive."""
        del request
        return json_response(b'{"ok":true}')

    async def readyz(self, request: Request) -> Response:
        """Answer whether people can be counted: the store is there, and the job has run."""
        del request
        if await self.writer.control() is None:
            raise PeerError("unavailable", "the server is starting or stopping", status=503, retry_after_s=2)
        return json_response(b'{"ok":true}')

    def _check_origin(self, request: Request) -> None:
        if not origin_allowed(
            request.headers.get("origin"), request.headers.get("host"), self.config.origins
        ):
            raise PeerError("forbidden_origin", "this origin may not use this server", status=403)

    async def _body(self, request: Request) -> bytes:
        bytes_max = self.config.body_bytes_max
        body = b""
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise PeerError("body_too_large", f"a body has at most {bytes_max} bytes", status=413)
        except ClientDisconnect:
            raise PeerError("cut_off", "the body did not arrive whole") from None
        return body


async def _on_peer_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, PeerError)
    return error_response(error)


async def _on_http_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    code, message = {
        404: ("not_found", "there is nothing here"),
        405: ("wrong_method", "this path takes another method"),
    }.get(error.status_code, ("bad_request", HTTPStatus(error.status_code).phrase.lower()))
    return error_response(PeerError(code, message, status=error.status_code), dict(error.headers or {}))


async def _on_store_error(request: Request, error: Exception) -> Response:
    del request
    log.error("the store does not answer: %s", error)
    return error_response(PeerError("unavailable", "the store does not answer", status=503, retry_after_s=5))


async def _on_bug(request: Request, error: Exception) -> Response:
    del request, error
    return error_response(PeerError("internal", "something went wrong here", status=500))


class OpenedOnDemand:
    """Opens the store with the first request: not every host runs an application's lifespan."""

    def __init__(self, app: ASGIApp, writer: Writer) -> None:
        self.app = app
        self.writer = writer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] == "http" and not self.writer.ready:
            await self.writer.start()
        await self.app(scope, receive, send)


def stateless_app(
    store: Store | str,
    config: StatelessConfig | None = None,
    *,
    writer: str | None = None,
    clock: Clock = wall_ms,
) -> Starlette:
    """Make one writer, as an ASGI application.

    Run as many as you like over one store, and ``housekeep`` once a minute somewhere::

        app = stateless_app("presence.db")

    Args:
        store: A store, or the file of one. It must be shared by all writers.
        config: How writers and job work; the same everywhere.
        writer: What no other writer is called, in the form of a room's name; by default drawn at random.
        clock: Tells the wall time.
    """
    held = Writer(store, config or StatelessConfig(), name=writer, clock=clock)
    routes = Routes(held)
    room = "/v1/rooms/{room}"

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await held.start()
        try:
            yield
        finally:
            await held.stop()

    app = Starlette(
        routes=[
            Route(room, routes.presence),
            Route(f"{room}/config", routes.room_config),
            Route(f"{room}/beat", routes.beat, methods=["POST"]),
            Route(f"{room}/leave", routes.leave, methods=["POST"]),
            Route("/api/heartbeat", routes.heartbeat, methods=["POST"]),
            Route("/healthz", routes.healthz),
            Route("/readyz", routes.readyz),
        ],
        middleware=[
            Middleware(OpenedOnDemand, writer=held),
            Middleware(
                Cors,
                allow_origins=held.config.server.origins,
                allow_methods=["GET", "POST"],
                allow_headers=["content-type"],
                expose_headers=["age", "etag", "retry-after"],
                max_age=86_400,
            ),
        ],
        exception_handlers={
            PeerError: _on_peer_error,
            HTTPException: _on_http_error,
            StoreError: _on_store_error,
            Exception: _on_bug,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.writer = held
    return app
