"""The server as one of several: it tells the others what it knows, and its people what all know together.

``Cluster`` is the node: one round trip a tick, and what follows from the answer. ``RoomPart`` stands beside each open room. What
is said and how it is added up is the business of ``core/cluster.py``; how it travels, of ``stores/log.py``.

A visitor may have sockets on two nodes, tabs of one browser perhaps. The node that was told of the last one counts the visitor; on
the other its sockets are *parked*: they hear everything, and the room knows nothing of them. When the counting node says
that the visitor's last socket there ended, or is gone itself, or the visitor does something here, they are taken back.

Nothing here waits for Redis but the tick itself. While Redis is away a tick fails, what it had to say waits for the next, and
people go on as before.
"""

import asyncio
import logging
import secrets
import socket
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import exp
from typing import TYPE_CHECKING, Final

from breathing_room.core.cluster import (
    LATE_TICKS,
    NO_SEATS,
    Message,
    NodeId,
    Nodes,
    Order,
    Part,
    Whole,
    decode,
    decode_pace,
    encode_message,
    encode_pace,
    propose,
)
from breathing_room.core.config import UNSPOKEN
from breathing_room.core.errors import ConfigError, HostError, StoreError
from breathing_room.core.events import (
    Broke,
    Event,
    Inherited,
    Joined,
    Left,
    MoodChanged,
    Moved,
    Paced,
    Reported,
    VisitorKey,
    Withdrew,
)
from breathing_room.core.presence import Presence
from breathing_room.core.room import Room
from breathing_room.core.snapshot import Leases
from breathing_room.core.visitors import SECRET_BYTES
from breathing_room.core.wire import RESTART
from breathing_room.stores import RedisStore
from breathing_room.stores.log import BEGINNING, EntryId, Log, Round
from breathing_room.stores.redis import Link

if TYPE_CHECKING:
    from breathing_room.hosts.server.host import Host, RoomHost
    from breathing_room.hosts.server.session import Session

log = logging.getLogger("breathing_room.cluster")

ARRIVALS_S: Final = 60.0
"""People who come in are averaged over this time, to say how many more there may be on a node that is not heard of."""

TIMEOUT_S: Final = 1.0
"""How long a tick waits for Redis at least: a busy machine may take a while, and nobody waits for a tick."""

RETURN_MS: Final = 5_000
"""How long a node that ends waits, after the last of its people was to come back, until they are counted elsewhere."""

CALM: Final = ((0, 1.0),)
"""Everybody is asked, and nobody acts on anything else."""


@dataclass(slots=True)
class Parked:
    """A visitor with sockets here who is counted on another node.

    Attributes:
        node: Where.
        mood: What the visitor felt here.
        sessions: The sockets.
    """

    node: NodeId
    mood: str
    sessions: "list[Session[RoomHost]]"


