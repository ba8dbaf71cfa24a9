"""The room: who is here now.

Rule 1: everything that changes who is present happens in this file.
Rule 2: this file does not know how it is hosted. It opens no socket, reads no clock and draws no random number.

Theory of operation
-------------------
A person is *present* while a lease lasts. A sign of life renews the lease; a goodbye ends it at once; a socket
that breaks shortens it to ``grace_ms``, since most broken sockets come back. Nobody counts up and down: the
count is the number of leases.

Some leases say less than others. A person is *silent* when we hold a lease but have reason to doubt it: the
socket broke, a report is overdue, or the room was restored from a snapshot and the person was not heard from
since. Silent people are counted, and the interval says what they leave open: ``low`` is without them, ``high`` is
with them. While some of the silent are left from before a restart, the method is ``stale``; when all of them are
back or lapsed it is ``counted`` again. So a restart is not an exodus, and needs no rule of its own. A room that
has lost its memory altogether is ``unknown`` for one lease, in which everybody on a socket comes back.

Leases are lazy. A renewal only moves the end of the lease forward; the person stays where it was put on the
agenda, and when that time comes the agenda looks at the lease and puts the person forward to its end. Ends lie
on a grid of ``TICK_MS``, so the agenda has at most lease / tick entries whatever the crowd, and a renewal costs
O(1), amortised with one visit per lease. An early wake-up is harmless and common; a late one only delays a departure.

Announcements are coalesced: the first change is told at once, later ones when ``push_ms`` have passed, and
changes that took each other back are not told at all.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, Self, assert_never

from breathing_room.core.config import TICK_MS, UNSPOKEN, RoomConfig
from breathing_room.core.effects import Announce, Close, Effect, Save, Step, Tell
from breathing_room.core.errors import HostError, PeerError
from breathing_room.core.events import (
    Broke,
    Connection,
    Event,
    Heard,
    Joined,
    Left,
    MoodChanged,
    Observed,
    Reported,
    VisitorKey,
    Withdrew,
    Woken,
)
from breathing_room.core.presence import Facts, Presence, read_label
from breathing_room.core.snapshot import POLLED, RESTORED, SILENT, Snapshot
from breathing_room.core.visitors import KEY_BYTES
from breathing_room.core.wire import LEASE_ENDED

NOT_DUE: Final = 0


class Person:
    """Somebody who is present.

    Attributes:
        key: The visitor's key.
        mood: An index into the declared moods; one past the last: unspoken.
        connections: The live sockets of this visitor, nearly always one.
        polled: Whether reports, and no socket, keep the lease.
        silent: Whether the lease is in doubt.
        restored: Whether it is left from before a restart; restored people are silent.
        expires_at_ms: The end of the lease.
        due_at_ms: Where on the agenda this person stands, or NOT_DUE.
    """

    __slots__ = ("connections", "due_at_ms", "expires_at_ms", "key", "mood", "polled", "restored", "silent")

    def __init__(self, key: VisitorKey, mood: int) -> None:
        self.key = key
        self.mood = mood
        self.connections: tuple[Connection, ...] = ()
        self.polled = False
        self.silent = False
        self.restored = False
        self.expires_at_ms = 0
        self.due_at_ms = NOT_DUE


class Room:
    """Counts the people in one room, by mood.

    Args:
        name: What the room is called; it is published.
        config: How the room works.
        now_ms: The host's time: milliseconds since 1970-01-01 UTC by a clock that does not jump. The room
            publishes it as ``as_of_ms``.
        unknown: Whether there may be people of whom the room has lost all memory. It then says so until they
            must have been heard from.
    """

    def __init__(self, name: str, config: RoomConfig, *, now_ms: int, unknown: bool = False) -> None:
        self.name = name
        self.config = config
        self._now_ms = now_ms
        self._people: dict[VisitorKey, Person] = {}
        self._connections: dict[Connection, Person] = {}
        self._mood_index = {mood: index for index, mood in enumerate((*config.moods, UNSPOKEN))}
        self._tally = [0] * len(self._mood_index)
        self._silent_count = 0
        self._restored_count = 0
        self._unknown_until_ms = _grid(now_ms + config.lease_ms) if unknown else None
        self._due: dict[int, list[Person]] = {}
        self._agenda: list[int] = []
        self._label_shown: int | None = None
        self._announced = self._facts()
        self._announced_at_ms = now_ms - config.push_ms
        self._untold = False
        self._told_apart = False
        self._saved_at_ms = now_ms
        self._unsaved = False
        self._changed = False
        self._presence = self._describe()

    # --- What the room can be asked ---------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """People with a lease, silent ones included."""
        return len(self._people)

    @property
    def silent_count(self) -> int:
        """People whose lease is in doubt."""
        return self._silent_count

    @property
    def connection_count(self) -> int:
        """Sockets of people who joined; observers are not among them."""
        return len(self._connections)

    def holds(self, visitor: VisitorKey) -> bool:
        """Tell whether a visitor has a lease."""
        return visitor in self._people

    def presence(self, *, now_ms: int) -> Presence:
        """Say who is here, as of the last step.

        Args:
            now_ms: What to publish as ``as_of_ms``.
        """
        return replace(self._presence, as_of_ms=max(self._now_ms, now_ms))

    # --- Rest -------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Take everything down, connections excepted: those are the host's to remember."""
        people = self._people.values()
        return Snapshot(
            room=self.name,
            as_of_ms=self._now_ms,
            moods=self.config.moods,
            keys=b"".join(self._people),
            mood_of=bytes(person.mood for person in people),
            flags=bytes(
                SILENT * person.silent | RESTORED * person.restored | POLLED * person.polled
                for person in people
            ),
            lease_left_ms=tuple(max(0, person.expires_at_ms - self._now_ms) for person in people),
            unknown_until_ms=self._unknown_until_ms,
            announced=self._announced,
            announced_at_ms=self._announced_at_ms,
            saved_at_ms=self._saved_at_ms,
            told_apart=self._told_apart,
            unsaved=self._unsaved,
            label_shown=self._label_shown,
        )

    @classmethod
    def restore(cls, snapshot: Snapshot, config: RoomConfig, *, now_ms: int) -> Self:
        """Begin again after a crash or a restart, when every connection is gone.

        People keep what is left of their leases, and are silent until they are heard from. If everybody's lease
        has ended meanwhile, nobody knows who will come back: the room is unknown for one lease.

        Args:
            snapshot: The last one that was stored.
            config: How the room works from now on; a mood that it does not declare becomes unspoken.
            now_ms: The host's time. If it lies before the snapshot, a clock stepped back, and no time passed.
        """
        lost = snapshot.count > 0 and snapshot.live_count(now_ms) == 0
        # The time for which we were down gave nobody a chance to be heard: what was unknown is so anew.
        unknown = lost or snapshot.unknown_until_ms is not None
        room = cls(snapshot.room, config, now_ms=now_ms, unknown=unknown)
        room._label_shown = snapshot.label_shown
        elapsed_ms = max(0, now_ms - snapshot.as_of_ms)
        for person, left_ms in room._people_of(snapshot):
            if left_ms > elapsed_ms:
                person.silent = person.restored = True
                longest_ms = (config.beat_lease_ms if person.polled else config.lease_ms) + TICK_MS
                room._admit(person, now_ms + min(left_ms - elapsed_ms, longest_ms))
        room._presence = room._describe()
        room._announced = room._facts()  # Nobody is connected: there is nobody to tell.
        return room

    @classmethod
    def wake(
        cls, snapshot: Snapshot, config: RoomConfig, connections: Mapping[Connection, VisitorKey]
    ) -> Self:
        """Go on after a sleep as if there had been none: the host kept the connections meanwhile.

        Args:
            snapshot: Taken after the last step.
            config: The same as then.
            connections: The visitor behind every connection that joined and is still open.
        """
        room = cls(snapshot.room, config, now_ms=snapshot.as_of_ms)
        room._unknown_until_ms = snapshot.unknown_until_ms
        room._label_shown = snapshot.label_shown
        for person, left_ms in room._people_of(snapshot):
            room._admit(person, snapshot.as_of_ms + left_ms)
        for connection, visitor in connections.items():
            if visitor in room._people:
                person = room._connections[connection] = room._people[visitor]
                person.connections += (connection,)
        for person in room._people.values():
            if not (person.connections or person.polled or person.silent):
                room._doubt(person)  # Its socket broke while nobody was looking.
        room._announced = snapshot.announced
        room._announced_at_ms = snapshot.announced_at_ms
        room._saved_at_ms = snapshot.saved_at_ms
        room._unsaved = room._unsaved or snapshot.unsaved
        room._told_apart = snapshot.told_apart
        room._presence = room._describe()
        room._untold = room._told_apart or room._facts() != room._announced
        room._changed = False
        return room

    def _people_of(self, snapshot: Snapshot) -> Iterator[tuple[Person, int]]:
        """Read the people of a snapshot, each with what was left of the lease, in milliseconds."""
        mood_here = [self._mood_index.get(mood, len(self._tally) - 1) for mood in (*snapshot.moods, UNSPOKEN)]
        for index, (mood, flags, left_ms) in enumerate(
            zip(snapshot.mood_of, snapshot.flags, snapshot.lease_left_ms, strict=True)
        ):
            key = snapshot.keys[index * KEY_BYTES : (index + 1) * KEY_BYTES]
            person = Person(VisitorKey(key), mood_here[mood])
            person.silent = bool(flags & SILENT)
            person.restored = bool(flags & RESTORED)
            person.polled = bool(flags & POLLED)
            yield person, left_ms

    def _admit(self, person: Person, expires_at_ms: int) -> None:
        """Take in a person of a snapshot."""
        self._people[person.key] = person
        self._tally[person.mood] += 1
        self._silent_count += person.silent
        self._restored_count += person.restored
        person.expires_at_ms = _grid(expires_at_ms)
        self._put_on_agenda(person, person.expires_at_ms if person.silent else self._doubtful_at_ms(person))

    # --- What the room can be told ----------------------------------------------------------------------------

    def step(self, event: Event, *, now_ms: int) -> Step:
        """Tell the room one thing, and learn what to do about it.

        Args:
            event: What happened.
            now_ms: The host's time. A value earlier than the last one counts as the last one: clocks of
                sleeping hosts do step back.

        Returns:
            The orders for the host, and when to wake the room.

        Raises:
            HostError: The event names a connection that joined already, or a mood that was not declared.
            PeerError: A visitor opened too many connections.
        """
        now_ms = max(self._now_ms, now_ms)
        self._check(event, now_ms)
        self._now_ms = now_ms
        effects: list[Effect] = []
        asker: Connection | None = None
        self._come_due(effects)

        match event:
            case Heard(connection):
                # A sign of life may cross its own eviction on the wire: not an error. The same goes below.
                if person := self._connections.get(connection):
                    self._renew(person)
            case Joined(connection, visitor, mood):
                asker = connection
                person = self._people.get(visitor) or self._add(visitor)
                person.connections += (connection,)
                person.polled = False
                self._connections[connection] = person
                self._feel(person, mood)
                self._renew(person)
            case Observed(connection):
                asker = connection
            case MoodChanged(connection, mood):
                if person := self._connections.get(connection):
                    self._feel(person, mood)
                    self._renew(person)
            case Left(connection):
                if (person := self._disconnect(connection)) and not person.connections:
                    self._remove(person)
            case Broke(connection):
                if (person := self._disconnect(connection)) and not person.connections:
                    self._doubt(person)
            case Reported(visitor, mood):
                person = self._people.get(visitor) or self._add(visitor)
                person.polled = not person.connections
                self._feel(person, mood)
                self._renew(person)
            case Withdrew(visitor):
                if (person := self._people.get(visitor)) and not person.connections:
                    self._remove(person)
            case Woken():
                pass
            case _:
                assert_never(event)

        self._tell(asker, effects)
        self._save(effects)
        return Step(tuple(effects), self._wake_at_ms())

    def _check(self, event: Event, now_ms: int) -> None:
        """Refuse an event before anything is done about it. Sockets whose lease is over by now count as closed."""
        match event:
            case Joined(connection, visitor, mood):
                _check_key(visitor)
                if connection in self._connections:
                    raise HostError("a connection joined twice")
                person = self._people.get(visitor)
                sockets = (
                    len(person.connections) if person is not None and person.expires_at_ms > now_ms else 0
                )
                if sockets >= self.config.connections_per_visitor_max:
                    raise PeerError("too_many_sockets", "this visitor has too many sockets open", status=429)
            case Reported(visitor, mood):
                _check_key(visitor)
            case MoodChanged(_, mood):
                pass
            case _:
                return
        if mood is not None and mood not in self._mood_index:
            raise HostError("a mood that was not declared")

    # --- People come, feel, and go ----------------------------------------------------------------------------

    def _add(self, visitor: VisitorKey) -> Person:
        unspoken = len(self._tally) - 1
        person = self._people[visitor] = Person(visitor, unspoken)
        self._tally[unspoken] += 1
        self._changed = True
        return person

    def _feel(self, person: Person, mood: str | None) -> None:
        """Move a person from one mood to another, in one go."""
        if mood is None:
            return
        index = self._mood_index[mood]
        if index != person.mood:
            self._tally[person.mood] -= 1
            self._tally[index] += 1
            person.mood = index
            self._changed = True

    def _disconnect(self, connection: Connection) -> Person | None:
        person = self._connections.pop(connection, None)
        if person is not None:
            person.connections = tuple(other for other in person.connections if other != connection)
        return person

    def _remove(self, person: Person) -> None:
        self._believe(person)
        del self._people[person.key]
        self._tally[person.mood] -= 1
        person.due_at_ms = NOT_DUE
        self._changed = True
        self._unsaved = True

    # --- Leases -----------------------------------------------------------------------------------------------

    def _renew(self, person: Person) -> None:
        """Somebody gave a sign of life."""
        self._believe(person)
        person.expires_at_ms = _grid(
            self._now_ms + (self.config.beat_lease_ms if person.polled else self.config.lease_ms)
        )
        doubtful_at_ms = self._doubtful_at_ms(person)
        if not NOT_DUE < person.due_at_ms <= doubtful_at_ms:
            self._put_on_agenda(person, doubtful_at_ms)
        self._unsaved = True

    def _doubtful_at_ms(self, person: Person) -> int:
        """When to look after somebody who is not silent: reports fall due before their lease ends."""
        if not person.polled:
            return person.expires_at_ms
        return _grid(person.expires_at_ms - self.config.beat_lease_ms + self.config.fresh_ms)

    def _believe(self, person: Person) -> None:
        """Take back every doubt."""
        if person.silent:
            person.silent = False
            self._silent_count -= 1
            self._changed = True
            if person.restored:
                person.restored = False
                self._restored_count -= 1

    def _fall_silent(self, person: Person) -> None:
        person.silent = True
        self._silent_count += 1
        self._changed = True

    def _doubt(self, person: Person) -> None:
        """The last socket of somebody broke."""
        self._fall_silent(person)
        person.expires_at_ms = min(person.expires_at_ms, _grid(self._now_ms + self.config.grace_ms))
        if person.expires_at_ms < person.due_at_ms:
            self._put_on_agenda(person, person.expires_at_ms)
        self._unsaved = True

    def _put_on_agenda(self, person: Person, at_ms: int) -> None:
        person.due_at_ms = at_ms
        waiting = self._due.get(at_ms)
        if waiting is None:
            self._due[at_ms] = [person]
            heapq.heappush(self._agenda, at_ms)
        else:
            waiting.append(person)

    def _come_due(self, effects: list[Effect]) -> None:
        """Look after everybody whose time on the agenda has come."""
        while self._agenda and self._agenda[0] <= self._now_ms:
            at_ms = heapq.heappop(self._agenda)
            for person in self._due.pop(at_ms):
                if person.due_at_ms == at_ms:  # otherwise gone, or moved to an earlier place since
                    self._look_after(person, at_ms, effects)
        if self._unknown_until_ms is not None and self._unknown_until_ms <= self._now_ms:
            self._unknown_until_ms = None
            self._changed = True
            self._unsaved = True

    def _look_after(self, person: Person, at_ms: int, effects: list[Effect]) -> None:
        if person.polled and not person.silent:
            doubtful_at_ms = self._doubtful_at_ms(person)
            if doubtful_at_ms > at_ms:
                self._put_on_agenda(person, doubtful_at_ms)
                return
            self._fall_silent(person)
        if person.expires_at_ms > at_ms:
            self._put_on_agenda(person, person.expires_at_ms)
            return
        for connection in person.connections:
            del self._connections[connection]
            effects.append(Close(connection, LEASE_ENDED))
        self._remove(person)

    # --- What is told, kept and awaited -----------------------------------------------------------------------

    def _facts(self) -> Facts:
        """What an announcement says, for comparison with the last one."""
        count = len(self._people)
        low = count - self._silent_count
        tally = tuple(self._tally)
        if self._unknown_until_ms is not None:
            return None, low, None, "unknown", tally
        return count, low, count, "stale" if self._restored_count else "counted", tally

    def _describe(self) -> Presence:
        count, low, high, method, _ = self._facts()
        label, _ = read_label(count, low, high, shown=self._label_shown)
        return Presence(
            room=self.name,
            count=count,
            low=low,
            high=high,
            method=method,
            rate=1.0,
            moods=dict(zip(self.config.moods, self._tally, strict=False)),
            unspoken=self._tally[-1],
            label=label,
            as_of_ms=self._now_ms,
            valid_ms=self.config.valid_ms,
            next_ms=self.config.next_ms,
        )

    def _push_ms(self) -> int:
        """The time between two announcements: it grows with the crowd once they would cost too much."""
        return max(self.config.push_ms, len(self._connections) * 1_000 // self.config.pushes_per_s)

    def _tell(self, asker: Connection | None, effects: list[Effect]) -> None:
        """Announce what changed, if it is time, and at least answer whoever asked."""
        if self._changed:
            self._changed = False
            self._presence = self._describe()
            self._untold = self._told_apart or self._facts() != self._announced
        if self._untold and self._now_ms >= self._announced_at_ms + self._push_ms():
            self._untold = self._told_apart = False
            count, low, high, *_ = self._announced = self._facts()
            self._announced_at_ms = self._now_ms
            # The label moves with what everybody is told, and with nothing else.
            _, self._label_shown = read_label(count, low, high, shown=self._label_shown)
            effects.append(Announce(self.presence(now_ms=self._now_ms)))
        elif asker is not None:
            # Whoever is told something that the others were not must be told when it is taken back.
            self._told_apart = self._told_apart or self._untold
            effects.append(Tell(asker, self.presence(now_ms=self._now_ms)))

    def _save(self, effects: list[Effect]) -> None:
        if self._unsaved and self._now_ms >= self._saved_at_ms + self.config.snapshot_ms:
            self._unsaved = False
            self._saved_at_ms = self._now_ms
            effects.append(Save())

    def _wake_at_ms(self) -> int | None:
        wishes = [
            self._agenda[0] if self._agenda else None,
            self._unknown_until_ms,
            self._announced_at_ms + self._push_ms() if self._untold else None,
            self._saved_at_ms + self.config.snapshot_ms if self._unsaved else None,
        ]
        return min((wish for wish in wishes if wish is not None), default=None)


def _grid(at_ms: int) -> int:
    """Find the first instant of the agenda's grid that is not before ``at_ms``."""
    return -(-at_ms // TICK_MS) * TICK_MS


def _check_key(visitor: VisitorKey) -> None:
    if len(visitor) != KEY_BYTES:
        raise HostError(f"a visitor's key has {KEY_BYTES} bytes")
