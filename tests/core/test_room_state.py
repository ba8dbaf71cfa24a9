"""The room after a restart and after a sleep, as a ledger: what it is told, then the whole step that it answers."""

from dataclasses import replace

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.effects import SaveSnapshot
from breathing_room.core.events import (
    Disconnected,
    HeartbeatReceived,
    Joined,
    Left,
    MoodChanged,
    PanelLeft,
    PanelReported,
    PeersChanged,
    TimerFired,
)
from breathing_room.core.identity import VisitorKey
from breathing_room.core.summary import PeerState
from core.ledger import CONFIG, SAVE_AT_MS, a_room, here, restart
from core.playing import ANN, BOB, CAT, Broadcasted, Step, said, visitor
from core.playing import LedgerRoom as Room

# --- A restart ----------------------------------------------------------------------------------------------------


CATS = {"gratitude": 1}
"""The mood of Cat, in doubt after a restart."""


def a_full_room() -> Room:
    """Ann on a socket with a mood, Bob's socket broken, Cat reporting; 5 s have passed."""
    room = a_room()
    room.step(Joined("ann's", ANN, "release"), now_ms=0)
    room.step(Joined("bob's", BOB), now_ms=0)
    room.step(PanelReported(CAT, 0.5, "gratitude"), now_ms=0)
    room.step(Disconnected("bob's"), now_ms=5_000)
    return room


def test_a_restart_is_not_an_exodus() -> None:
    """Restored people count in high until they are heard from; low is those who were."""
    room = restart(a_full_room(), now_ms=8_000)

    assert room.presence(now_ms=8_000) == here(8_000, 3, suspect=3, stale=True, release=1, gratitude=1)
    assert room.step(TimerFired(), now_ms=8_000) == Step((), next_timer_ms=20_000)
    assert room.step(Joined("ann's 2", ANN), now_ms=9_000) == Step(
        (Broadcasted(here(9_000, 3, suspect=2, stale=True, silent_moods=CATS, release=1, gratitude=1)),),
        20_000,
    )
    assert room.step(TimerFired(), now_ms=20_000) == Step(
        (Broadcasted(here(20_000, 2, suspect=1, stale=True, silent_moods=CATS, release=1, gratitude=1)),),
        60_000,
    )
    assert room.step(PanelReported(CAT, 0.5), now_ms=30_000) == Step(
        (Broadcasted(here(30_000, 2, release=1, gratitude=1)),), 60_000
    )


def test_a_restored_room_is_counted_again_after_one_lease() -> None:
    """Nobody comes back: the people of sockets are gone within lease_ms, those who reported within theirs."""
    room = restart(a_full_room(), now_ms=8_000)

    assert room.step(TimerFired(), now_ms=60_000).effects == (
        Broadcasted(here(60_000, 1, suspect=1, stale=True, gratitude=1)),
    )
    assert room.step(TimerFired(), now_ms=150_000) == Step(
        (Broadcasted(here(150_000, 0)),), 8_000 + SAVE_AT_MS
    )


def test_newcomers_after_a_restart_are_counted_beside_the_restored() -> None:
    """Somebody who was not there before is in low and in high."""
    room = restart(a_full_room(), now_ms=8_000)

    step = room.step(Joined("dan's", visitor("dan")), now_ms=9_000)

    assert step.effects == (
        Broadcasted(
            here(9_000, 4, suspect=3, stale=True, silent_moods=CATS | {"release": 1}, release=1, gratitude=1)
        ),
    )


def test_a_restored_person_can_say_goodbye() -> None:
    """A goodbye over HTTP reaches somebody who was not heard from since the restart."""
    room = restart(a_full_room(), now_ms=8_000)

    step = room.step(PanelLeft(CAT), now_ms=9_000)

    assert step.effects == (Broadcasted(here(9_000, 2, suspect=2, stale=True, release=1)),)


def test_leases_that_end_while_the_server_is_down_are_over() -> None:
    """Who would have lapsed meanwhile is not restored."""
    room = restart(a_full_room(), now_ms=20_000)

    assert not room.holds(BOB)
    assert room.presence(now_ms=20_000) == here(20_000, 2, suspect=2, stale=True, release=1, gratitude=1)


def test_a_restart_after_every_lease_is_unknown_and_not_empty() -> None:
    """When nobody's lease lasted, nobody knows who will come back: unknown for one lease, never 0."""
    room = restart(a_full_room(), now_ms=150_000)

    assert room.step(TimerFired(), now_ms=150_000) == Step((), next_timer_ms=210_000)
    assert room.presence(now_ms=150_000) == here(150_000, 0, unknown=True)
    assert room.step(Joined("ann's", ANN), now_ms=151_000).effects == (
        Broadcasted(here(151_000, 1, unknown=True)),
    )


