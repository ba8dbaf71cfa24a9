"""The room of a host that reports every disconnect: an open connection needs no heartbeat."""

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
    """A host at an edge. When it hibernates, it drops the room after every step, except for what it stores.

    Attributes:
        attachments: The visitor and the mood behind every connection that joined.
        rest: The rest of the room, written when its version changed.
        rows: How often it was written.
    """

    def __init__(self, config: RoomConfig, **more: Any) -> None:
        self.attachments: dict[Connection, tuple[VisitorKey, int]] = {}
        self.rest = b""
        self.rows = 0
        self._version: object = None
        super().__init__(config, **more)

    def step(self, event: Event) -> Step:
        if not self.rest:
            self.room = Room("lobby", self.config, now_ms=self.clock_ms, connection_is_lease=True)
            self._write_rest()
        return super().step(event)

    def hibernate(self) -> None:
        self._write_rest()
        mood_of = dict(self.attachments.values())
        rest = decode_snapshot(self.rest)
        snapshot = with_connected(rest, mood_of, left_ms=self.config.lease_ms)
        joined = {connection: key for connection, (key, _) in self.attachments.items()}
        observers = [connection for connection, key in self.connections.items() if key is None]
        self.room = Room.resume(snapshot, self.config, joined, observers=observers, connection_is_lease=True)
        self._version = self.room.hibernation_version

    def keep(self, kept: KeepConnections) -> None:
        assert kept.standby_at is None
        self.attachments |= dict.fromkeys(kept.connections, (kept.visitor, kept.mood))

    def remove(self, connection: Connection) -> None:
        super().remove(connection)
        self.attachments.pop(connection, None)

    def _write_rest(self) -> None:
        if self.room.hibernation_version != self._version:
            self.rest = encode_snapshot(self.room.snapshot(connected=False))
            self.rows += 1
        self._version = self.room.hibernation_version


def a_host(*, hibernates: bool = False, **changes: Any) -> EdgeHost:
    return EdgeHost(replace(QUICK, **changes), hibernates=hibernates)


def test_an_open_connection_needs_no_heartbeat() -> None:
    """A visitor with an open connection is counted without a heartbeat for a day, and the room wants no
    timer.
    """
    host = a_host()
    host.step(Joined(1, ANN))
    host.wait_until(START_MS + 5_000)
    assert host.next_timer_ms is None
    host.wait_until(START_MS + DAY_MS)
    assert (host.presence().count, host.presence().low) == (1, 1)


def test_a_disconnect_is_suspect_for_the_whole_grace() -> None:
    """A visitor has ``grace_ms`` after a disconnect, however long ago the last heartbeat was."""
    host = a_host()
    host.step(Joined(1, ANN))
    host.wait_until(START_MS + DAY_MS)
    host.step(Disconnected(1))
    host.wait_until(host.clock_ms + QUICK.grace_ms - 1)
    assert (host.presence().count, host.presence().low) == (1, 0)
    host.wait_until(host.clock_ms + 51)
    assert host.presence().count == 0


def test_a_visitor_who_reconnected_needs_no_heartbeat() -> None:
    """A visitor who reconnected needs no heartbeat either."""
    host = a_host()
    host.step(Joined(1, ANN))
    host.step(Disconnected(1))
    host.step(Joined(2, ANN))
    host.wait_until(START_MS + DAY_MS)
    assert (host.presence().count, host.presence().low) == (1, 1)


def test_old_connections_count_against_the_limit() -> None:
    """A visitor's old connections count against the limit, since they are open."""
    host = a_host(connections_per_visitor_max=1)
    host.step(Joined(1, ANN))
    host.wait_until(START_MS + DAY_MS)
    host.step(Joined(2, ANN))
    assert host.rejected_count == 1


def test_a_snapshot_gives_an_open_connection_a_whole_lease() -> None:
    """In a snapshot, a visitor with an open connection has a whole lease left."""
    host = a_host()
    host.step(Joined(1, ANN))
    host.wait_until(START_MS + DAY_MS)
    host.step(Joined(2, BOB))
    assert set(host.room.snapshot().members.left_ms) == {QUICK.lease_ms}


def test_events_of_connections_alone_are_not_written() -> None:
    """Between two broadcasts, joins, moods and leaves do not change the rest of the room."""
    host = a_host(push_ms=60_000, snapshot_ms=60_000, hibernates=True)
    host.step(Joined(1, ANN))
    rows = host.rows
    host.step(Joined(2, BOB))
    host.step(MoodChanged(2, "glad"))
    rows_ahead = host.rows
    host.step(Joined(3, BOB))
    host.step(MoodChanged(1, "calm"))
    host.step(Left(2))
    host.step(Left(3))
    assert rows_ahead <= rows + 1
    assert host.rows == rows_ahead


@given(starts, traces(events | legacy, clock_steps_back=False))
def test_a_room_rebuilt_from_attachments_and_the_rest_acts_the_same(start: Start, trace: Trace) -> None:
    """A room rebuilt after every step from attachments and the rest has
    the same effects as one that was not.
    """
    assume(not start.unknown)
    trace = name_afresh(trace)
    awake = play(EdgeHost(start.config), trace)
    hibernated = play(EdgeHost(start.config, hibernates=True), trace)
    end_ms = awake.clock_ms + 400_000
    awake.wait_until(end_ms)
    hibernated.wait_until(end_ms)
    assert hibernated.log == awake.log
    assert hibernated.presence() == awake.presence()


def test_a_timer_without_a_change_has_no_effects() -> None:
    """A timer without a change has no effects."""
    host = a_host()
    assert host.step(TimerFired()).effects == ()
