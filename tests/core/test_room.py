"""The room, as a ledger: what it is told, then the whole step that it answers."""

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
from core.ledger import CONFIG, LAPSE_FORGOTTEN_MS, SAVE_AT_MS, a_room, here
from core.playing import ANN, BOB, CAT, Broadcasted, Sent, Step, visitor
from core.playing import LedgerRoom as Room

# --- Coming, going, feeling ---------------------------------------------------------------------------------------


def test_the_first_join_is_announced_at_once() -> None:
    """Who joins an empty room is told of together with everybody, and lapses in one lease."""
    room = a_room()

    assert room.step(Joined("tab", ANN), now_ms=0) == Step((Broadcasted(here(0, 1)),), next_timer_ms=60_000)


def test_a_mood_can_come_with_the_join() -> None:
    """A join that names a mood is one announcement, with the mood in it."""
    room = a_room()

    assert room.step(Joined("tab", ANN, "release"), now_ms=0) == Step(
        (Broadcasted(here(0, 1, release=1)),), 60_000
    )


def test_a_second_tab_is_the_same_person() -> None:
    """Another connection of a visitor changes nothing, and is told how things are."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)

    assert room.step(Joined("tab 2", ANN), now_ms=5_000) == Step((Sent("tab 2", here(5_000, 1)),), 60_000)
    assert (room.count, room.connection_count) == (1, 2)
    assert room.step(Left("tab"), now_ms=6_000) == Step((), 60_000)
    assert room.step(Disconnected("tab 2"), now_ms=7_000) == Step(
        (Broadcasted(here(7_000, 1, suspect=1)),), 22_000
    )


def test_a_mood_moves_in_one_go() -> None:
    """A change of mood takes a person from one mood to another, with nothing in between."""
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
    """A second tab that names a mood changes the person's; one that does not leaves it as it was."""
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
    """Who says goodbye is out with the same step; whoever comes back begins anew, without a mood."""
    room = a_room()
    room.step(Joined("tab", ANN, "release"), now_ms=0)

    step = room.step(Left("tab"), now_ms=2_000)

    assert step.effects == (Broadcasted(here(2_000, 0)),)
    assert not room.holds(ANN)
    assert room.step(Joined("tab", ANN), now_ms=4_000).effects == (Broadcasted(here(4_000, 1)),)


def test_an_observer_watches_without_being_counted() -> None:
    """An observer is told how things are and hears announcements; nothing that it does afterwards matters."""
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


def test_events_of_a_forgotten_connection_do_nothing() -> None:
    """Words that crossed the end of their connection on the wire are not an error, and change nothing."""
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
    """The figures that a host asks for follow every step."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)
    room.step(PanelReported(BOB, 0.5), now_ms=0)
    room.step(Disconnected("tab"), now_ms=0)

    assert (room.count, room.suspect_count, room.connection_count) == (2, 1, 0)
    assert room.holds(ANN)
    assert not room.holds(CAT)


def test_as_of_never_lies_before_the_last_step() -> None:
    """A presence is dated with the time of asking, but never with one before what it says."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=2_000)

    assert room.presence(now_ms=9_000) == here(9_000, 1)
    assert room.presence(now_ms=1_000) == here(2_000, 1)


# --- Announcements ------------------------------------------------------------------------------------------------


def test_changes_are_told_together() -> None:
    """After an announcement, whatever changes within push_ms is told in one, when push_ms have passed."""
    room = a_room()
    room.step(Joined(1, ANN), now_ms=0)

    assert room.step(Joined(2, BOB), now_ms=100) == Step((Sent(2, here(100, 2)),), next_timer_ms=1_000)
    assert room.step(PanelReported(CAT, 0.5), now_ms=200) == Step((), next_timer_ms=1_000)
    assert room.step(Left(1), now_ms=300) == Step((), next_timer_ms=1_000)
    assert room.step(TimerFired(), now_ms=1_000) == Step((Broadcasted(here(1_000, 2)),), next_timer_ms=37_700)


