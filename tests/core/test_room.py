"""The room, as a ledger: an event, then the whole step that it answers."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.deadlines import TICK_MS, DeadlineQueue
from breathing_room.core.effects import Close, SaveSnapshot
from breathing_room.core.errors import ClientError, HostError
from breathing_room.core.events import (
    Disconnected,
    Event,
    HeartbeatReceived,
    Joined,
    Left,
    LegacyReported,
    MoodChanged,
    ObserverJoined,
    ObserverLeft,
    PanelLeft,
    PanelReported,
    TimerFired,
)
from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.members import Member
from breathing_room.core.wire import LEASE_ENDED
from core.ledger import CONFIG, EXPIRY_FORGOTTEN_MS, SAVE_AT_MS, a_room, here
from core.playing import ANN, BOB, CAT, Broadcasted, Sent, Step, visitor
from core.playing import LedgerRoom as Room

# --- Joins, leaves and moods -------------------------------------------------------------------------------


def test_the_first_join_is_broadcast_at_once() -> None:
    """The first join is broadcast in its own step, and its lease expires after ``lease_ms``."""
    room = a_room()

    assert room.step(Joined("tab", ANN), now_ms=0) == Step((Broadcasted(here(0, 1)),), next_timer_ms=60_000)


def test_a_mood_can_come_with_the_join() -> None:
    """A join that names a mood is one broadcast, with the mood in it."""
    room = a_room()

    assert room.step(Joined("tab", ANN, "release"), now_ms=0) == Step(
        (Broadcasted(here(0, 1, release=1)),), 60_000
    )


def test_a_second_tab_is_the_same_person() -> None:
    """Another connection of a visitor is sent the presence, and changes no count."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)

    assert room.step(Joined("tab 2", ANN), now_ms=5_000) == Step((Sent("tab 2", here(5_000, 1)),), 60_000)
    assert (room.count, room.connection_count) == (1, 2)
    assert room.step(Left("tab"), now_ms=6_000) == Step((), 60_000)
    assert room.step(Disconnected("tab 2"), now_ms=7_000) == Step(
        (Broadcasted(here(7_000, 1, suspect=1)),), 22_000
    )


def test_a_mood_moves_in_one_go() -> None:
    """A change of mood moves a visitor from one mood to another in one broadcast."""
    room = a_room()
    room.step(Joined("tab", ANN, "release"), now_ms=0)

    assert room.step(MoodChanged("tab", "presence"), now_ms=2_000) == Step(
        (Broadcasted(here(2_000, 1, presence=1)),), 60_000
    )
    assert room.step(MoodChanged("tab", "presence"), now_ms=4_000) == Step((), 60_000)
    assert room.step(MoodChanged("tab", UNSPOKEN), now_ms=6_000) == Step(
        (Broadcasted(here(6_000, 1)),), 60_000
    )


def test_the_last_word_on_mood_counts() -> None:
    """A second tab that names a mood changes the visitor's; one that names none leaves it as it was."""
    room = a_room()
    room.step(Joined("tab", ANN, "release"), now_ms=0)

    assert room.step(Joined("tab 2", ANN), now_ms=2_000) == Step(
        (Sent("tab 2", here(2_000, 1, release=1)),), 60_000
    )
    assert room.step(Joined("tab 3", ANN, "gratitude"), now_ms=4_000) == Step(
        (Broadcasted(here(4_000, 1, gratitude=1)),), 60_000
    )
    assert room.step(Joined("tab 4", ANN, UNSPOKEN), now_ms=6_000) == Step(
        (Broadcasted(here(6_000, 1)),), 60_000
    )


def test_a_leave_counts_at_once() -> None:
    """A leave removes the visitor in the same step; a later join starts without a mood."""
    room = a_room()
    room.step(Joined("tab", ANN, "release"), now_ms=0)

    step = room.step(Left("tab"), now_ms=2_000)

    assert step.effects == (Broadcasted(here(2_000, 0)),)
    assert not room.holds(ANN)
    assert room.step(Joined("tab", ANN), now_ms=4_000).effects == (Broadcasted(here(4_000, 1)),)


