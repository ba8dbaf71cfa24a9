"""The room after a restart and after a sleep, as a ledger: an event, then the whole step that it answers."""

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

# --- A restart ---------------------------------------------------------------------------------------------


CATS = {"gratitude": 1}
"""The mood of Cat, who is suspect after a restart."""


def a_full_room() -> Room:
    """Return a room with Ann connected in a mood, Bob disconnected and Cat on the panel; 5 s have passed."""
    room = a_room()
    room.step(Joined("ann's", ANN, "release"), now_ms=0)
    room.step(Joined("bob's", BOB), now_ms=0)
    room.step(PanelReported(CAT, 0.5, "gratitude"), now_ms=0)
    room.step(Disconnected("bob's"), now_ms=5_000)
    return room


def test_a_restart_is_not_an_exodus() -> None:
    """Restored visitors count in high only, until they join or report again."""
    room = restart(a_full_room(), now_ms=8_000)

    assert room.presence(now_ms=8_000) == here(8_000, 3, suspect=3, stale=True, release=1, gratitude=1)
    assert room.step(TimerFired(), now_ms=8_000) == Step((), next_timer_ms=20_000)
    assert room.step(Joined("ann's 2", ANN), now_ms=9_000) == Step(
        (Broadcasted(here(9_000, 3, suspect=2, stale=True, suspect_moods=CATS, release=1, gratitude=1)),),
        20_000,
    )
    assert room.step(TimerFired(), now_ms=20_000) == Step(
        (Broadcasted(here(20_000, 2, suspect=1, stale=True, suspect_moods=CATS, release=1, gratitude=1)),),
        60_000,
    )
    assert room.step(PanelReported(CAT, 0.5), now_ms=30_000) == Step(
        (Broadcasted(here(30_000, 2, release=1, gratitude=1)),), 60_000
    )


def test_a_restored_room_is_counted_again_after_one_lease() -> None:
    """Without a join or report, restored members expire within lease_ms and restored seats within
    heartbeat_lease_ms.
    """
    room = restart(a_full_room(), now_ms=8_000)

    assert room.step(TimerFired(), now_ms=60_000).effects == (
        Broadcasted(here(60_000, 1, suspect=1, stale=True, gratitude=1)),
    )
    assert room.step(TimerFired(), now_ms=150_000) == Step(
        (Broadcasted(here(150_000, 0)),), 8_000 + SAVE_AT_MS
    )


def test_newcomers_after_a_restart_are_counted_beside_the_restored() -> None:
    """A visitor who was not there before the restart is in low and in high."""
    room = restart(a_full_room(), now_ms=8_000)

    step = room.step(Joined("dan's", visitor("dan")), now_ms=9_000)

    assert step.effects == (
        Broadcasted(
            here(9_000, 4, suspect=3, stale=True, suspect_moods=CATS | {"release": 1}, release=1, gratitude=1)
        ),
    )


def test_a_restored_visitor_can_leave() -> None:
    """A leave over HTTP removes a visitor who is suspect since the restart."""
    room = restart(a_full_room(), now_ms=8_000)

    step = room.step(PanelLeft(CAT), now_ms=9_000)

    assert step.effects == (Broadcasted(here(9_000, 2, suspect=2, stale=True, release=1)),)


def test_leases_that_end_while_the_server_is_down_are_over() -> None:
    """A lease that expired while the server was down is not restored."""
    room = restart(a_full_room(), now_ms=20_000)

    assert not room.holds(BOB)
    assert room.presence(now_ms=20_000) == here(20_000, 2, suspect=2, stale=True, release=1, gratitude=1)


def test_a_restart_after_every_lease_is_unknown_and_not_empty() -> None:
    """If every lease expired while the server was down, the room is unknown for one lease, not 0."""
    room = restart(a_full_room(), now_ms=150_000)

    assert room.step(TimerFired(), now_ms=150_000) == Step((), next_timer_ms=210_000)
    assert room.presence(now_ms=150_000) == here(150_000, 0, unknown=True)
    assert room.step(Joined("ann's", ANN), now_ms=151_000).effects == (
        Broadcasted(here(151_000, 1, unknown=True)),
    )


def test_an_empty_room_is_restored_as_empty() -> None:
    """A room that was empty is restored as empty, at any later time."""
    empty = a_room()
    empty.step(Joined("tab", ANN), now_ms=0)
    empty.step(Left("tab"), now_ms=2_000)

    assert restart(empty, now_ms=2_000).presence(now_ms=2_000) == here(2_000, 0)
    assert restart(empty, now_ms=9_999_999).presence(now_ms=9_999_999) == here(9_999_999, 0)


def test_an_unknown_room_is_unknown_again_after_a_restart() -> None:
    """A room that was unknown at the crash is unknown for one lease from the restart."""
    room = a_room(unknown=True)
    room.step(Joined("tab", ANN), now_ms=30_000)
    room = restart(room, now_ms=40_000)

    assert room.presence(now_ms=40_000) == here(40_000, 1, suspect=1, unknown=True)
    assert room.step(TimerFired(), now_ms=40_000) == Step((), next_timer_ms=90_000)
    assert room.step(HeartbeatReceived("tab"), now_ms=50_000) == Step((), next_timer_ms=90_000)
    room.step(Joined("tab", ANN), now_ms=50_000)
    assert room.step(TimerFired(), now_ms=100_000).effects == (Broadcasted(here(100_000, 1)),)


def test_the_unknown_lease_does_not_run_while_the_server_is_down() -> None:
    """A room that was unknown when it went down is unknown when it comes back, however late."""
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
    """A clock that stepped back over a restart takes no time off a lease."""
    room = restart(a_full_room(), now_ms=1_000)

    assert room.step(TimerFired(), now_ms=1_000) == Step((), next_timer_ms=16_000)
    assert room.count == 3