def test_changes_that_take_each_other_back_are_not_told() -> None:
    """There and back within push_ms, with nobody told of it meanwhile, is nothing."""
    room = a_room()
    room.step(Joined("tab", ANN, "release"), now_ms=0)

    assert room.step(MoodChanged("tab", "presence"), now_ms=100) == Step((), next_timer_ms=1_000)
    assert room.step(MoodChanged("tab", "release"), now_ms=200) == Step((), next_timer_ms=60_000)
    assert room.step(TimerFired(), now_ms=1_000) == Step((), next_timer_ms=60_000)


def test_who_was_told_of_a_change_is_told_when_it_is_taken_back() -> None:
    """One comes and another goes before the next announcement: the one who came was told 2, and must hear of 1."""
    room = a_room()
    room.step(Joined("ann's", ANN), now_ms=0)
    assert room.step(Joined("bob's", BOB), now_ms=100).effects == (Sent("bob's", here(100, 2)),)

    assert room.step(Left("ann's"), now_ms=200) == Step((), next_timer_ms=1_000)
    assert room.step(TimerFired(), now_ms=1_000) == Step((Broadcasted(here(1_000, 1)),), next_timer_ms=60_000)


def test_a_change_there_and_back_leaves_the_label() -> None:
    """The label of HTTP and of sockets is one: a change that nobody was told of does not move it."""
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

    told = [effect.presence.label for effect in step.effects if isinstance(effect, Broadcasted)] or [
        "about 10"
    ]
    assert room.presence(now_ms=3_000).label == told[-1]


def test_a_large_crowd_is_told_less_often() -> None:
    """The time between announcements grows with the connections, so that they cost at most pushes_per_s."""
    room = a_room(replace(CONFIG, push_ms=20, pushes_per_s=100))  # 10 ms for each connection
    for index in range(5):
        room.step(Joined(index, visitor(f"{index}")), now_ms=0)

    assert room.step(MoodChanged(0, "release"), now_ms=10) == Step((), next_timer_ms=50)
    assert room.step(TimerFired(), now_ms=49) == Step((), next_timer_ms=50)
    assert room.step(TimerFired(), now_ms=50) == Step(
        (Broadcasted(here(50, 5, release=1)),), next_timer_ms=60_000
    )


def test_observers_are_of_the_audience() -> None:
    """Announcements cost what observers get of them too, for as long as they watch."""
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


# --- Leases -------------------------------------------------------------------------------------------------------


def test_silence_for_a_lease_closes_every_tab() -> None:
    """Who was not heard from for a whole lease is told to come back, and is counted out."""
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


def test_a_sign_of_life_renews_the_lease() -> None:
    """Who was heard stays a whole lease from then; the agenda looks in early, once, and does nothing."""
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


def test_a_broken_socket_leaves_its_person_in_doubt() -> None:
    """After a break the person is in high and not in low; back within grace_ms, nothing was lost."""
    room = a_room()
    room.step(Joined("bob's", BOB), now_ms=0)
    room.step(Joined("phone", ANN, "release"), now_ms=0)
    room.step(TimerFired(), now_ms=1_000)

    assert room.step(Disconnected("phone"), now_ms=5_000) == Step(
        (Broadcasted(here(5_000, 2, suspect=1, silent_moods={"release": 1}, release=1)),), 20_000
    )
    assert room.step(Joined("phone 2", ANN), now_ms=15_000) == Step(
        (Broadcasted(here(15_000, 2, release=1)),), 20_000
    )
    assert room.step(TimerFired(), now_ms=20_000) == Step((), next_timer_ms=60_000)


def test_who_does_not_come_back_lapses() -> None:
    """A person whose socket broke is out after grace_ms."""
    room = a_room()
    room.step(Joined("phone", ANN, "release"), now_ms=0)
    room.step(Disconnected("phone"), now_ms=5_000)

    assert room.step(TimerFired(), now_ms=19_999) == Step((), next_timer_ms=20_000)
    assert room.step(TimerFired(), now_ms=20_000) == Step(
        (Broadcasted(here(20_000, 0)),), next_timer_ms=60_000
    )
    assert room.step(TimerFired(), now_ms=60_000) == Step(
        (), next_timer_ms=SAVE_AT_MS
    )  # its first place on the agenda