def test_an_observer_is_not_counted() -> None:
    """An observer is sent the presence on joining, and no later event of it changes a count."""
    room = a_room()

    assert room.step(ObserverJoined("wall"), now_ms=0) == Step((Sent("wall", here(0, 0)),), None)
    for event in (
        HeartbeatReceived("wall"),
        MoodChanged("wall", "release"),
        Disconnected("wall"),
        Left("wall"),
    ):
        assert room.step(event, now_ms=10) == Step((), None)
    assert (room.count, room.connection_count) == (0, 0)


def test_events_of_a_removed_connection_do_nothing() -> None:
    """Events of a connection that the room has removed are no error, and change nothing."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)

    for event in (
        HeartbeatReceived("old"),
        MoodChanged("old", "release"),
        Left("old"),
        Disconnected("old"),
        PanelLeft(BOB),
    ):
        assert room.step(event, now_ms=2_000) == Step((), 60_000)


def test_the_room_can_be_asked() -> None:
    """The counts that a host reads follow every step."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)
    room.step(PanelReported(BOB, 0.5), now_ms=0)
    room.step(Disconnected("tab"), now_ms=0)

    assert (room.count, room.suspect_count, room.connection_count) == (2, 1, 0)
    assert room.holds(ANN)
    assert not room.holds(CAT)


