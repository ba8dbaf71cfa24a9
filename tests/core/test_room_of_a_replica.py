"""A room with peers: visitors who are claimed elsewhere, and seats that are transferred."""

from breathing_room.core.events import (
    ClaimedElsewhere,
    Disconnected,
    Joined,
    PanelReported,
    SeatsTransferred,
    TimerFired,
)
from core.playing import ANN, BOB, visitor
from core.replication.deltas import CONFIG, a_room


def test_a_room_removes_a_visitor_who_is_claimed_elsewhere() -> None:
    """A visitor claimed elsewhere has neither lease nor seat nor connection here."""
    room = a_room()
    room.step(Joined(1, ANN, "calm"), now_ms=0)
    room.step(Joined(2, ANN), now_ms=0)
    room.step(PanelReported(BOB, 0.5), now_ms=0)
    for key in (ANN, BOB, visitor("unknown")):
        room.step(ClaimedElsewhere(key), now_ms=10)

    assert room.count == room.connection_count == 0
    assert room.summary(10).members == (0, 0, 0)
    room.step(Disconnected(1), now_ms=20)
    room.step(Joined(1, ANN, "glad"), now_ms=30)
    assert room.summary(30).members == (0, 1, 0)


def test_seats_are_transferred() -> None:
    """A successor counts transferred seats once, for what is left of their leases, except for visitors whom
    it counts already.
    """
    old, successor = a_room(), a_room()
    for name, mood in (("ann", "calm"), ("bob", "glad"), ("cat", "glad")):
        old.step(PanelReported(visitor(name), 0.5, mood), now_ms=0)
    successor.step(Joined(1, visitor("cat"), "glad"), now_ms=0)
    seats = old.panel.snapshot(0).seats
    for _ in range(2):
        successor.step(SeatsTransferred(seats), now_ms=0)

    assert successor.count == 3
    assert successor.presence(now_ms=0).moods == {"calm": 1, "glad": 2}
    successor.step(TimerFired(), now_ms=CONFIG.heartbeat_lease_ms)
    assert successor.panel.seat_count == 0