def test_a_break_never_lengthens_a_lease() -> None:
    """A socket that breaks shortly before its lease ends keeps its person only until then."""
    room = a_room()
    room.step(Joined("phone", ANN), now_ms=0)

    assert room.step(Disconnected("phone"), now_ms=50_000).next_timer_ms == 60_000
    assert room.step(TimerFired(), now_ms=60_000).effects == (Broadcasted(here(60_000, 0)),)


def test_no_grace_means_gone_at_the_next_tick() -> None:
    """With grace_ms 0 a broken socket takes its person along, even at the first instant of all."""
    for now_ms in (0, 5_000):
        room = a_room(replace(CONFIG, grace_ms=0))
        room.step(Joined("phone", ANN), now_ms=0)

        assert room.step(Disconnected("phone"), now_ms=now_ms).next_timer_ms == now_ms
        assert room.step(TimerFired(), now_ms=now_ms + 1_000) == Step(
            (Broadcasted(here(now_ms + 1_000, 0)),), 60_000
        )


# --- People without a socket --------------------------------------------------------------------------------------


def test_a_person_who_stops_reporting_falls_silent_and_then_lapses() -> None:
    """Whoever does not report any more is looked after when a report is overdue, and gone after heartbeat_lease_ms."""
    room = a_room()

    assert room.step(PanelReported(ANN, 0.5, "release"), now_ms=0) == Step(
        (Broadcasted(here(0, 1, release=1)),), 37_500
    )
    assert room.step(TimerFired(), now_ms=37_500) == Step((), 150_000)
    assert room.step(TimerFired(), now_ms=150_000) == Step(
        (Broadcasted(here(150_000, 0)),), LAPSE_FORGOTTEN_MS
    )


def test_a_report_takes_doubt_back() -> None:
    """Whoever reports late is simply there again, with the mood that was named before."""
    room = a_room()
    room.step(PanelReported(ANN, 0.5, "release"), now_ms=0)
    room.step(TimerFired(), now_ms=37_500)

    assert room.step(PanelReported(ANN, 0.5), now_ms=60_000) == Step((), 97_500)
    assert room.presence(now_ms=60_000) == here(60_000, 1, release=1)
    assert room.step(PanelReported(ANN, 0.5), now_ms=90_000) == Step((), 97_500)
    assert room.step(TimerFired(), now_ms=97_500) == Step((), 127_500)
    assert room.step(TimerFired(), now_ms=127_500) == Step(
        (), 150_000
    )  # where the first lease would have ended
    assert room.step(TimerFired(), now_ms=150_000) == Step((), 240_000)


def test_a_polling_person_who_gets_a_socket_lives_by_the_socket() -> None:
    """Whoever gets a socket leaves the panel: it is the socket's lease that counts, and not reports that stop."""
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