def test_as_of_never_lies_before_the_last_step() -> None:
    """A presence is dated with the time of the query, or with the last step if that is later."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=2_000)

    assert room.presence(now_ms=9_000) == here(9_000, 1)
    assert room.presence(now_ms=1_000) == here(2_000, 1)


# --- Broadcasts -------------------------------------------------------------------------------------------


def test_changes_are_broadcast_together() -> None:
    """All changes within push_ms of a broadcast are in the next one, when push_ms have passed."""
    room = a_room()
    room.step(Joined(1, ANN), now_ms=0)

    assert room.step(Joined(2, BOB), now_ms=100) == Step((Sent(2, here(100, 2)),), next_timer_ms=1_000)
    assert room.step(PanelReported(CAT, 0.5), now_ms=200) == Step((), next_timer_ms=1_000)
    assert room.step(Left(1), now_ms=300) == Step((), next_timer_ms=1_000)
    assert room.step(TimerFired(), now_ms=1_000) == Step((Broadcasted(here(1_000, 2)),), next_timer_ms=37_700)


def test_changes_that_cancel_out_are_not_broadcast() -> None:
    """A change that is reverted within push_ms, and was in no reply, causes no broadcast."""
    room = a_room()
    room.step(Joined("tab", ANN, "release"), now_ms=0)

    assert room.step(MoodChanged("tab", "presence"), now_ms=100) == Step((), next_timer_ms=1_000)
    assert room.step(MoodChanged("tab", "release"), now_ms=200) == Step((), next_timer_ms=60_000)
    assert room.step(TimerFired(), now_ms=1_000) == Step((), next_timer_ms=60_000)


def test_a_reply_ahead_of_the_broadcast_is_followed_by_one() -> None:
    """A join and a leave between two broadcasts: the reply to the join said 2, so the 1 is broadcast."""
    room = a_room()
    room.step(Joined("ann's", ANN), now_ms=0)
    assert room.step(Joined("bob's", BOB), now_ms=100).effects == (Sent("bob's", here(100, 2)),)

    assert room.step(Left("ann's"), now_ms=200) == Step((), next_timer_ms=1_000)
    assert room.step(TimerFired(), now_ms=1_000) == Step((Broadcasted(here(1_000, 1)),), next_timer_ms=60_000)


def test_a_change_there_and_back_leaves_the_label() -> None:
    """The label over HTTP is the one that was broadcast: a reverted change does not move it."""
    room = a_room()
    for index in range(4):
        room.step(Joined(index, visitor(f"{index}")), now_ms=0)
        room.step(Disconnected(index), now_ms=0)
    for index in range(4, 10):
        room.step(Joined(index, visitor(f"{index}")), now_ms=0)
    room.step(TimerFired(), now_ms=1_000)
    step = room.step(Joined(10, visitor("10")), now_ms=2_000)
    assert step.effects == (Broadcasted(here(2_000, 11, suspect=4, label="about 10")),)

    room.step(PanelReported(visitor("11"), 0.5), now_ms=2_100)
    room.step(PanelLeft(visitor("11")), now_ms=2_200)
    step = room.step(TimerFired(), now_ms=3_000)

    labels = [effect.presence.label for effect in step.effects if isinstance(effect, Broadcasted)] or [
        "about 10"
    ]
    assert room.presence(now_ms=3_000).label == labels[-1]


def test_a_broadcast_to_many_connections_is_rarer() -> None:
    """The time between broadcasts grows with the connections, so that at most pushes_per_s are sent."""
    room = a_room(replace(CONFIG, push_ms=20, pushes_per_s=100))  # 10 ms for each connection
    for index in range(5):
        room.step(Joined(index, visitor(f"{index}")), now_ms=0)

    assert room.step(MoodChanged(0, "release"), now_ms=10) == Step((), next_timer_ms=50)
    assert room.step(TimerFired(), now_ms=49) == Step((), next_timer_ms=50)
    assert room.step(TimerFired(), now_ms=50) == Step(
        (Broadcasted(here(50, 5, release=1)),), next_timer_ms=60_000
    )


def test_observers_are_subscribers() -> None:
    """Observers count as subscribers in the time between broadcasts, until they leave."""
    room = a_room(replace(CONFIG, push_ms=20, pushes_per_s=100))
    room.step(Joined("tab", ANN), now_ms=0)
    for wall in range(5):
        room.step(ObserverJoined(wall), now_ms=0)
    room.step(ObserverLeft(0), now_ms=0)

    assert room.step(MoodChanged("tab", "release"), now_ms=10) == Step((), next_timer_ms=50)


def test_the_clock_may_step_back() -> None:
    """An instant before the last one counts as the last one: no lease grows shorter or longer."""
    room = a_room(now_ms=100_000)
    room.step(Joined("tab", ANN), now_ms=100_000)

    assert room.step(Joined("tab 2", BOB), now_ms=40_000) == Step(
        (Sent("tab 2", here(100_000, 2)),), next_timer_ms=101_000
    )
    assert room.step(HeartbeatReceived("tab"), now_ms=50_000) == Step((), next_timer_ms=101_000)
    assert room.step(TimerFired(), now_ms=101_000) == Step(
        (Broadcasted(here(101_000, 2)),), next_timer_ms=160_000
    )
    assert room.step(TimerFired(), now_ms=160_000).effects == (
        Close("tab", LEASE_ENDED),
        Close("tab 2", LEASE_ENDED),
        Broadcasted(here(160_000, 0)),
    )


# --- Leases -----------------------------------------------------------------------------------------------


def test_a_lease_without_heartbeat_closes_every_tab() -> None:
    """A lease without a heartbeat expires: its connections are closed, and its visitor is not counted."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)
    room.step(Joined("tab 2", ANN), now_ms=0)
    room.step(Joined("bob's", BOB), now_ms=10_000)

    assert room.step(TimerFired(), now_ms=60_000) == Step(
        (Close("tab", LEASE_ENDED), Close("tab 2", LEASE_ENDED), Broadcasted(here(60_000, 1))),
        next_timer_ms=70_000,
    )
    assert room.connection_count == 1
    assert room.step(HeartbeatReceived("tab"), now_ms=60_010) == Step((), next_timer_ms=70_000)