def test_an_empty_room_is_restored_as_empty() -> None:
    """A room that was known to be empty is so again, at any later time."""
    empty = a_room()
    empty.step(Joined("tab", ANN), now_ms=0)
    empty.step(Left("tab"), now_ms=2_000)

    assert restart(empty, now_ms=2_000).presence(now_ms=2_000) == here(2_000, 0)
    assert restart(empty, now_ms=9_999_999).presence(now_ms=9_999_999) == here(9_999_999, 0)


def test_an_unknown_room_is_unknown_again_after_a_restart() -> None:
    """Whoever had no time to renew before the second crash has one lease from the restart."""
    room = a_room(unknown=True)
    room.step(Joined("tab", ANN), now_ms=30_000)
    room = restart(room, now_ms=40_000)

    assert room.presence(now_ms=40_000) == here(40_000, 1, suspect=1, unknown=True)
    assert room.step(TimerFired(), now_ms=40_000) == Step((), next_timer_ms=90_000)
    assert room.step(HeartbeatReceived("tab"), now_ms=50_000) == Step((), next_timer_ms=90_000)
    room.step(Joined("tab", ANN), now_ms=50_000)
    assert room.step(TimerFired(), now_ms=100_000).effects == (Broadcasted(here(100_000, 1)),)


def test_time_for_which_the_server_was_down_gives_nobody_a_chance_to_renew() -> None:
    """A room that did not know its count when it went down does not know it when it comes back, however late."""
    room = a_room(unknown=True)
    room.step(TimerFired(), now_ms=5_000)

    room = restart(room, now_ms=70_000)

    assert room.presence(now_ms=70_000) == here(70_000, 0, unknown=True)


def test_a_mood_that_is_no_longer_declared_becomes_unspoken() -> None:
    """Moods are restored by name: a new order changes nothing, a missing one is unspoken."""
    config = replace(CONFIG, moods=("joy", "release"))

    room = restart(a_full_room(), now_ms=8_000, config=config)

    count, low, high, method, moods, unspoken, _ = said(room.presence(now_ms=8_000))
    assert (count, low, high, method, moods, unspoken) == (3, 0, 3, "stale", {"joy": 0, "release": 1}, 2)


def test_a_restore_before_its_snapshot_takes_no_time_off_leases() -> None:
    """When the clock stepped back over a restart, no time passed for anybody."""
    room = restart(a_full_room(), now_ms=1_000)

    assert room.step(TimerFired(), now_ms=1_000) == Step((), next_timer_ms=16_000)
    assert room.count == 3


def test_a_restored_lease_is_no_longer_than_leases_are_now() -> None:
    """With a shorter lease since the restart, or a damaged snapshot, nobody stays in doubt for longer than that."""
    room = a_room(replace(CONFIG, lease_ms=86_400_000))
    room.step(Joined("tab", ANN), now_ms=0)
    room.step(PanelReported(BOB, 0.5), now_ms=0)
    snapshot = room.snapshot()
    seats = replace(snapshot.panel.seats, left_ms=(2**32 - 1,))
    snapshot = replace(snapshot, panel=replace(snapshot.panel, seats=seats))

    room = Room.restore(snapshot, CONFIG, now_ms=1_000)

    assert room.step(TimerFired(), now_ms=61_050).effects == (
        Broadcasted(here(61_050, 1, suspect=1, stale=True)),
    )
    assert room.step(TimerFired(), now_ms=151_050).effects == (Broadcasted(here(151_050, 0)),)


def test_the_label_lasts_over_a_restart() -> None:
    """What people read does not jump because a server restarted."""
    room = a_room()
    for index in range(41):
        room.step(Joined(index, visitor(f"{index}")), now_ms=0)

    room.step(TimerFired(), now_ms=1_000)
    assert room.presence(now_ms=1_000).label == "41"

    room = restart(room, now_ms=1_000)

    assert room.presence(now_ms=1_000).label == "about 40"  # 0 to 41: in steps of 20


# --- Sleep --------------------------------------------------------------------------------------------------------


def test_a_socket_that_broke_while_the_room_slept_leaves_its_person_in_doubt() -> None:
    """Who joined but is not among the connections at waking has lost the socket."""
    room = a_room()
    room.step(Joined("ann's", ANN), now_ms=0)
    room.step(Joined("bob's", BOB), now_ms=0)
    room.step(TimerFired(), now_ms=1_000)

    room = Room.wake(room.snapshot(), CONFIG, {"ann's": ANN})

    assert room.step(TimerFired(), now_ms=5_000) == Step((Broadcasted(here(5_000, 2, suspect=1)),), 16_000)
    assert room.step(TimerFired(), now_ms=16_000).effects == (Broadcasted(here(16_000, 1)),)