def test_a_person_who_loses_the_socket_can_go_on_by_reports() -> None:
    """After a break, a report takes a seat of the panel instead of the lease that is in doubt."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)
    room.step(Disconnected("tab"), now_ms=10_000)

    assert room.step(PanelReported(ANN, 0.5), now_ms=20_000) == Step((Broadcasted(here(20_000, 1)),), 25_000)
    assert (room.count, room.suspect_count, room.panel.seat_count) == (1, 0, 1)
    assert room.step(TimerFired(), now_ms=25_000) == Step((), 57_500)
    assert room.step(TimerFired(), now_ms=57_500) == Step((), 60_000)
    assert room.step(TimerFired(), now_ms=60_000) == Step(
        (), 170_000
    )  # the first place of the socket's lease


def test_a_seat_that_is_lost_to_a_full_prefix_is_announced() -> None:
    """A visitor who moves to a prefix with its share, and with as many capped seats as are kept, is counted no longer."""
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


def test_an_earlier_duty_comes_before_a_later_one() -> None:
    """Who had a long socket lease and now reports is looked after when the report is overdue, not a day later."""
    room = a_room(replace(CONFIG, lease_ms=86_400_000, grace_ms=86_400_000))
    room.step(Joined("tab", ANN), now_ms=0)
    room.step(Disconnected("tab"), now_ms=2_000)

    assert room.step(PanelReported(ANN, 0.5), now_ms=4_000) == Step((Broadcasted(here(4_000, 1)),), 41_500)
    assert room.step(TimerFired(), now_ms=41_500) == Step((), 154_000)
    assert room.step(TimerFired(), now_ms=154_000).effects == (Broadcasted(here(154_000, 0)),)


def test_a_withdrawal_counts_at_once_unless_a_socket_says_otherwise() -> None:
    """Goodbye over HTTP ends a lease kept by reports or by a socket that broke, and not that of an open socket."""
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


# --- Not knowing --------------------------------------------------------------------------------------------------


def test_a_room_without_memory_is_unknown_for_one_lease() -> None:
    """Until everybody had the time to renew, there is no count, only those known of; then it is counted."""
    room = a_room(unknown=True)

    assert room.step(TimerFired(), now_ms=0) == Step((), 60_000)
    assert room.presence(now_ms=0) == here(0, 0, unknown=True)
    assert room.step(Joined("tab", ANN, "release"), now_ms=1_000) == Step(
        (Broadcasted(here(1_000, 1, unknown=True, release=1)),), 60_000
    )
    assert room.step(HeartbeatReceived("tab"), now_ms=50_000) == Step((), 60_000)
    assert room.step(TimerFired(), now_ms=60_000) == Step((Broadcasted(here(60_000, 1, release=1)),), 61_000)


def test_an_unknown_room_that_nobody_enters_is_empty_after_a_lease() -> None:
    """When nobody renewed for one lease, 0 is the truth, and worth saving."""
    room = a_room(replace(CONFIG, snapshot_ms=10_000), unknown=True)

    assert room.step(TimerFired(), now_ms=60_000) == Step(
        (Broadcasted(here(60_000, 0)), SaveSnapshot()), None
    )


# --- Saving -------------------------------------------------------------------------------------------------------


def test_a_room_is_saved_while_something_happens_and_not_otherwise() -> None:
    """What happened is saved within snapshot_ms, once; a room in which nothing happens is left alone."""
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
def test_whatever_happens_to_people_is_saved(event: Event) -> None:
    """Every event that touches a lease or a mood is in the next snapshot."""
    room = a_room(replace(CONFIG, snapshot_ms=10_000))
    room.step(Joined("tab", ANN), now_ms=0)
    room.step(PanelReported(BOB, 0.5), now_ms=0)
    room.step(TimerFired(), now_ms=10_000)

    assert SaveSnapshot() in room.step(event, now_ms=20_000).effects


# --- Refusals -----------------------------------------------------------------------------------------------------


def state_of(room: Room) -> tuple[object, ...]:
    """Take down everything that a room keeps, its agenda included."""
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
        MoodChanged("nobody's", "fury"),
        PanelReported(ANN, 0.5, "fury"),
        PanelReported(BOB, 0.5, ""),
        Joined("new", VisitorKey(b"bob")),
        PanelReported(VisitorKey(BOB + b"."), 0.5),
        LegacyReported(BOB, "fury"),
        LegacyReported(VisitorKey(b"bob"), "release"),
    ],
)
def test_an_impossible_event_is_refused_and_changes_nothing(event: Event) -> None:
    """A connection that joined already, an undeclared mood and what is no key are the host's errors; even the time stays."""
    room = a_room()
    room.step(Joined("tab", ANN, "release"), now_ms=0)
    before = state_of(room)

    with pytest.raises(HostError):
        room.step(event, now_ms=50_000)

    assert state_of(room) == before


def test_too_many_sockets_of_one_visitor_are_refused() -> None:
    """Beyond connections_per_visitor_max a visitor gets an error and the room does not change."""
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