def test_a_heartbeat_renews_the_lease() -> None:
    """A heartbeat or a mood renews the lease; the timer fires early once, and does nothing."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)

    assert room.step(HeartbeatReceived("tab"), now_ms=20_000) == Step((), next_timer_ms=60_000)
    assert room.step(MoodChanged("tab", UNSPOKEN), now_ms=40_000) == Step((), next_timer_ms=60_000)
    assert room.step(TimerFired(), now_ms=60_000) == Step((), next_timer_ms=100_000)
    assert room.step(TimerFired(), now_ms=99_999) == Step((), next_timer_ms=100_000)
    assert room.step(TimerFired(), now_ms=100_000) == Step(
        (Close("tab", LEASE_ENDED), Broadcasted(here(100_000, 0))), next_timer_ms=SAVE_AT_MS
    )


def test_leases_end_on_a_grid_and_never_early() -> None:
    """A lease that would end between two ticks ends with the later one."""
    room = a_room()

    assert room.step(Joined("tab", ANN), now_ms=1).next_timer_ms == 60_000 + TICK_MS
    assert room.step(TimerFired(), now_ms=60_001).effects == ()
    assert room.step(TimerFired(), now_ms=60_050).effects == (
        Close("tab", LEASE_ENDED),
        Broadcasted(here(60_050, 0)),
    )


def test_a_disconnect_makes_the_visitor_suspect() -> None:
    """After a disconnect the visitor is in high and not in low; a join within grace_ms confirms it."""
    room = a_room()
    room.step(Joined("bob's", BOB), now_ms=0)
    room.step(Joined("phone", ANN, "release"), now_ms=0)
    room.step(TimerFired(), now_ms=1_000)

    assert room.step(Disconnected("phone"), now_ms=5_000) == Step(
        (Broadcasted(here(5_000, 2, suspect=1, suspect_moods={"release": 1}, release=1)),), 20_000
    )
    assert room.step(Joined("phone 2", ANN), now_ms=15_000) == Step(
        (Broadcasted(here(15_000, 2, release=1)),), 20_000
    )
    assert room.step(TimerFired(), now_ms=20_000) == Step((), next_timer_ms=60_000)


def test_a_visitor_who_does_not_reconnect_expires() -> None:
    """A visitor who disconnected is removed after grace_ms."""
    room = a_room()
    room.step(Joined("phone", ANN, "release"), now_ms=0)
    room.step(Disconnected("phone"), now_ms=5_000)

    assert room.step(TimerFired(), now_ms=19_999) == Step((), next_timer_ms=20_000)
    assert room.step(TimerFired(), now_ms=20_000) == Step(
        (Broadcasted(here(20_000, 0)),), next_timer_ms=60_000
    )
    assert room.step(TimerFired(), now_ms=60_000) == Step(
        (), next_timer_ms=SAVE_AT_MS
    )  # the first deadline of its lease


def test_a_disconnect_never_lengthens_a_lease() -> None:
    """A disconnect shortly before the lease ends keeps the visitor only until that end."""
    room = a_room()
    room.step(Joined("phone", ANN), now_ms=0)

    assert room.step(Disconnected("phone"), now_ms=50_000).next_timer_ms == 60_000
    assert room.step(TimerFired(), now_ms=60_000).effects == (Broadcasted(here(60_000, 0)),)


def test_no_grace_means_gone_at_the_next_tick() -> None:
    """With grace_ms 0 a disconnect removes the visitor, even at time 0."""
    for now_ms in (0, 5_000):
        room = a_room(replace(CONFIG, grace_ms=0))
        room.step(Joined("phone", ANN), now_ms=0)

        assert room.step(Disconnected("phone"), now_ms=now_ms).next_timer_ms == now_ms
        assert room.step(TimerFired(), now_ms=now_ms + 1_000) == Step(
            (Broadcasted(here(now_ms + 1_000, 0)),), 60_000
        )


# --- Visitors without a connection ------------------------------------------------------------------------


def test_a_visitor_who_stops_reporting_expires() -> None:
    """A seat without reports is checked when one is overdue, and expires after heartbeat_lease_ms."""
    room = a_room()

    assert room.step(PanelReported(ANN, 0.5, "release"), now_ms=0) == Step(
        (Broadcasted(here(0, 1, release=1)),), 37_500
    )
    assert room.step(TimerFired(), now_ms=37_500) == Step((), 150_000)
    assert room.step(TimerFired(), now_ms=150_000) == Step(
        (Broadcasted(here(150_000, 0)),), EXPIRY_FORGOTTEN_MS
    )


def test_a_late_report_confirms_the_seat() -> None:
    """A late report confirms the seat, with the mood that was named before."""
    room = a_room()
    room.step(PanelReported(ANN, 0.5, "release"), now_ms=0)
    room.step(TimerFired(), now_ms=37_500)

    assert room.step(PanelReported(ANN, 0.5), now_ms=60_000) == Step((), 97_500)
    assert room.presence(now_ms=60_000) == here(60_000, 1, release=1)
    assert room.step(PanelReported(ANN, 0.5), now_ms=90_000) == Step((), 97_500)
    assert room.step(TimerFired(), now_ms=97_500) == Step((), 127_500)
    assert room.step(TimerFired(), now_ms=127_500) == Step((), 150_000)  # the end of the first lease
    assert room.step(TimerFired(), now_ms=150_000) == Step((), 240_000)


def test_a_join_replaces_the_seat_of_a_visitor_who_polled() -> None:
    """A join removes the visitor's seat: from then on the lease of the connection decides."""
    room = a_room()
    room.step(PanelReported(ANN, 0.5, "release"), now_ms=0)

    assert room.step(Joined("tab", ANN, "release"), now_ms=10_000) == Step(
        (Sent("tab", here(10_000, 1, release=1)),), 37_500
    )
    assert (room.count, room.panel.seat_count) == (1, 0)
    assert room.step(TimerFired(), now_ms=37_500) == Step((), 70_000)
    assert room.step(PanelReported(ANN, 0.5), now_ms=50_000) == Step((), 70_000)
    assert room.step(TimerFired(), now_ms=70_000) == Step((), 110_000)
    assert room.step(TimerFired(), now_ms=110_000).effects == (
        Close("tab", LEASE_ENDED),
        Broadcasted(here(110_000, 0)),
    )


