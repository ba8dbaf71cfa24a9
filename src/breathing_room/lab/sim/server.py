"""The server: a real room, one write policy, a metered store, and what a host does between them."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, TypeAlias

from breathing_room.core.admission import Admission
from breathing_room.core.effects import Broadcast, SaveSnapshot, Send
from breathing_room.core.errors import ClientError
from breathing_room.core.events import Event, LegacyReported, PanelLeft, PanelReported, TimerFired
from breathing_room.core.identity import SECRET_BYTES, VisitorKey, visitor_key
from breathing_room.core.presence import Presence
from breathing_room.core.rate import rounded
from breathing_room.core.room import Room
from breathing_room.core.tickets import ticket
from breathing_room.core.wire import Report, check_epoch
from breathing_room.core.write_policies import POLICIES
from breathing_room.core.write_policies.records import Kind, Put, SeatReport, Writes
from breathing_room.lab.sim.checkers import check_presence
from breathing_room.lab.sim.clock import FIRST, VirtualClock
from breathing_room.lab.sim.meter import Meter
from breathing_room.lab.sim.scenario import SECOND_MS, Scenario
from breathing_room.lab.sim.store import MeteredStore, finish
from breathing_room.stores.memory import MemoryStore

ROOM: Final = "lobby"
SECRET: Final = bytes(SECRET_BYTES)
"""Simulated visitors need no protection."""


@dataclass(frozen=True, slots=True)
class Shed:
    """The report was shed."""

    retry_ms: int


@dataclass(frozen=True, slots=True)
class Outdated:
    """The visit began in an epoch that is over."""


Answer: TypeAlias = Presence | Shed | Outdated


class SimulatedServer:
    """Handles requests, feeds the room, fires its timers, and carries out the writes of the policy.

    Args:
        scenario: The config of the room, and the write policy.
        clock: The virtual clock.
        meter: Counts operations.
        rate: The rate at which the room begins.
    """

    def __init__(self, scenario: Scenario, clock: VirtualClock, meter: Meter, *, rate: float) -> None:
        self._clock = clock
        self._meter = meter
        self.room = _begin(scenario, rate, clock.now_ms)
        self._admission = Admission(ROOM, scenario.room, None, now_ms=clock.now_ms)
        self._store = MeteredStore(
            MemoryStore(clock=lambda: clock.now_ms), meter.store, clock=lambda: clock.now_ms
        )
        self._policy = POLICIES[scenario.run.policy](
            f"reports/{ROOM}/", lease_ms=scenario.room.heartbeat_lease_ms
        )
        self._timers: list[int | None] = [None, None]
        self.reports_by_s: dict[int, int] = {}

    # --- Requests ------------------------------------------------------------------------------------------

    def presence(self, now_ms: int) -> Presence:
        """Return the presence."""
        presence = self.room.presence(now_ms=now_ms)
        check_presence(presence)
        return presence

    def report(
        self, visitor: str, mood: str | None, epoch: int, now_ms: int, *, prefix: bytes | None = None
    ) -> Answer:
        """Handle a report of a polling visitor."""
        self._meter.reports += 1
        second = now_ms // SECOND_MS
        self.reports_by_s[second] = self.reports_by_s.get(second, 0) + 1
        try:
            check_epoch(epoch, now_ms // self.room.config.epoch_ms)
            report = self._admission.admit(
                Report(visitor, mood, epoch),
                drawn=ticket_of(visitor, epoch),
                rate=self.room.panel.rate,
                now_ms=now_ms,
            )
        except ClientError as refusal:
            if refusal.retry_after_s is None:
                self._meter.reports_outdated += 1
                return Outdated()
            self._meter.reports_shed += 1
            return Shed(refusal.retry_after_s * SECOND_MS)
        if report.in_panel:
            self._meter.reports_kept += 1
            key = key_of(visitor)
            kind: Kind = "heartbeat" if self.room.panel.holds(key) else "join"
            self.feed(PanelReported(key, report.ticket, mood, prefix), now_ms)
            self._write(self._policy.report(SeatReport(key, report.ticket, mood, kind), now_ms=now_ms))
        else:
            self._meter.reports_outside += 1
        return self.presence(now_ms)

    def leave(self, visitor: str, now_ms: int) -> None:
        """Handle a leave of a polling visitor."""
        self._meter.leaves += 1
        key = key_of(visitor)
        if self.room.panel.holds(key):
            self.feed(PanelLeft(key), now_ms)
            self._write(self._policy.report(SeatReport(key, 0.0, None, "leave"), now_ms=now_ms))

    def legacy_report(self, visitor: str, mood: str, now_ms: int) -> None:
        """Handle a heartbeat of a legacy client."""
        self._meter.legacy_reports += 1
        self.feed(LegacyReported(key_of(visitor), mood), now_ms)

    def feed(self, event: Event, now_ms: int) -> None:
        """Feed the room an event, and count its effects."""
        step = self.room.step(event, now_ms=now_ms)
        for effect in step.effects:
            match effect:
                case Broadcast():
                    self._meter.messages_out += self.room.connection_count
                case Send():
                    self._meter.messages_out += 1
                case SaveSnapshot():
                    self._meter.saves += 1
                case _:
                    pass
        self._plan(0, step.next_timer_ms)

    # --- Inside --------------------------------------------------------------------------------------------

    def _write(self, writes: Writes) -> None:
        for order in writes.writes:
            if isinstance(order, Put):
                finish(self._store.put(order.key, order.value, ttl_ms=order.ttl_ms))
            else:
                finish(self._store.delete(order.key))
        self._plan(1, writes.next_timer_ms)

    def _plan(self, which: int, wake_at_ms: int | None) -> None:
        """Schedule the timer of the room (0) or the policy (1), in place of an earlier one."""
        if wake_at_ms != self._timers[which]:
            self._timers[which] = wake_at_ms
            if wake_at_ms is not None:
                self._clock.at(wake_at_ms, FIRST, self._fire_policy_timer if which else self._fire_room_timer)

    def _fire_room_timer(self, now_ms: int) -> None:
        if self._timers[0] == now_ms:
            self._timers[0] = None
            self._meter.timers += 1
            self.feed(TimerFired(), now_ms)

    def _fire_policy_timer(self, now_ms: int) -> None:
        if self._timers[1] == now_ms:
            self._timers[1] = None
            self._meter.timers += 1
            self._write(self._policy.on_timer(now_ms=now_ms))


def _begin(scenario: Scenario, rate: float, now_ms: int) -> Room:
    """Create a room that has a rate already, as a resumed room has."""
    room = Room(ROOM, scenario.room, now_ms=now_ms)
    if rate == 1.0:
        return room
    snapshot = room.snapshot()
    panel = replace(snapshot.panel, rates=((0, rounded(rate)),))
    return Room.resume(replace(snapshot, panel=panel), scenario.room, {})


@lru_cache(maxsize=65_536)
def ticket_of(visitor: str, epoch: int) -> float:
    """Compute the ticket of a visitor; cached, since visitors report repeatedly."""
    return ticket(visitor, room=ROOM, epoch=epoch)


@lru_cache(maxsize=65_536)
def key_of(visitor: str) -> VisitorKey:
    """Return the key of a visitor in the room."""
    return visitor_key(visitor, room=ROOM, secret=SECRET)
