"""A room of which others hold parts: visitors who are counted elsewhere from now on, and seats that are taken over."""

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


def test_a_room_lets_go_of_a_visitor_who_moved() -> None:
    """
    A visitor who is counted elsewhere has neither lease nor seat nor connection here any more.
    """
    room = a_room()
    room.step(Joined(1, ANN, "calm"), now_ms=0)
    room.step(Joined(2, ANN), now_ms=0)
    room.step(PanelReported(BOB, 0.5), now_ms=0)
    for key in (ANN, BOB, visitor("nobody")):
        room.step(ClaimedElsewhere(key), now_ms=10)

    assert room.count == room.connection_count == 0
    assert room.summary(10).people == (0, 0, 0)
    room.step(Disconnected(1), now_ms=20)
    room.step(Joined(1, ANN, "glad"), now_ms=30)
    assert room.summary(30).people == (0, 1, 0)


def test_seats_are_inherited() -> None:
    """
    An heir counts the seats that it took over for what was left of their leases, once, and not those whom it counts already.
    """
    old, heir = a_room(), a_room()
    for name, mood in (("ann", "calm"), ("bob", "glad"), ("cat", "glad")):
        old.step(PanelReported(visitor(name), 0.5, mood), now_ms=0)
    heir.step(Joined(1, visitor("cat"), "glad"), now_ms=0)
    seats = old.panel.snapshot(0).seats
    for _ in range(2):
        heir.step(SeatsTransferred(seats), now_ms=0)

    assert heir.count == 3
    assert heir.presence(now_ms=0).moods == {"calm": 1, "glad": 2}
    heir.step(TimerFired(), now_ms=CONFIG.heartbeat_lease_ms)
    assert heir.panel.seat_count == 0