def test_a_visitor_who_disconnected_can_go_on_by_reports() -> None:
    """After a disconnect, a report takes a seat of the panel in place of the suspect lease."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)
    room.step(Disconnected("tab"), now_ms=10_000)

    assert room.step(PanelReported(ANN, 0.5), now_ms=20_000) == Step((Broadcasted(here(20_000, 1)),), 25_000)
    assert (room.count, room.suspect_count, room.panel.seat_count) == (1, 0, 1)
    assert room.step(TimerFired(), now_ms=25_000) == Step((), 57_500)
    assert room.step(TimerFired(), now_ms=57_500) == Step((), 60_000)
    assert room.step(TimerFired(), now_ms=60_000) == Step(
        (), 170_000
    )  # the first deadline of the connection's lease


def test_a_seat_that_is_lost_to_a_full_prefix_is_broadcast() -> None:
    """A visitor who moves to a prefix that is full, over quota included, is not counted any more."""
    room = a_room(replace(CONFIG, panel_size=2, prefix_seats_max=1))
    room.step(PanelReported(ANN, 0.0), now_ms=0)
    for index in range(3):
        room.step(PanelReported(visitor(f"{index}"), 0.0, None, b"full"), now_ms=0)
    assert room.step(TimerFired(), now_ms=1_000).effects == (Broadcasted(here(1_000, 2)),)
    assert (room.panel.seat_count, room.panel.over_quota_count) == (2, 2)

    assert room.step(PanelReported(ANN, 0.0, None, b"full"), now_ms=5_000).effects == (
        Broadcasted(here(5_000, 1)),
    )
    assert (room.panel.seat_count, room.panel.over_quota_count, room.holds(ANN)) == (1, 2, False)


def test_an_earlier_deadline_replaces_a_later_one() -> None:
    """A report after a long lease of a connection sets the earlier deadline of the overdue report."""
    room = a_room(replace(CONFIG, lease_ms=86_400_000, grace_ms=86_400_000))
    room.step(Joined("tab", ANN), now_ms=0)
    room.step(Disconnected("tab"), now_ms=2_000)

    assert room.step(PanelReported(ANN, 0.5), now_ms=4_000) == Step((Broadcasted(here(4_000, 1)),), 41_500)
    assert room.step(TimerFired(), now_ms=41_500) == Step((), 154_000)
    assert room.step(TimerFired(), now_ms=154_000).effects == (Broadcasted(here(154_000, 0)),)


def test_a_leave_over_http_counts_at_once_unless_a_connection_is_open() -> None:
    """A leave over HTTP ends a lease of reports or of a lost connection, and not that of an open one."""
    room = a_room()
    room.step(PanelReported(ANN, 0.5), now_ms=0)
    room.step(Joined("tab", BOB), now_ms=2_000)

    assert room.step(PanelLeft(BOB), now_ms=4_000) == Step((), 37_500)
    assert room.step(PanelLeft(ANN), now_ms=4_000).effects == (Broadcasted(here(4_000, 1)),)
    room.step(Disconnected("tab"), now_ms=6_000)
    room.step(PanelReported(BOB, 0.5), now_ms=7_000)
    assert room.step(PanelLeft(BOB), now_ms=8_000).effects == (Broadcasted(here(8_000, 0)),)
    room.step(Joined("tab", CAT), now_ms=10_000)
    room.step(Disconnected("tab"), now_ms=12_000)
    assert room.step(PanelLeft(CAT), now_ms=14_000).effects == (Broadcasted(here(14_000, 0)),)


# --- Unknown ----------------------------------------------------------------------------------------------


def test_a_room_without_memory_is_unknown_for_one_lease() -> None:
    """For one lease the count is None and low has the visitors that joined; then the room is counted."""
    room = a_room(unknown=True)

    assert room.step(TimerFired(), now_ms=0) == Step((), 60_000)
    assert room.presence(now_ms=0) == here(0, 0, unknown=True)
    assert room.step(Joined("tab", ANN, "release"), now_ms=1_000) == Step(
        (Broadcasted(here(1_000, 1, unknown=True, release=1)),), 60_000
    )
    assert room.step(HeartbeatReceived("tab"), now_ms=50_000) == Step((), 60_000)
    assert room.step(TimerFired(), now_ms=60_000) == Step((Broadcasted(here(60_000, 1, release=1)),), 61_000)


def test_an_unknown_room_without_joins_is_empty_after_a_lease() -> None:
    """A lease without a join ends the unknown state with a count of 0, which is saved."""
    room = a_room(replace(CONFIG, snapshot_ms=10_000), unknown=True)

    assert room.step(TimerFired(), now_ms=60_000) == Step(
        (Broadcasted(here(60_000, 0)), SaveSnapshot()), None
    )


# --- Saving -----------------------------------------------------------------------------------------------


def test_a_room_is_saved_while_something_happens_and_not_otherwise() -> None:
    """A change is saved once within snapshot_ms; without a change nothing is saved."""
    room = a_room(replace(CONFIG, snapshot_ms=10_000))

    assert room.step(Joined("tab", ANN), now_ms=0) == Step((Broadcasted(here(0, 1)),), next_timer_ms=10_000)
    assert room.step(TimerFired(), now_ms=10_000) == Step((SaveSnapshot(),), next_timer_ms=60_000)
    assert room.step(HeartbeatReceived("tab"), now_ms=15_000) == Step((), next_timer_ms=20_000)
    assert room.step(TimerFired(), now_ms=20_000) == Step((SaveSnapshot(),), next_timer_ms=60_000)
    assert room.step(HeartbeatReceived("tab"), now_ms=45_000) == Step((SaveSnapshot(),), next_timer_ms=60_000)


@pytest.mark.parametrize(
    "event",
    [
        Left("tab"),
        Disconnected("tab"),
        MoodChanged("tab", "release"),
        PanelReported(CAT, 0.5),
        LegacyReported(CAT, "release"),
        PanelLeft(BOB),
        Joined("tab 2", ANN),
    ],
)
def test_every_change_of_a_lease_or_mood_is_saved(event: Event) -> None:
    """Every event that changes a lease or a mood causes a snapshot."""
    room = a_room(replace(CONFIG, snapshot_ms=10_000))
    room.step(Joined("tab", ANN), now_ms=0)
    room.step(PanelReported(BOB, 0.5), now_ms=0)
    room.step(TimerFired(), now_ms=10_000)

    assert SaveSnapshot() in room.step(event, now_ms=20_000).effects


# --- Rejected events --------------------------------------------------------------------------------------


def state_of(room: Room) -> tuple[object, ...]:
    """Return all state of a room, its deadline queue included."""
    waiting = room.members._deadlines._waiting.items()
    due = {at_ms: [person.key for person in people] for at_ms, people in waiting}
    connections = {connection: person.key for connection, person in room.members._by_connection.items()}
    people = [tuple(getattr(person, name) for name in Member.__slots__) for person in room.members]
    return (
        room.snapshot(),
        room.presence(now_ms=0),
        due,
        list(room.members._deadlines._times),
        connections,
        people,
    )


@pytest.mark.parametrize(
    "event",
    [
        Joined("tab", BOB),
        Joined("tab", ANN),
        Joined("new", BOB, "fury"),
        MoodChanged("tab", "fury"),
        MoodChanged("unknown", "fury"),
        PanelReported(ANN, 0.5, "fury"),
        PanelReported(BOB, 0.5, ""),
        Joined("new", VisitorKey(b"bob")),
        PanelReported(VisitorKey(BOB + b"."), 0.5),
        LegacyReported(BOB, "fury"),
        LegacyReported(VisitorKey(b"bob"), "release"),
    ],
)
def test_an_impossible_event_is_rejected_and_changes_nothing(event: Event) -> None:
    """A second join of a connection, an undeclared mood or a malformed key is a HostError; no state changes,
    nor the time.
    """
    room = a_room()
    room.step(Joined("tab", ANN, "release"), now_ms=0)
    before = state_of(room)

    with pytest.raises(HostError):
        room.step(event, now_ms=50_000)

    assert state_of(room) == before


def test_too_many_connections_of_one_visitor_are_rejected() -> None:
    """A join beyond connections_per_visitor_max is a ClientError, and changes nothing."""
    room = a_room(replace(CONFIG, connections_per_visitor_max=2))
    room.step(Joined(1, ANN), now_ms=0)
    room.step(Joined(2, ANN), now_ms=0)
    before = state_of(room)

    with pytest.raises(ClientError) as caught:
        room.step(Joined(3, ANN), now_ms=1_000)

    assert (caught.value.code, caught.value.status) == ("too_many_sockets", 429)
    assert state_of(room) == before
    room.step(Joined(3, BOB), now_ms=1_000)
    room.step(Left(1), now_ms=1_000)
    room.step(Joined(4, ANN), now_ms=1_000)
    assert room.connection_count == 3


def test_connections_of_a_lease_that_is_over_do_not_count_against_the_limit() -> None:
    """Connections whose lease is over do not count against the limit, even if the timer is late."""
    room = a_room(replace(CONFIG, connections_per_visitor_max=1))
    room.step(Joined("old", ANN), now_ms=0)

    step = room.step(Joined("new", ANN), now_ms=60_010)

    assert step.effects[0] == Close("old", LEASE_ENDED)
    assert (room.count, room.connection_count) == (1, 1)


def test_a_connection_that_must_be_closed_cannot_join() -> None:
    """A connection whose lease is over cannot join again: it is about to be closed."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)

    with pytest.raises(HostError):
        room.step(Joined("tab", BOB), now_ms=60_010)

    assert room.step(TimerFired(), now_ms=60_010).effects == (
        Close("tab", LEASE_ENDED),
        Broadcasted(here(60_010, 0)),
    )
    assert room.connection_count == 0