class RoomPart:
    """What is to be told and known of one open room.

    Args:
        cluster: The node.
        room: The room.
    """

    def __init__(self, cluster: "Cluster", room: "RoomHost") -> None:
        self._cluster = cluster
        self._room = room
        self._whole = Whole(room.name, room.config, now_ms=cluster.now_ms())
        # To be told with the next message: the keys of dicts, for their order.
        self._came: dict[VisitorKey, None] = {}
        self._reported: dict[VisitorKey, None] = {}
        self._gone: dict[VisitorKey, None] = {}
        self._parked: dict[VisitorKey, Parked] = {}
        self._arrivals_per_s = 0.0
        self._arrived = 0
        self._composed_at_ms = cluster.now_ms()
        self._pace_seen: bytes | None = None
        self.look()

    @property
    def has_news(self) -> bool:
        """Whether there is something that the others must know before the room may be closed."""
        return bool(self._came or self._reported or self._gone or self._parked)

    @property
    def parked_count(self) -> int:
        """Visitors with sockets here who are counted elsewhere."""
        return len(self._parked)

    # --- What happens here ------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Tell the room something, and note what the others must know of it."""
        room = self._room.room
        match event:
            case Joined(_, visitor, mood):
                parked = self._parked.pop(visitor, None)
                known = room.holds(visitor)
                if parked is not None:
                    for session in parked.sessions:
                        self._room.step(Joined(session, visitor, parked.mood))
                self._room.step(event)
                if not known:
                    self._claim(visitor)
                    self._arrived += 1
            case MoodChanged(session, mood):
                if (visitor := _visitor_of(session)) in self._parked:
                    self._take_back(visitor, mood)
                self._room.step(event)
            case Left(session) | Broke(session):
                self._part(event, session)
            case Reported(visitor):
                if visitor in self._parked:
                    self._take_back(visitor)
                known = room.holds(visitor)
                self._room.step(event)
                if not known and room.holds(visitor):
                    self._reported[visitor] = None
                    self._cluster.nodes.claim(self._room.name)
            case Withdrew(visitor):
                known = room.holds(visitor)
                self._room.step(event)
                if not known:  # The seat is on another node.
                    self._reported[visitor] = None
            case _:
                self._room.step(event)

    def _part(self, event: Event, session: object) -> None:
        """A socket ended."""
        visitor = _visitor_of(session)
        if (parked := self._parked.get(visitor)) is not None:
            parked.sessions = [other for other in parked.sessions if other is not session]
            if not parked.sessions:
                del self._parked[visitor]
            return
        self._room.step(event)
        if not self._has_socket(visitor):
            self._gone[visitor] = None

    def _claim(self, visitor: VisitorKey) -> None:
        """Tell everybody that a visitor is counted here."""
        self._came[visitor] = None
        self._gone.pop(visitor, None)
        self._cluster.nodes.claim(self._room.name)

    def _take_back(self, visitor: VisitorKey, mood: str | None = None, *, claim: bool = True) -> None:
        """Count a visitor with parked sockets here."""
        parked = self._parked.pop(visitor)
        for session in parked.sessions:
            self._room.step(Joined(session, visitor, mood or parked.mood))
        if claim:
            self._claim(visitor)

    def _has_socket(self, visitor: VisitorKey) -> bool:
        person = self._room.room.person(visitor)
        return person is not None and bool(person.connections)

    # --- What others say --------------------------------------------------------------------------------------

    def hear(self, part: Part, node: NodeId) -> None:
        """Take what a node says of this room, in the order of the log; our own words too."""
        if node == self._cluster.node:
            for visitor in part.came:
                if visitor in self._parked:  # Whoever claimed the visitor did so before we did.
                    self._take_back(visitor, claim=False)
            return
        for visitor in part.came:
            if visitor in self._parked:
                self._parked[visitor].node = node
            elif self._has_socket(visitor):
                self._park(visitor, node)
            elif self._room.room.holds(visitor):
                self._room.step(Moved(visitor))
        for visitor in part.reported:
            if self._has_socket(visitor):
                self._claim(visitor)
            elif visitor not in self._parked and self._room.room.holds(visitor):
                self._room.step(Moved(visitor))
        for visitor in part.gone:
            if visitor in self._parked and self._parked[visitor].node == node:
                self._take_back(visitor)

    def inherit(self, seats: Leases) -> None:
        """Take over the seats of a node that is about to leave; it lets go of them when it hears so."""
        self._room.step(Inherited(seats))
        for visitor, *_ in seats:
            if self._room.room.panel.holds(visitor):
                self._reported[visitor] = None
                self._cluster.nodes.claim(self._room.name)

    def lose(self, node: NodeId) -> None:
        """A node is gone: whoever was counted there and has sockets here is counted here."""
        for visitor in [visitor for visitor, parked in self._parked.items() if parked.node == node]:
            self._take_back(visitor)

    def _park(self, visitor: VisitorKey, node: NodeId) -> None:
        person = self._room.room.person(visitor)
        assert person is not None
        mood = (*self._room.config.moods, UNSPOKEN)[person.mood]
        self._parked[visitor] = Parked(node, mood, list(person.connections))  # type: ignore[arg-type]
        self._room.step(Moved(visitor))

    # --- What we say ------------------------------------------------------------------------------------------

    def compose(self, now_ms: int, *, hands_over: bool) -> Part:
        """Put down what the others should know.

        Args:
            now_ms: Our time.
            hands_over: Whether the seats of the panel are to be taken over.
        """
        elapsed_s = (now_ms - self._composed_at_ms) / 1_000
        if elapsed_s > 0:
            faded = exp(-elapsed_s / ARRIVALS_S)
            self._arrivals_per_s = self._arrivals_per_s * faded + (1 - faded) * self._arrived / elapsed_s
            self._arrived = 0
            self._composed_at_ms = now_ms
        # Whoever came and went again is not to be taken from somebody who has a socket.
        live = {visitor: self._has_socket(visitor) for visitor in self._came}
        part = Part(
            summary=replace(self._room.room.summary(now_ms), arrivals_per_s=self._arrivals_per_s),
            came=tuple(visitor for visitor, is_live in live.items() if is_live),
            reported=(*self._reported, *(visitor for visitor, is_live in live.items() if not is_live)),
            gone=tuple(visitor for visitor in self._gone if not self._has_socket(visitor)),
            seats=self._room.room.panel.snapshot(now_ms).seats if hands_over else NO_SEATS,
        )
        self._came, self._reported, self._gone = {}, {}, {}
        return part

    def say_again(self, part: Part) -> None:
        """Nobody may have heard this: say it again, as far as it still holds."""
        self._came |= {visitor: None for visitor in part.came if self._has_socket(visitor)}
        self._reported |= {visitor: None for visitor in part.reported if self._room.room.holds(visitor)}
        self._gone |= dict.fromkeys(part.gone)

    def say_all(self) -> None:
        """Claim everybody who is here: nobody knows what was said meanwhile."""
        self._came |= {person.key: None for person in self._room.room.people() if person.connections}

    def look(self) -> None:
        """Take in what is known of the others now."""
        self._whole.others = self._cluster.nodes.others(self._room.name, self._cluster.now_ms())

    def announce(self) -> Presence | None:
        """Say what to tell everybody, if anything has changed and it is time."""
        now_ms = self._cluster.now_ms()
        own, claims = self._room.room.summary(now_ms), self._cluster.nodes.claims(self._room.name)
        return self._whole.announce(own, claims, push_ms=self._room.room.push_ms, now_ms=now_ms)

    def presence(self) -> Presence:
        """Say who is in the whole room."""
        now_ms = self._cluster.now_ms()
        own, claims = self._room.room.summary(now_ms), self._cluster.nodes.claims(self._room.name)
        return self._whole.presence(own, claims, now_ms=now_ms)

    # --- The rate ---------------------------------------------------------------------------------------------

    def pace(self, pace: bytes, ahead_ms: int) -> bytes | None:
        """Act on the rate that holds for all, and say what it should become, None for nothing else.

        Args:
            pace: The rate as it is kept beside the log; empty where there is none.
            ahead_ms: How far the clock of Redis is ahead of ours.
        """
        panel, config = self._room.room.panel, self._room.config
        now_ms, late = self._cluster.now_ms(), self._cluster.nodes.late_ms
        ours = Paced(_shifted(panel.rates, ahead_ms), panel.changed_at_ms + ahead_ms)
        if not pace:
            if panel.rate < 1.0:
                return encode_pace(ours)  # Redis lost its memory.
            kept = Paced(CALM, 0)
        else:
            try:
                kept = decode_pace(pace)
            except HostError:
                return encode_pace(ours)
            if pace != self._pace_seen:
                self._pace_seen = pace
                self._room.step(Paced(_shifted(kept.rates, -ahead_ms), kept.changed_at_ms - ahead_ms))
                if ours.rates[0][1] < min(rate for _, rate in kept.rates):
                    # We announced a lower one, while we were cut off: somebody may act on that for a while.
                    until_ms = now_ms + ahead_ms + config.spread_ms + late
                    lower = (until_ms, ours.rates[0][1])
                    return encode_pace(replace(kept, rates=(*kept.rates, lower)))
        own = self._room.room.summary(now_ms)
        if own.panel.is_idle and kept.rates == CALM and not self._whole.others.summaries:
            return None
        proposed = propose(
            kept, [own, *self._whole.others.summaries], config, late_ms=late, now_ms=now_ms + ahead_ms
        )
        return None if proposed is None else encode_pace(proposed)