def test_sockets_of_a_lease_that_is_over_are_not_held_against_a_visitor() -> None:
    """A wake-up that comes late does not make a visitor refused whose old sockets were due to be closed."""
    room = a_room(replace(CONFIG, connections_per_visitor_max=1))
    room.step(Joined("old", ANN), now_ms=0)

    step = room.step(Joined("new", ANN), now_ms=60_010)

    assert step.effects[0] == Close("old", LEASE_ENDED)
    assert (room.count, room.connection_count) == (1, 1)


def test_a_connection_that_must_be_closed_cannot_join() -> None:
    """A socket whose lease is over is about to be closed: joining it anew would leave a person without a socket."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)

    with pytest.raises(HostError):
        room.step(Joined("tab", BOB), now_ms=60_010)

    assert room.step(TimerFired(), now_ms=60_010).effects == (
        Close("tab", LEASE_ENDED),
        Broadcasted(here(60_010, 0)),
    )
    assert room.connection_count == 0


def test_something_that_is_no_event_is_a_bug() -> None:
    """A host that tells the room something else has a bug, and hears of it."""
    with pytest.raises(AssertionError):
        a_room().step(cast("Any", "joined"), now_ms=0)


# --- What it costs, counted and not timed -------------------------------------------------------------------------


class CountingAgenda(DeadlineQueue[Any]):
    """An agenda that counts what it does."""

    visits = 0
    entries = 0

    def put(self, item: Any, at_ms: int) -> None:
        self.entries += 1
        super().put(item, at_ms)

    def come_due(self, now_ms: int) -> Iterator[tuple[Any, int]]:
        for visit in super().come_due(now_ms):
            self.visits += 1
            yield visit


def a_counting_room() -> tuple[Room, CountingAgenda]:
    room = a_room()
    agenda = room.members._deadlines = CountingAgenda()
    return room, agenda


def entry_count(room: Room) -> int:
    return sum(map(len, room.members._deadlines._waiting.values()))


def test_a_thousand_renewals_cost_one_visit_a_lease() -> None:
    """A person who is heard 10,000 times in a lease stands on the agenda once, and is visited once a lease."""
    room, agenda = a_counting_room()
    room.step(Joined("tab", ANN), now_ms=0)
    for index in range(30_000):
        room.step(HeartbeatReceived("tab"), now_ms=6 * index)

    assert agenda.visits == 2  # in 180 s, three leases: when the first ended, and when the second did
    assert (agenda.entries, entry_count(room)) == (3, 1)


def test_the_agenda_is_as_long_as_a_lease_however_large_the_crowd() -> None:
    """Ten thousand people at all times have at most lease / tick places on the agenda."""
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


def test_flapping_does_not_grow_the_agenda() -> None:
    """A socket that breaks and comes back 10,000 times within one lease leaves a handful of entries."""
    room, agenda = a_counting_room()
    for index in range(10_000):
        room.step(Joined(index, ANN), now_ms=index * 5)
        room.step(Disconnected(index), now_ms=index * 5 + 1)

    assert entry_count(room) <= 5
    assert agenda.entries <= 25


def test_comings_and_goings_are_forgotten_with_the_lease() -> None:
    """What a visitor who comes and leaves all the time leaves on the agenda is gone after a lease."""
    room = a_room()
    for index in range(1_000):
        room.step(Joined(index, ANN), now_ms=index)
        room.step(Left(index) if index % 2 else Disconnected(index), now_ms=index)
        room.step(PanelReported(ANN, 0.5), now_ms=index)
    room.step(TimerFired(), now_ms=62_000)

    assert (room.members._deadlines._waiting, room.members._deadlines._times) == ({}, [])
    assert (room.members._by_connection, room.members._by_visitor) == ({}, {})


def test_any_hashable_names_a_connection() -> None:
    """A host names its connections as it likes."""
    room = a_room()
    names: list[Connection] = [0, "", (), frozenset(), object()]
    for index, name in enumerate(names):
        step = room.step(Joined(name, visitor(f"{index}")), now_ms=0)
        assert len(step.effects) == 1
    assert room.connection_count == len(names)