def test_a_value_that_is_no_event_raises() -> None:
    """A value that is no event raises an AssertionError: the host has a bug."""
    with pytest.raises(AssertionError):
        a_room().step(cast("Any", "joined"), now_ms=0)


# --- What it costs, counted and not timed -----------------------------------------------------------------


class CountingQueue(DeadlineQueue[Any]):
    """A deadline queue that counts its entries and visits."""

    visits = 0
    entries = 0

    def put(self, item: Any, at_ms: int) -> None:
        self.entries += 1
        super().put(item, at_ms)

    def pop_due(self, now_ms: int) -> Iterator[tuple[Any, int]]:
        for visit in super().pop_due(now_ms):
            self.visits += 1
            yield visit


def a_counting_room() -> tuple[Room, CountingQueue]:
    room = a_room()
    queue = room.members._deadlines = CountingQueue()
    return room, queue


def entry_count(room: Room) -> int:
    return sum(map(len, room.members._deadlines._waiting.values()))


def test_a_thousand_renewals_cost_one_visit_a_lease() -> None:
    """A lease with 10,000 heartbeats has one entry in the queue, which is visited once a lease."""
    room, queue = a_counting_room()
    room.step(Joined("tab", ANN), now_ms=0)
    for index in range(30_000):
        room.step(HeartbeatReceived("tab"), now_ms=6 * index)

    assert queue.visits == 2  # in 180 s, three leases: at the end of the first and of the second
    assert (queue.entries, entry_count(room)) == (3, 1)