def _visitor_of(session: object) -> VisitorKey:
    """Say whose socket it is; only sockets of persons come here."""
    visitor: VisitorKey = session.visitor  # type: ignore[attr-defined]
    return visitor


def _shifted(rates: Iterable[tuple[int, float]], ms: int) -> tuple[tuple[int, float], ...]:
    """Tell the times of rates by another clock; the current one has none."""
    return tuple((until_ms and max(0, until_ms + ms), rate) for until_ms, rate in rates)


class Cluster:
    """A server as a node.

    Args:
        host: The server.

    Raises:
        ConfigError: The address of Redis is none, or a package is missing.
    """

    def __init__(self, host: "Host") -> None:
        config = host.config
        self._host = host
        self.now_ms = host.clock.now_ms
        self.node: NodeId = (
            config.node or f"{socket.gethostname()}:{config.port}",
            secrets.randbits(48),
        )
        rooms = (config.room, *config.rooms.values())
        late = LATE_TICKS * config.node_ms
        self.nodes = Nodes(
            self.node,
            late_ms=late,
            seat_lease_ms=max(room.beat_lease_ms for room in rooms),
            now_ms=self.now_ms(),
        )
        # What was said while a node was cut off for less than a lease is still there when it comes back.
        self._kept_ms = 2 * max(config.node_lease_ms, *(room.lease_ms for room in rooms))
        try:
            self._link = Link(config.redis, timeout_s=max(late / 2_000, TIMEOUT_S), retries=0)
        except HostError as error:
            raise ConfigError(f"redis: {error}") from None
        self._log = Log(self._link, kept_ms=self._kept_ms)
        self._read_up_to: EntryId = BEGINNING
        self._read_at_ms = self.now_ms()
        self._ahead_ms = 0
        self._said: deque[tuple[int, dict[str, Part]]] = deque()
        self._is_away = False
        self.is_draining = False
        self._ticking = asyncio.Lock()
        self.found_nobody = False
        self.ticks_failed = 0
        self.messages = 0
        self.messages_refused = 0
        self.message_bytes = 0
        self.parts_told: dict[str, int] = {}
        """The leases that were told of each room with the last message that was heard."""

    # --- Start and stop ---------------------------------------------------------------------------------------

    async def open_store(self) -> RedisStore:
        """See that Redis can be used, and open the store in it.

        Raises:
            StoreError: It cannot.
        """
        try:
            await self._link.check()
            await self._log.read()
            return await RedisStore.open(self._host.config.redis)
        except BaseException:
            await self._link.close()
            raise

    async def start(self) -> None:
        """Hear what the others said lately, and tell them that we are here.

        Raises:
            StoreError: Redis is away.
        """
        redis_ms, entries = await self._log.read()
        self._ahead_ms = redis_ms - self.now_ms()
        self._hear(entries)
        self.nodes.lapse(self.now_ms())
        self.found_nobody = not any(True for _ in self.nodes)
        await self.tick()

    async def agree_on_secret(self, epoch: int) -> list[bytes]:
        """Return the secret of an epoch, on which all nodes agree, and that of the one before, if there is one.

        Raises:
            StoreError: Redis is away.
        """
        ttl_ms = 2 * self._host.config.room.epoch_ms
        held = self._host.secrets[:1] if epoch == self._host.epoch else []
        mine = held[0] if held else secrets.token_bytes(SECRET_BYTES)
        current = await self._log.secret(epoch, mine, ttl_ms=ttl_ms)
        if held and current != mine:
            return [current, mine]  # Redis lost its memory, and somebody new was faster than we.
        before = await self._log.known_secret(epoch - 1)
        return [current] if before is None else [current, before]

    async def run(self) -> None:
        """Tick, until the server ends; it need not be cancelled, which a call of Redis that is under way may not notice."""
        while not self._host.stopping:
            await asyncio.sleep(self._host.config.node_ms / 1_000)
            await self.tick()

    async def drain(self) -> None:
        """Let everybody go to other nodes, each in its own moment, hand the seats over, and wait until all are there.

        They stay counted here, as silent, until they are counted elsewhere. Whoever does not come back leaves them to
        the lease of this node.
        """
        self.is_draining = True  # Nobody comes in any more, and whoever asks is told so.
        for room in self._host.rooms.values():
            for listener in [*room.pings, *room.audience]:
                listener.close(RESTART, self._host.retry_reason())
        give_up_at_ms = self.now_ms() + self._host.config.retry_spread_ms + RETURN_MS
        while self.now_ms() < give_up_at_ms and any(  # noqa: ASYNC110 - the ticks that go on are the event
            room.room.count for room in self._host.rooms.values()
        ):
            await asyncio.sleep(min(self._host.config.node_ms, 1_000) / 2_000)

    async def close(self) -> None:
        """Say goodbye if nobody is left, and let go of Redis. Otherwise the lease of this node goes on."""
        try:
            if not any(room.room.count for room in self._host.rooms.values()):
                leaving = Message(node=self.node, lease_ms=0, leaving=True)
                await self._log.write(encode_message(leaving, self._moods_of))
        except StoreError as error:
            log.warning("the other nodes could not be told that this one ends: %s", error)
        await self._link.close()

    # --- A tick -----------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Say what we know, hear what is new, and tell people what follows."""
        async with self._ticking:
            now_ms = self.now_ms()
            if now_ms - self._read_at_ms > self._kept_ms:
                for room in self._host.rooms.values():
                    if room.part is not None:
                        room.part.say_all()
            heir = self.nodes.heir(now_ms) if self.is_draining else None
            parts = {
                name: room.part.compose(now_ms, hands_over=heir is not None)
                for name, room in self._host.rooms.items()
                if room.part is not None
            }
            message = Message(
                node=self.node, lease_ms=self._host.config.node_lease_ms, heir=heir, parts=parts
            )
            encoded = encode_message(message, self._moods_of)
            self._said.append((now_ms, parts))
            try:
                answer = await self._log.tell(encoded, since=self._read_up_to)
            except StoreError as error:
                self._fail(error)
            else:
                self.message_bytes = len(encoded)
                await self._take(answer)
            self._tell()

    def _fail(self, error: StoreError) -> None:
        """Redis does not answer. What was said lately may be lost with it: it is said again."""
        self.ticks_failed += 1
        if not self._is_away:
            self._is_away = True
            log.warning("the other nodes are out of sight: %s", error)
        for _, parts in self._said:
            for name, part in parts.items():
                room = self._host.rooms.get(name)
                if room is not None and room.part is not None:
                    room.part.say_again(part)
        self._said.clear()

    async def _take(self, answer: Round) -> None:
        if self._is_away:
            self._is_away = False
            log.info("the other nodes are in sight again")
            self._host.spawn(self._agree_again())
        now_ms = self._read_at_ms = self.now_ms()
        self._ahead_ms = answer.own[0] - now_ms
        while self._said and self._said[0][0] < now_ms - self.nodes.late_ms:
            self._said.popleft()
        if answer.own < self._read_up_to:
            # Another Redis, whose clock is behind: what it has to say comes with the next tick.
            self._read_up_to = BEGINNING
            return
        self._hear(answer.entries)
        for name, room in list(self._host.rooms.items()):
            if room.part is None:
                continue
            pace = answer.paces.get(name, b"")
            wanted = room.part.pace(pace, self._ahead_ms)
            if wanted is not None and wanted != pace:
                try:
                    await self._log.set_pace(name, pace, wanted)
                except StoreError as error:
                    self._fail(error)

    async def _agree_again(self) -> None:
        """See that the secret is where others find it, after Redis was away."""
        try:
            self._host.secrets = await self.agree_on_secret(self._host.epoch)
        except StoreError as error:
            log.warning("the secret of visitors' keys could not be shared: %s", error)

    def _hear(self, entries: Iterable[tuple[EntryId, bytes]]) -> None:
        """Take entries of the log: first who is where, and then who moved; else those would be missing for a moment."""
        messages: list[Message] = []
        for entry, value in entries:
            self._read_up_to = entry
            try:
                said = decode(value, self._moods_of)
            except HostError as error:
                self.messages_refused += 1
                log.debug("an entry of the log is of no use: %s", error)
                continue
            if isinstance(said, Order):
                self._obey(said)
                continue
            messages.append(said)
            self.nodes.hear(said, heard_at_ms=entry[0] - self._ahead_ms, now_ms=self.now_ms())
        self.messages += len(messages)
        self._look()
        for message in messages:
            self._follow(message)

    def _follow(self, message: Message) -> None:
        """Do what follows from a message for those who are here."""
        if message.node == self.node:
            self.parts_told = {name: part.summary.leases for name, part in message.parts.items()}
        for name, part in message.parts.items():
            room = self._host.rooms.get(name)
            if room is not None and room.part is not None:
                room.part.hear(part, message.node)
            if message.heir == self.node and len(part.seats):
                heir = self._host.room(name)
                assert heir.part is not None
                heir.part.inherit(part.seats)
        if message.leaving:
            self._lose([message.node])

    def _obey(self, order: Order) -> None:
        if order.verb == "forget":
            self._lose(self.nodes.forget(order.name))
        elif order.name == self.node[0] and not self.is_draining:
            log.info("this node is drained, as an operator asked for")
            self._host.spawn(self.drain())

    def _lose(self, gone: Iterable[NodeId]) -> None:
        for node in gone:
            for room in self._host.rooms.values():
                if room.part is not None:
                    room.part.lose(node)

    def _look(self) -> None:
        """Let every room know what is known of the others now."""
        for room in self._host.rooms.values():
            if room.part is not None:
                room.part.look()

    def _tell(self) -> None:
        """Let go of nodes whose leases ended, and tell everybody what changed."""
        self._lose(self.nodes.lapse(self.now_ms()))
        self._look()
        for room in list(self._host.rooms.values()):
            room.announce_whole()

    # --- What routes ask --------------------------------------------------------------------------------------

    def presence(self, room: Room) -> Presence:
        """Say who is in a room that is not open here.

        Args:
            room: The room as it would be if it were.
        """
        whole = Whole(room.name, room.config, now_ms=self.now_ms())
        whole.others = self.nodes.others(room.name, self.now_ms())
        return whole.presence(room.summary(self.now_ms()), self.nodes.claims(room.name), now_ms=self.now_ms())

    def _moods_of(self, room: str) -> tuple[str, ...]:
        return self._host.config.room_config(room).moods