@pytest.mark.parametrize("nap_at_ms", [100, 200])
def test_a_sleep_does_not_forget_who_was_told_what(nap_at_ms: int) -> None:
    """Somebody who was told of a change hears that it was taken back, though the room slept before or after that."""
    room = a_room()
    room.step(Joined("ann's", ANN), now_ms=0)
    room.step(Joined("bob's", BOB), now_ms=100)
    if nap_at_ms == 100:
        room = Room.wake(room.snapshot(), CONFIG, {"ann's": ANN, "bob's": BOB})
    assert room.step(Left("ann's"), now_ms=200) == Step((), next_timer_ms=1_000)
    if nap_at_ms == 200:
        room = Room.wake(room.snapshot(), CONFIG, {"bob's": BOB})

    assert room.step(TimerFired(), now_ms=1_000).effects == (Broadcasted(here(1_000, 1)),)


def test_what_happened_while_the_room_slept_is_saved() -> None:
    """A doubt that comes with waking is a change like any other: the next snapshot has it."""
    room = a_room(replace(CONFIG, snapshot_ms=10_000))
    room.step(Joined("tab", ANN), now_ms=0)
    assert SaveSnapshot() in room.step(TimerFired(), now_ms=10_000).effects

    room = Room.wake(room.snapshot(), room.config, {})

    assert room.step(TimerFired(), now_ms=20_000).effects == (
        Broadcasted(here(20_000, 1, suspect=1)),
        SaveSnapshot(),
    )


def test_a_connection_of_nobody_is_not_taken_over_at_waking() -> None:
    """A connection whose visitor the room does not hold is as good as forgotten."""
    room = a_room()
    room.step(Joined("ann's", ANN), now_ms=0)

    room = Room.wake(room.snapshot(), CONFIG, {"ann's": ANN, "bob's": BOB})

    assert room.connection_count == 1
    assert room.step(HeartbeatReceived("bob's"), now_ms=0) == Step((), 60_000)


def test_several_tabs_sleep_as_one_person() -> None:
    """All connections of a visitor are back after waking."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)
    room.step(Joined("tab 2", ANN), now_ms=0)

    room = Room.wake(room.snapshot(), CONFIG, {"tab": ANN, "tab 2": ANN})

    assert (room.count, room.connection_count, room.suspect_count) == (1, 2, 0)
    assert room.step(Left("tab"), now_ms=1_000) == Step((), 60_000)
    assert room.step(Left("tab 2"), now_ms=2_000).effects == (Broadcasted(here(2_000, 0)),)


def test_what_a_room_has_to_keep_of_its_suspects_is_compared_at_constant_cost() -> None:
    """
    A host asks after every step whether there is something new to keep: it is when a visitor becomes suspect, comes back, or expires, and
    what is compared does not grow with the suspects.
    """
    config = RoomConfig(push_ms=1_000, lease_ms=60_000, grace_ms=10_000, snapshot_ms=1_000_000)
    room = Room("lobby", config, now_ms=0, connection_is_lease=True)
    keys = [VisitorKey(number.to_bytes(16)) for number in range(100)]
    room.step(Joined("watching", CAT), now_ms=0)
    for key in keys:
        room.step(Joined(key, key), now_ms=0)
    room.step(TimerFired(), now_ms=1_000)

    stamps = []
    for at_ms, events in (
        (1_100, [Disconnected(key) for key in keys]),
        (1_200, [Joined("back", keys[3])]),
        (1_300, [Disconnected("back")]),
        (1_400, [PanelLeft(keys[4])]),
    ):
        for event in events:
            room.step(event, now_ms=at_ms)
        stamps.append(room.hibernation_version)
    room.step(MoodChanged("watching", "release"), now_ms=1_500)
    assert room.hibernation_version == stamps[-1]
    room.step(TimerFired(), now_ms=20_000)
    assert room.suspect_count == 0

    assert len({*stamps, room.hibernation_version}) == len(stamps) + 1
    assert not any(isinstance(part, tuple | list | dict | set) for part in stamps[0])


def test_a_broadcast_is_no_change_of_what_a_room_among_peers_has_to_keep() -> None:
    """A host keeps the last broadcast of a room with what is known of its peers, so the rest of the room is not written for that."""
    room = a_room()
    room.step(PanelReported(ANN, 0.5), now_ms=0)
    alone = room.hibernation_version
    peer = a_room()
    peer.step(Joined("tab", BOB), now_ms=0)
    room.step(PeersChanged(PeerState((peer.summary(0),))), now_ms=10_000)
    among_peers = room.hibernation_version
    assert among_peers != alone

    peer.step(Joined("tab 2", CAT), now_ms=20_000)
    step = room.step(PeersChanged(PeerState((peer.summary(20_000),))), now_ms=20_000)
    assert [type(effect) for effect in step.effects] == [Broadcasted]
    assert room.hibernation_version == among_peers