def test_the_queue_is_as_long_as_a_lease_however_many_members() -> None:
    """Ten thousand leases have at most lease / tick deadlines in the queue."""
    room = a_room()
    for index in range(10_000):
        room.step(Joined(index, visitor(f"{index}")), now_ms=index * 7)
        room.step(TimerFired(), now_ms=index * 7)

    assert (
        len(room.members._deadlines._times)
        == len(room.members._deadlines._waiting)
        <= CONFIG.lease_ms // TICK_MS + 1
    )
    assert entry_count(room) == room.count


def test_flapping_does_not_grow_the_queue() -> None:
    """A visitor who reconnects 10,000 times within one lease leaves a handful of entries."""
    room, queue = a_counting_room()
    for index in range(10_000):
        room.step(Joined(index, ANN), now_ms=index * 5)
        room.step(Disconnected(index), now_ms=index * 5 + 1)

    assert entry_count(room) <= 5
    assert queue.entries <= 25


def test_entries_of_joins_and_leaves_are_gone_after_a_lease() -> None:
    """The entries of a visitor who joins and leaves all the time are gone after a lease."""
    room = a_room()
    for index in range(1_000):
        room.step(Joined(index, ANN), now_ms=index)
        room.step(Left(index) if index % 2 else Disconnected(index), now_ms=index)
        room.step(PanelReported(ANN, 0.5), now_ms=index)
    room.step(TimerFired(), now_ms=62_000)

    assert (room.members._deadlines._waiting, room.members._deadlines._times) == ({}, [])
    assert (room.members._by_connection, room.members._by_visitor) == ({}, {})


def test_any_hashable_names_a_connection() -> None:
    """A connection is any hashable of the host's choice."""
    room = a_room()
    names: list[Connection] = [0, "", (), frozenset(), object()]
    for index, name in enumerate(names):
        step = room.step(Joined(name, visitor(f"{index}")), now_ms=0)
        assert len(step.effects) == 1
    assert room.connection_count == len(names)
