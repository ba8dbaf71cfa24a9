"""Snapshots of rooms that commit fcd8191 wrote: what is in them, and how a room goes on from each.

The stories are acted out as in ``tests/fixtures/fcd8191/write_room.py``; each scene must end as it did there.
"""

from dataclasses import replace
from typing import Any

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.effects import Broadcast, Close, Effect, KeepConnections, SaveSnapshot, Send
from breathing_room.core.events import (
    Disconnected,
    Event,
    HeartbeatReceived,
    Joined,
    Left,
    LegacyReported,
    MoodChanged,
    PanelLeft,
    PanelReported,
    TimerFired,
)
from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.leases import RESTORED, SUSPECT
from breathing_room.core.room import Room
from breathing_room.core.snapshot import decode_snapshot, encode_snapshot
from breathing_room.core.wire import presence_body
from written import FOLDER, line, read

CONFIG = RoomConfig(push_ms=1_000, heartbeat_ms=60_000, panel_size=20, rate_propagation_ms=10_000)
CONFIGS = {
    "crowded": CONFIG,
    "restarted": CONFIG,
    "unknown": CONFIG,
    "private": replace(CONFIG, min_cell_size=5),
}
STORIES = read("stories.json")["room"]


def key(name: str) -> VisitorKey:
    return VisitorKey(name.encode().ljust(16, b"."))


def stored(name: str) -> bytes:
    return (FOLDER / "room" / f"{name}.brs1").read_bytes()


class Player:
    """Plays a story on a room, and fires its timer when it is due."""

    def __init__(self, room: Room, at_ms: int) -> None:
        self.room, self.at_ms, self.began_ms = room, at_ms, at_ms
        self.next_timer_ms: int | None = None
        self.done: list[str] = []

    def play(self, story: list[list[Any]]) -> list[str]:
        return [self.act(*scene) for scene in story]

    def act(self, name: str, *arguments: Any) -> str:
        """Act out one scene; return the presence, the leases held and the effects."""
        self.done = []
        if name == "wait":
            until_ms = self.at_ms + arguments[0]
            while self.next_timer_ms is not None and self.next_timer_ms <= until_ms:
                self.at_ms = max(self.at_ms, self.next_timer_ms)
                self.step(TimerFired())
            self.at_ms = until_ms
        else:
            self.step(event(name, *arguments))
        said = line(presence_body(self.room.presence(now_ms=self.at_ms)), self.began_ms)
        return f"{said}; {self.room.count} leases; {', '.join(self.done) or 'nothing'}"

    def step(self, event: Event) -> None:
        step = self.room.step(event, now_ms=self.at_ms)
        self.next_timer_ms = step.next_timer_ms
        self.done += [f"{in_words(effect)} +{self.at_ms - self.began_ms}" for effect in step.effects]


def event(name: str, who: str = "", *more: Any) -> Event:
    """Make an event of a scene."""
    match name:
        case "join":
            return Joined(who, key(more[0]), more[1])
        case "mood":
            return MoodChanged(who, more[0])
        case "beat":
            return HeartbeatReceived(who)
        case "leave":
            return Left(who)
        case "break":
            return Disconnected(who)
        case "report":
            return PanelReported(key(who), more[0], more[1])
        case "toss":
            return LegacyReported(key(who), more[0])
        case "withdraw":
            return PanelLeft(key(who))
        case "wake":
            return TimerFired()
    raise ValueError(name)


def in_words(effect: Effect) -> str:
    """Name an effect as the fixtures do."""
    match effect:
        case Broadcast():
            return "all"
        case Send(connection):
            return f"to {connection}"
        case Close(connection, code):
            return f"close {connection} {code}"
        case SaveSnapshot():
            return "save"
        case KeepConnections():
            raise AssertionError("the rooms of then asked for no such thing")


@pytest.mark.parametrize("name", CONFIGS)
def test_a_snapshot_holds_what_was_written_and_is_written_the_same(name: str) -> None:
    """Every lease, seat, session, repeat and rate is decoded, and
    encoding them again gives the same bytes.
    """
    snapshot = decode_snapshot(stored(name))
    seats = snapshot.panel.seats
    assert read(f"room/{name}.json")["holds"] == {
        "leases of connections": len(snapshot.members),
        "suspect leases": sum(bool(flag & SUSPECT) for flag in snapshot.members.flags),
        "restored leases": sum(bool(flag & RESTORED) for flag in snapshot.members.flags),
        "seats": len(seats),
        "suspect seats": sum(bool(flag & SUSPECT) for flag in seats.flags),
        "restored seats": sum(bool(flag & RESTORED) for flag in seats.flags),
        "lapsed seats": len(snapshot.panel.expired),
        "rates": len(snapshot.panel.rates),
        "sessions": len(snapshot.legacy.mood_of),
        "coins": len(snapshot.legacy.repeat_mood_of),
    }
    assert encode_snapshot(snapshot) == stored(name)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_room_wakes_from_it_as_if_it_had_never_slept(name: str) -> None:
    """A room resumed with its connections goes on as the room of then did that was not hibernated."""
    written = read(f"room/{name}.json")
    connections: dict[Connection, VisitorKey] = {
        connection: key(visitor) for connection, visitor in written["connections"].items()
    }
    room = Room.resume(decode_snapshot(stored(name)), CONFIGS[name], connections)
    assert Player(room, written["at_ms"]).play(STORIES["after a rest"]) == written["after a rest"]


@pytest.mark.parametrize("down_ms", [0, 30_000, 3_600_000])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_room_is_restored_from_it_as_it_was_then(name: str, down_ms: int) -> None:
    """A room restored at once, within leases, or long after, goes on as it did then."""
    written = read(f"room/{name}.json")
    at_ms = written["at_ms"] + down_ms
    room = Room.restore(decode_snapshot(stored(name)), CONFIGS[name], now_ms=at_ms)
    played = Player(room, at_ms).play(STORIES["after a restart"])
    assert played == written[f"after a restart of {down_ms} ms"]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_mood_that_is_no_longer_declared_becomes_unspoken(name: str) -> None:
    """A room restored with other moods is as it was then: visitors of a removed mood are unspoken."""
    written = read(f"room/{name}.json")
    config = replace(CONFIG, moods=("release", "joy"))
    room = Room.restore(decode_snapshot(stored(name)), config, now_ms=written["at_ms"])
    played = Player(room, written["at_ms"]).play(STORIES["with other moods"])
    assert played == written["with other moods"]
