"""Transcripts: prose, commands, ``----``, and the effects of the room.

``REWRITE_TRANSCRIPTS=1 pytest tests/core/test_room_transcripts.py`` writes the effects again. Commit the
difference only if every line of it can be explained.

A line of a scenario is a time and a command: ``join SOCKET VISITOR [MOOD]``, ``observe SOCKET``, ``mood
SOCKET MOOD``, ``leave SOCKET``, ``break SOCKET``, ``mute SOCKET`` (it stays open, and nothing comes through),
``hear SOCKET`` (it comes through again), ``report VISITOR [MOOD]``, ``withdraw VISITOR``, ``wait``, ``open``
(a server starts, from the saved snapshot if there is one), ``stop`` (gracefully), ``crash``, ``forget`` (the
saved snapshot); and, without a time, ``set snapshot_ms VALUE``. All sockets that are not muted send a
heartbeat three times a lease.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from breathing_room.core.config import UNSPOKEN, RoomConfig
from breathing_room.core.effects import Close, KeepConnections, SaveSnapshot
from breathing_room.core.events import (
    Disconnected,
    Event,
    HeartbeatReceived,
    Joined,
    Left,
    MoodChanged,
    ObserverJoined,
    PanelLeft,
    PanelReported,
    TimerFired,
)
from breathing_room.core.presence import Presence
from breathing_room.core.room import Room
from breathing_room.core.snapshot import decode_snapshot, encode_snapshot
from breathing_room.core.wire import CLOSE_CODES
from core.playing import Broadcasted, Carried, Host, Sent, visitor

SCENARIOS: Final = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


def read_clock(text: str) -> int:
    """Read ``19:00:01.5`` as milliseconds of the day."""
    hours, minutes, seconds = text.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1_000)


def write_clock(at_ms: int) -> str:
    """Write milliseconds of the day as ``19:00:01.500``."""
    minutes, ms = divmod(at_ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1_000:02}.{ms % 1_000:03}"


def in_words(presence: Presence) -> str:
    """Format a presence as a line."""
    p = presence
    if p.count is None:
        here = f"unknown, at least {p.low}"
    else:
        here = f"{p.count} here" if p.low == p.high else f"{p.low} to {p.high} here"
        if p.label != str(p.count):
            here += f', "{p.label}"'
        if p.method != "counted":
            here += f", {p.method}"
    moods = ", ".join(
        f"{people} {mood}" for mood, people in (*p.moods.items(), (UNSPOKEN, p.unspoken)) if people
    )
    return f"{here}: {moods}" if moods else here


class Play:
    """Plays a scenario line by line."""

    def __init__(self) -> None:
        self.config = RoomConfig(heartbeat_ms=30_000)
        self.host: Host | None = None
        self.clock_ms = 0
        self.saved: bytes | None = None
        self.muted: set[str] = set()
        self.lines: list[str] = []

    def do(self, line: str) -> None:
        """Carry out one line."""
        when, command, *words = line.split()
        if when == "set" and command == "snapshot_ms":
            self.config = replace(self.config, snapshot_ms=int(words[0]))
            return
        self.wait_until(read_clock(when))
        match command, words:
            case "wait", []:
                pass
            case "open", []:
                self.open()
            case "mute", [socket]:
                self.muted.add(socket)
            case "hear", [socket]:
                self.muted.remove(socket)
                self.step(HeartbeatReceived(socket))
            case "stop", []:
                assert self.host is not None
                self.saved = encode_snapshot(self.host.room.snapshot())
                self.host = None
            case "forget", []:
                self.saved = None
            case "crash", []:
                assert self.host is not None
                self.saved = self.host.saved or self.saved
                self.host = None
            case _:
                self.step(read_event(command, words))

    def open(self) -> None:
        """Start a server."""
        assert self.host is None
        self.host = Host(self.config, clock_ms=self.clock_ms, unknown=self.saved is None)
        if self.saved is not None:
            self.host.room = Room.restore(decode_snapshot(self.saved), self.config, now_ms=self.clock_ms)
            self.host.step(TimerFired())
        self.lines.append(f"{write_clock(self.clock_ms)}  page: {in_words(self.host.presence())}")

    def step(self, event: Event) -> None:
        """Apply an event, and write down its effects."""
        assert self.host is not None, "a server that is down has no events"
        known = len(self.host.log)
        self.host.step(event)
        self.write_down(known)

    def write_down(self, known: int) -> None:
        assert self.host is not None
        for at_ms, closes, others in self.host.log[known:]:
            for effect in (*sorted(closes, key=str), *others):
                assert not isinstance(effect, str), effect
                self.lines.append(f"{write_clock(at_ms)}  {effect_in_words(effect, self.host)}")

    def wait_until(self, at_ms: int) -> None:
        """Advance the clock, with heartbeats of the sockets that are open and not muted."""
        while self.host is not None:
            pings_at_ms = (self.clock_ms // self.config.ping_ms + 1) * self.config.ping_ms
            known = len(self.host.log)
            self.host.wait_until(min(at_ms, pings_at_ms))
            self.write_down(known)
            self.clock_ms = self.host.clock_ms
            if pings_at_ms > at_ms:
                break
            for connection, key in list(self.host.connections.items()):
                if key is not None and connection not in self.muted:
                    self.step(HeartbeatReceived(connection))
        self.clock_ms = at_ms


def read_event(command: str, words: list[str]) -> Event:
    """Parse an event."""
    match command, words:
        case "join", [socket, name, *mood]:
            return Joined(socket, visitor(name), mood[0] if mood else None)
        case "observe", [socket]:
            return ObserverJoined(socket)
        case "mood", [socket, mood]:
            return MoodChanged(socket, mood)
        case "leave", [socket]:
            return Left(socket)
        case "break", [socket]:
            return Disconnected(socket)
        case "report", [name, *mood]:
            return PanelReported(visitor(name), 0.5, mood[0] if mood else None)
        case "withdraw", [name]:
            return PanelLeft(visitor(name))
    raise AssertionError(f"no command: {command} {words}")


def effect_in_words(effect: Carried, host: Host) -> str:
    """Format an effect as a line."""
    match effect:
        case Broadcasted(presence):
            return f"broadcast: {in_words(presence)}"
        case Sent(connection, presence):
            return f"{connection}: {in_words(presence)}"
        case Close(connection, code):
            return f"close {connection}: {code} {CLOSE_CODES[code]}"
        case SaveSnapshot():
            assert host.saved is not None
            count = decode_snapshot(host.saved).count
            return f"save: {count} {'person' if count == 1 else 'people'}"
        case KeepConnections():
            raise AssertionError("a server keeps nothing beside connections")


def perform(text: str) -> str:
    """Play a scenario, and return it with the effects of the room as it is now."""
    play = Play()
    blocks = []
    for block in text.strip().split("\n\n"):
        commands, dashes, _ = f"{block}\n".partition("----\n")
        if not dashes:
            blocks.append(block)
            continue
        play.lines = []
        for line in commands.splitlines():
            play.do(line)
        blocks.append("\n".join([f"{commands}----", *play.lines]))
    return "\n\n".join(blocks) + "\n"


@pytest.mark.parametrize("path", SCENARIOS, ids=[path.stem for path in SCENARIOS])
def test_a_scenario_goes_as_it_is_written(path: Path) -> None:
    """The effects of a scenario are those of its transcript, line by line."""
    written = path.read_text(encoding="utf-8")
    performed = perform(written)
    if os.environ.get("REWRITE_TRANSCRIPTS"):
        path.write_text(performed, encoding="utf-8")
    assert performed == written


def test_there_are_scenarios() -> None:
    """There are at least four transcripts, and each has effects to compare."""
    assert len(SCENARIOS) >= 4
    for path in SCENARIOS:
        assert "\n----\n" in path.read_text(encoding="utf-8")
