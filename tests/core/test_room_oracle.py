"""The fast room agrees with a dumb one, which scans everybody at every step."""

from dataclasses import dataclass, field

from hypothesis import given, settings

from breathing_room.core.config import TICK_MS, UNSPOKEN
from breathing_room.core.events import (
    Broke,
    Connection,
    Event,
    Heard,
    Joined,
    Left,
    MoodChanged,
    Reported,
    VisitorKey,
    Withdrew,
    Woken,
)
from core.playing import START_MS, Restart, Said, Start, Trace, events, happen, restarts, said, starts, traces


def tick(at_ms: int) -> int:
    """Find the tick at or after an instant."""
    return at_ms + -at_ms % TICK_MS


@dataclass
class Someone:
    """A visitor who is there until ``end_ms`` and in no doubt before ``doubt_ms``."""

    mood: str = UNSPOKEN
    sockets: set[Connection] = field(default_factory=set)
    end_ms: int = 0
    doubt_ms: float = 0
    restored: bool = False


class DumbRoom:
    """Who is here, by the rules alone: no agenda, no sums, everything looked up by scanning everybody."""

    def __init__(self, start: Start) -> None:
        self.config = start.config
        self.now_ms = START_MS
        self.people: dict[VisitorKey, Someone] = {}
        self.unknown_until_ms = tick(START_MS + start.config.lease_ms) if start.unknown else 0

    def renew(self, key: VisitorKey, mood: str | None = None, socket: Connection | None = None) -> None:
        someone = self.people.setdefault(key, Someone())
        someone.mood = mood or someone.mood
        if socket is not None:
            someone.sockets.add(socket)
        lease_ms = self.config.lease_ms if someone.sockets else self.config.beat_lease_ms
        someone.end_ms = tick(self.now_ms + lease_ms)
        someone.doubt_ms = float("inf") if someone.sockets else tick(self.now_ms + self.config.fresh_ms)
        someone.restored = False

    def step(self, event: Event, now_ms: int) -> None:
        self.now_ms = max(self.now_ms, now_ms)
        self.people = {key: someone for key, someone in self.people.items() if someone.end_ms > self.now_ms}
        sockets = {socket: key for key, someone in self.people.items() for socket in someone.sockets}
        match event:
            case Joined(socket, key, mood):
                self.renew(key, mood, socket)
            case Reported(key, mood):
                self.renew(key, mood)
            case MoodChanged(socket, mood) if socket in sockets:
                self.renew(sockets[socket], mood)
            case Heard(socket) if socket in sockets:
                self.renew(sockets[socket])
            case Left(socket) | Broke(socket) if socket in sockets:
                someone = self.people[sockets[socket]]
                someone.sockets.remove(socket)
                if not someone.sockets and isinstance(event, Left):
                    del self.people[sockets[socket]]
                elif not someone.sockets:
                    someone.end_ms = min(someone.end_ms, tick(self.now_ms + self.config.grace_ms))
                    someone.doubt_ms = 0
            case Withdrew(key) if key in self.people and not self.people[key].sockets:
                del self.people[key]
            case _:
                pass

    def restart(self, now_ms: int) -> None:
        was_unknown = self.now_ms < self.unknown_until_ms
        self.now_ms = now_ms
        for someone in self.people.values():
            someone.sockets, someone.doubt_ms, someone.restored = set(), 0, True
        living = {key: someone for key, someone in self.people.items() if someone.end_ms > now_ms}
        forgotten = was_unknown or (self.people and not living)
        self.unknown_until_ms = tick(now_ms + self.config.lease_ms) if forgotten else 0
        self.people = living

    def says(self) -> Said:
        people = self.people.values()
        low = sum(self.now_ms < someone.doubt_ms for someone in people)
        moods = {mood: sum(someone.mood == mood for someone in people) for mood in self.config.moods}
        unspoken = sum(someone.mood == UNSPOKEN for someone in people)
        if self.now_ms < self.unknown_until_ms:
            return None, low, None, "unknown", moods, unspoken
        stale = any(someone.restored for someone in people)
        return len(people), low, len(people), "stale" if stale else "counted", moods, unspoken


@given(starts, traces(events | restarts, clock_steps_back=False) | traces())
@settings(max_examples=200)
def test_the_fast_room_agrees_with_the_dumb_one(start: Start, trace: Trace) -> None:
    """Count, interval, method and moods are what scanning everybody gives, after every step of any trace."""
    host, dumb = start.host(), DumbRoom(start)
    for pause_ms, happening in trace:
        happen(host, pause_ms, Woken())
        dumb.step(Woken(), host.clock_ms)
        refusals = host.refusals
        happen(host, 0, happening)
        if isinstance(happening, Restart):
            dumb.restart(host.clock_ms)
        elif host.refusals == refusals:
            dumb.step(happening, host.clock_ms)
        assert said(host.presence()) == dumb.says()
