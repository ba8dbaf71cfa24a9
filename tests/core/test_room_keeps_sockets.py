"""The room of a host that tells of every socket that ends: an open one needs no sign of life."""

from dataclasses import replace
from typing import Any

from hypothesis import assume, given

from breathing_room.core.config import RoomConfig
from breathing_room.core.effects import KeepConnections, Step
from breathing_room.core.events import Disconnected, Event, Joined, Left, MoodChanged, TimerFired
from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.room import Room
from breathing_room.core.snapshot import decode_snapshot, encode_snapshot, with_connected
from core.playing import (
    ANN,
    BOB,
    QUICK,
    START_MS,
    Host,
    Start,
    Trace,
    events,
    legacy,
    name_afresh,
    play,
    starts,
    traces,
)

DAY_MS = 86_400_000


class EdgeHost(Host):
    """A host at an edge. When it naps it forgets the room after every step, but for what it kept.

    Attributes:
        attachments: The visitor and the mood behind every connection that joined.
        rest: The rest of the room, written when its stamp changed.
        rows: How often it was written.
    """

    def __init__(self, config: RoomConfig, **more: Any) -> None:
        self.attachments: dict[Connection, tuple[VisitorKey, int]] = {}
        self.rest = b""
        self.rows = 0
        self._stamp: object = None
        super().__init__(config, **more)

    def tell(self, event: Event) -> Step:
        if not self.rest:
            self.room = Room("lobby", self.config, now_ms=self.clock_ms, connection_is_lease=True)
            self._write_rest()
        return super().tell(event)

    def nap(self) -> None:
        self._write_rest()
        mood_of = dict(self.attachments.values())
        rest = decode_snapshot(self.rest)
        snapshot = with_connected(rest, mood_of, left_ms=self.config.lease_ms)
        joined = {connection: key for connection, (key, _) in self.attachments.items()}
        observers = [connection for connection, key in self.connections.items() if key is None]
        self.room = Room.wake(snapshot, self.config, joined, observers=observers, connection_is_lease=True)
        self._stamp = self.room.hibernation_version

    def keep(self, kept: KeepConnections) -> None:
        assert kept.standby_at is None
        self.attachments |= dict.fromkeys(kept.connections, (kept.visitor, kept.mood))

    def lose(self, connection: Connection) -> None:
        super().lose(connection)
        self.attachments.pop(connection, None)

    def _write_rest(self) -> None:
        if self.room.hibernation_version != self._stamp:
            self.rest = encode_snapshot(self.room.snapshot(connected=False))
            self.rows += 1
        self._stamp = self.room.hibernation_version


def a_host(*, naps: bool = False, **changes: Any) -> EdgeHost:
    return EdgeHost(replace(QUICK, **changes), naps=naps)


def test_an_open_socket_needs_no_sign_of_life() -> None:
    """Who says nothing for a day is there, and the room wants to be woken for nobody."""
    host = a_host()
    host.tell(Joined(1, ANN))
    host.wait_until(START_MS + 5_000)
    assert host.wake_at_ms is None
    host.wait_until(START_MS + DAY_MS)
    assert (host.presence().count, host.presence().low) == (1, 1)


def test_a_broken_socket_is_in_doubt_for_the_whole_grace() -> None:
    """However long nothing was heard before it broke, its person has ``grace_ms`` to come back."""
    host = a_host()
    host.tell(Joined(1, ANN))
    host.wait_until(START_MS + DAY_MS)
    host.tell(Disconnected(1))
    host.wait_until(host.clock_ms + QUICK.grace_ms - 1)
    assert (host.presence().count, host.presence().low) == (1, 0)
    host.wait_until(host.clock_ms + 51)
    assert host.presence().count == 0


def test_who_comes_back_is_as_if_never_gone() -> None:
    """A person who came back needs no sign of life either."""
    host = a_host()
    host.tell(Joined(1, ANN))
    host.tell(Disconnected(1))
    host.tell(Joined(2, ANN))
    host.wait_until(START_MS + DAY_MS)
    assert (host.presence().count, host.presence().low) == (1, 1)


def test_too_many_sockets_are_counted_however_old_they_are() -> None:
    """A visitor's old sockets count against the limit, since they are open."""
    host = a_host(connections_per_visitor_max=1)
    host.tell(Joined(1, ANN))
    host.wait_until(START_MS + DAY_MS)
    host.tell(Joined(2, ANN))
    assert host.refusals == 1


def test_a_snapshot_gives_an_open_socket_a_whole_lease() -> None:
    """After a crash, people who had said nothing for a day have one lease in which to come back."""
    host = a_host()
    host.tell(Joined(1, ANN))
    host.wait_until(START_MS + DAY_MS)
    host.tell(Joined(2, BOB))
    assert set(host.room.snapshot().people.left_ms) == {QUICK.lease_ms}


def test_what_happens_on_sockets_alone_is_not_written() -> None:
    """Between two announcements, joins, moods and goodbyes change nothing of the rest."""
    host = a_host(push_ms=60_000, snapshot_ms=60_000, naps=True)
    host.tell(Joined(1, ANN))
    rows = host.rows
    host.tell(Joined(2, BOB))
    host.tell(MoodChanged(2, "glad"))
    rows_told_apart = host.rows
    host.tell(Joined(3, BOB))
    host.tell(MoodChanged(1, "calm"))
    host.tell(Left(2))
    host.tell(Left(3))
    assert rows_told_apart <= rows + 1
    assert host.rows == rows_told_apart


@given(starts, traces(events | legacy, clock_steps_back=False))
def test_forgetting_all_but_the_attachments_and_the_rest_is_invisible(start: Start, trace: Trace) -> None:
    """A room rebuilt after every step from its sockets' attachments and the rest asks for the same as one that was not."""
    assume(not start.unknown)
    trace = name_afresh(trace)
    awake = play(EdgeHost(start.config), trace)
    sleeper = play(EdgeHost(start.config, naps=True), trace)
    end_ms = awake.clock_ms + 400_000
    awake.wait_until(end_ms)
    sleeper.wait_until(end_ms)
    assert sleeper.log == awake.log
    assert sleeper.presence() == awake.presence()


def test_waking_is_no_event() -> None:
    """A room that was told nothing asks for nothing."""
    host = a_host()
    assert host.tell(TimerFired()).effects == ()