def test_a_restored_lease_is_no_longer_than_leases_are_now() -> None:
    """A restored lease is cut to the length that leases have now, after a change of config or a damaged
    snapshot.
    """
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
    """A restart does not move the label."""
    room = a_room()
    for index in range(41):
        room.step(Joined(index, visitor(f"{index}")), now_ms=0)

    room.step(TimerFired(), now_ms=1_000)
    assert room.presence(now_ms=1_000).label == "41"

    room = restart(room, now_ms=1_000)

    assert room.presence(now_ms=1_000).label == "about 40"  # 0 to 41: in steps of 20


# --- Hibernation ------------------------------------------------------------------------------------------


def test_a_connection_lost_in_hibernation_makes_its_visitor_suspect() -> None:
    """A member without a connection on resuming is suspect."""
    room = a_room()
    room.step(Joined("ann's", ANN), now_ms=0)
    room.step(Joined("bob's", BOB), now_ms=0)
    room.step(TimerFired(), now_ms=1_000)

    room = Room.resume(room.snapshot(), CONFIG, {"ann's": ANN})

    assert room.step(TimerFired(), now_ms=5_000) == Step((Broadcasted(here(5_000, 2, suspect=1)),), 16_000)
    assert room.step(TimerFired(), now_ms=16_000).effects == (Broadcasted(here(16_000, 1)),)


@pytest.mark.parametrize("hibernated_at_ms", [100, 200])
def test_hibernation_keeps_a_reply_ahead_of_the_broadcast(hibernated_at_ms: int) -> None:
    """A reply ahead of the broadcast is followed by one, though the room hibernated in between."""
    room = a_room()
    room.step(Joined("ann's", ANN), now_ms=0)
    room.step(Joined("bob's", BOB), now_ms=100)
    if hibernated_at_ms == 100:
        room = Room.resume(room.snapshot(), CONFIG, {"ann's": ANN, "bob's": BOB})
    assert room.step(Left("ann's"), now_ms=200) == Step((), next_timer_ms=1_000)
    if hibernated_at_ms == 200:
        room = Room.resume(room.snapshot(), CONFIG, {"bob's": BOB})

    assert room.step(TimerFired(), now_ms=1_000).effects == (Broadcasted(here(1_000, 1)),)


def test_a_change_on_resuming_is_saved() -> None:
    """A visitor who is suspect since resuming is in the next snapshot."""
    room = a_room(replace(CONFIG, snapshot_ms=10_000))
    room.step(Joined("tab", ANN), now_ms=0)
    assert SaveSnapshot() in room.step(TimerFired(), now_ms=10_000).effects

    room = Room.resume(room.snapshot(), room.config, {})

    assert room.step(TimerFired(), now_ms=20_000).effects == (
        Broadcasted(here(20_000, 1, suspect=1)),
        SaveSnapshot(),
    )


def test_a_connection_without_a_lease_is_left_out_on_resuming() -> None:
    """A connection whose visitor has no lease is left out on resuming."""
    room = a_room()
    room.step(Joined("ann's", ANN), now_ms=0)

    room = Room.resume(room.snapshot(), CONFIG, {"ann's": ANN, "bob's": BOB})

    assert room.connection_count == 1
    assert room.step(HeartbeatReceived("bob's"), now_ms=0) == Step((), 60_000)


def test_several_tabs_hibernate_as_one_visitor() -> None:
    """All connections of a visitor are back after resuming."""
    room = a_room()
    room.step(Joined("tab", ANN), now_ms=0)
    room.step(Joined("tab 2", ANN), now_ms=0)

    room = Room.resume(room.snapshot(), CONFIG, {"tab": ANN, "tab 2": ANN})

    assert (room.count, room.connection_count, room.suspect_count) == (1, 2, 0)
    assert room.step(Left("tab"), now_ms=1_000) == Step((), 60_000)
    assert room.step(Left("tab 2"), now_ms=2_000).effects == (Broadcasted(here(2_000, 0)),)


def test_the_hibernation_version_of_suspects_has_constant_size() -> None:
    """The hibernation version changes when a visitor becomes suspect, reconnects or expires, and does not
    grow with the suspects.
    """
    config = RoomConfig(push_ms=1_000, lease_ms=60_000, grace_ms=10_000, snapshot_ms=1_000_000)
    room = Room("lobby", config, now_ms=0, connection_is_lease=True)
    keys = [VisitorKey(number.to_bytes(16)) for number in range(100)]
    room.step(Joined("watching", CAT), now_ms=0)
    for key in keys:
        room.step(Joined(key, key), now_ms=0)
    room.step(TimerFired(), now_ms=1_000)

    versions = []
    for at_ms, events in (
        (1_100, [Disconnected(key) for key in keys]),
        (1_200, [Joined("back", keys[3])]),
        (1_300, [Disconnected("back")]),
        (1_400, [PanelLeft(keys[4])]),
    ):
        for event in events:
            room.step(event, now_ms=at_ms)
        versions.append(room.hibernation_version)
    room.step(MoodChanged("watching", "release"), now_ms=1_500)
    assert room.hibernation_version == versions[-1]
    room.step(TimerFired(), now_ms=20_000)
    assert room.suspect_count == 0

    assert len({*versions, room.hibernation_version}) == len(versions) + 1
    assert not any(isinstance(part, tuple | list | dict | set) for part in versions[0])


def test_a_broadcast_among_peers_does_not_change_the_hibernation_version() -> None:
    """A broadcast does not change the hibernation version of a room among peers: the host keeps it with their
    state.
    """
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
