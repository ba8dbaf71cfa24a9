"""The oracle: the room agrees with a naive one that scans all visitors at every step."""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.deadlines import TICK_MS
from breathing_room.core.estimate import Estimate
from breathing_room.core.estimate.panel import apportion, expected_ghosts, panel_estimate
from breathing_room.core.events import (
    Disconnected,
    Event,
    HeartbeatReceived,
    Joined,
    Left,
    MoodChanged,
    PanelLeft,
    PanelReported,
    TimerFired,
)
from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.panel import WINDOW_LEASES
from core.playing import (
    START_MS,
    Restart,
    Said,
    Start,
    Trace,
    events,
    happen,
    recount,
    restarts,
    said,
    starts,
    traces,
)


def tick(at_ms: int) -> int:
    """Return the tick at or after an instant."""
    return at_ms + -at_ms % TICK_MS


@dataclass
class Visitor:
    """A visitor until ``end_ms``: with open sockets, with none after a disconnect, or on the panel."""

    mood: str = UNSPOKEN
    sockets: set[Connection] = field(default_factory=set)
    end_ms: int = 0
    broken: bool = False
    reports: bool = False
    restored: bool = False


class NaiveRoom:
    """The rules of the room alone: no deadline queue and no sums, all by scanning the visitors.

    So few visitors are all asked to report: the rate is 1.
    """

    def __init__(self, start: Start) -> None:
        self.config = start.config
        self.now_ms = START_MS
        self.people: dict[VisitorKey, Visitor] = {}
        self.expired: dict[VisitorKey, int] = {}
        self.since_ms = START_MS
        self.unknown_until_ms = tick(START_MS + start.config.lease_ms) if start.unknown else 0

    def renew(self, key: VisitorKey, mood: str | None = None, socket: Connection | None = None) -> None:
        visitor = self.people.setdefault(key, Visitor())
        visitor.mood = mood or visitor.mood
        if socket is not None:
            visitor.sockets.add(socket)
        visitor.reports = not visitor.sockets
        lease_ms = self.config.heartbeat_lease_ms if visitor.reports else self.config.lease_ms
        visitor.end_ms = tick(self.now_ms + lease_ms)
        visitor.broken = visitor.restored = False
        if visitor.reports:
            self.expired.pop(key, None)

    def step(self, event: Event, now_ms: int) -> None:
        self.now_ms = max(self.now_ms, now_ms)
        for key, visitor in list(self.people.items()):
            if visitor.end_ms <= self.now_ms:
                del self.people[key]
                if visitor.reports and not visitor.restored:
                    self.expired[key] = visitor.end_ms
        window_ms = WINDOW_LEASES * self.config.heartbeat_lease_ms
        self.expired = {key: at_ms for key, at_ms in self.expired.items() if at_ms > self.now_ms - window_ms}
        sockets = {socket: key for key, visitor in self.people.items() for socket in visitor.sockets}
        match event:
            case Joined(socket, key, mood):
                if key in self.people and self.people[key].reports:
                    del self.people[key]  # The mood of a report does not carry over to a join.
                self.renew(key, mood, socket)
            case PanelReported(key, _, mood):
                self.renew(key, mood)
            case MoodChanged(socket, mood) if socket in sockets:
                self.renew(sockets[socket], mood)
            case HeartbeatReceived(socket) if socket in sockets:
                self.renew(sockets[socket])
            case Left(socket) | Disconnected(socket) if socket in sockets:
                visitor = self.people[sockets[socket]]
                visitor.sockets.remove(socket)
                if not visitor.sockets and isinstance(event, Left):
                    del self.people[sockets[socket]]
                elif not visitor.sockets:
                    visitor.end_ms = min(visitor.end_ms, tick(self.now_ms + self.config.grace_ms))
                    visitor.broken = True
            case PanelLeft(key) if key in self.people and not self.people[key].sockets:
                del self.people[key]
            case _:
                pass

    def restart(self, now_ms: int) -> None:
        was_unknown = self.now_ms < self.unknown_until_ms
        self.now_ms = now_ms
        for visitor in self.people.values():
            visitor.sockets, visitor.broken, visitor.restored = set(), not visitor.reports, True
        self.expired, self.since_ms = {}, now_ms
        living = {key: visitor for key, visitor in self.people.items() if visitor.end_ms > now_ms}
        forgotten = was_unknown or (self.people and not living)
        self.unknown_until_ms = tick(now_ms + self.config.lease_ms) if forgotten else 0
        self.people = living

    def estimate(self, seats: list[Visitor], among: int) -> Estimate:
        """Estimate the visitors behind some of the seats; ghosts are equally likely in all of them."""
        lease_ms = self.config.heartbeat_lease_ms
        ghost_ms = lease_ms - self.config.heartbeat_ms / 2
        window_ms = max(lease_ms, min(WINDOW_LEASES * lease_ms, self.now_ms - self.since_ms - lease_ms))
        expected = expected_ghosts(len(self.expired), ghost_ms=ghost_ms, window_ms=window_ms)

        def behind(count: int) -> Estimate:
            ghosts = min(expected * count / among if among else expected, count)
            return panel_estimate(count, ghosts, 1.0, ghost_ms=ghost_ms, window_ms=window_ms)

        estimate, confirmed = behind(len(seats)), sum(not visitor.restored for visitor in seats)
        return replace(estimate, low=min(estimate.low, behind(confirmed).low))

    def says(self) -> Said:
        moods = (*self.config.moods, UNSPOKEN)
        reporting = [visitor for visitor in self.people.values() if visitor.reports]
        seats = [visitor.mood for visitor in reporting]
        others = [visitor for visitor in self.people.values() if not visitor.reports]
        lease_ms = self.config.heartbeat_lease_ms
        panel = self.estimate(reporting, len(reporting))
        if panel.count < 1 and any(
            visitor.reports
            and not visitor.restored
            and tick(visitor.end_ms - lease_ms + self.config.fresh_ms) > self.now_ms
            for visitor in self.people.values()
        ):
            panel = replace(panel, count=1.0, high=max(panel.high, 1.0))
        polled = apportion(round(panel.count), [seats.count(mood) for mood in moods])
        tally = {
            mood: part + sum(visitor.mood == mood for visitor in others)
            for mood, part in zip(moods, polled, strict=True)
        }
        unknown = self.now_ms < self.unknown_until_ms
        intervals: dict[str, tuple[int, int | None]] = {}
        for mood, part in zip(moods, polled, strict=True):
            among = self.estimate([visitor for visitor in reporting if visitor.mood == mood], len(reporting))
            sure = sum(visitor.mood == mood and not visitor.broken for visitor in others)
            most = sum(visitor.mood == mood for visitor in others) + max(part, round(among.high))
            intervals[mood] = (sure + min(part, round(among.low)), None if unknown else most)
        count, unspoken = sum(tally.values()), tally.pop(UNSPOKEN)
        low = sum(not visitor.broken for visitor in others) + min(sum(polled), round(panel.low))
        if unknown:
            return None, low, None, "unknown", tally, unspoken, intervals
        high = len(others) + max(sum(polled), round(panel.high))
        stale = any(visitor.restored for visitor in self.people.values())
        return count, low, high, "stale" if stale else "counted", tally, unspoken, intervals


@given(starts, traces(events | restarts, clock_steps_back=False) | traces())
@settings(max_examples=2 * settings().max_examples)
def test_the_room_agrees_with_the_naive_one(start: Start, trace: Trace) -> None:
    """Count, interval, method and moods are those of the naive room after every step of any trace."""
    host, naive = start.host(), NaiveRoom(start)
    for pause_ms, happening in trace:
        happen(host, pause_ms, TimerFired())
        naive.step(TimerFired(), host.clock_ms)
        rejected = host.rejected_count
        happen(host, 0, happening)
        if isinstance(happening, Restart):
            naive.restart(host.clock_ms)
        elif host.rejected_count == rejected:
            naive.step(happening, host.clock_ms)
        recount(
            host.room, host.room._now_ms
        )  # Estimates are as of the last change: compare them at one instant.
        assert said(host.presence()) == naive.says()
