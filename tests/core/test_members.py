"""The leases of connections: how they are renewed, become suspect, and end."""

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ClientError, HostError
from breathing_room.core.leases import RESTORED, SUSPECT
from breathing_room.core.members import Member, Members
from core.playing import ANN, BOB, CAT

CONFIG = RoomConfig(
    moods=("calm", "glad"), lease_ms=1_000, grace_ms=300, heartbeat_ms=800, connections_per_visitor_max=2
)
CALM, GLAD, UNSPOKEN = 0, 1, 2


def of(members: Members, visitor: object) -> Member:
    found = members.get(visitor)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_sums_follow_every_change() -> None:
    """Members and suspects by mood are right after a join, a change of mood, a disconnect, a return and a
    removal.
    """
    members = Members(CONFIG)
    members.join("a", ANN, CALM, now_ms=0)
    members.join("b", BOB, None, now_ms=0)
    assert (members.tally, members.suspect_tally) == ([1, 0, 1], [0, 0, 0])

    ann = members.disconnect("a")
    assert ann is not None
    members.mark_suspect(ann, now_ms=100)
    assert (members.tally, members.suspect_tally, [*members.suspects]) == ([1, 0, 1], [1, 0, 0], [ANN])
    members.set_mood(ann, GLAD)
    assert (members.tally, members.suspect_tally) == ([0, 1, 1], [0, 1, 0])
    members.join("a2", ANN, None, now_ms=200)
    assert (members.tally, members.suspect_tally, [*members.suspects]) == ([0, 1, 1], [0, 0, 0], [])
    members.remove(of(members, BOB))
    assert (members.tally, len(members), members.by_connection("b")) == ([0, 1, 0], 1, None)


def test_a_renewal_moves_the_end_of_a_lease() -> None:
    """A lease ends ``lease_ms`` after the last renewal, and its connections are returned to be closed."""
    members = Members(CONFIG)
    members.join("a", ANN, None, now_ms=0)
    members.join("a2", ANN, None, now_ms=0)
    members.renew(of(members, ANN), now_ms=600)

    assert members.next_at_ms == 1_000
    assert members.expire(1_000) == []
    assert members.next_at_ms == 1_600
    assert members.expire(1_600) == ["a", "a2"]
    assert ANN not in members
    assert members.connection_count == 0


def test_a_disconnect_leaves_a_suspect_for_the_grace() -> None:
    """Only the last connection of a visitor leaves a suspect, whose lease is over after ``grace_ms``."""
    members = Members(CONFIG)
    members.join("a", ANN, None, now_ms=0)
    members.join("a2", ANN, None, now_ms=0)
    assert members.disconnect("a") is None
    ann = members.disconnect("a2")
    assert ann is not None
    members.mark_suspect(ann, now_ms=100)

    assert members.expire(399) == []
    assert ANN in members
    assert members.expire(400) == []
    assert ANN not in members


def test_a_connection_that_is_the_lease_never_expires() -> None:
    """Where the host reports every disconnect, time ends only the leases of suspects."""
    members = Members(CONFIG, connection_is_lease=True)
    members.join("a", ANN, None, now_ms=0)
    assert members.next_at_ms is None
    assert members.leases(86_400_000).left_ms == (CONFIG.lease_ms,)

    ann = members.disconnect("a")
    assert ann is not None
    members.mark_suspect(ann, now_ms=86_400_000)
    assert members.next_at_ms == 86_400_000 + CONFIG.grace_ms


def test_a_join_is_checked_before_anything_is_done() -> None:
    """A connection joins once, a visitor has at most so many, and one
    whose lease is over counts as closed.
    """
    members = Members(CONFIG)
    members.join("a", ANN, None, now_ms=0)
    members.join("a2", ANN, None, now_ms=0)

    with pytest.raises(HostError):
        members.check_join("a", BOB, now_ms=0)
    with pytest.raises(ClientError):
        members.check_join("a3", ANN, now_ms=999)
    members.check_join("a3", ANN, now_ms=1_000)
    members.check_join("b", BOB, now_ms=0)


def test_changes_are_counted() -> None:
    """A change of the sums raises ``changes``; a renewal alone raises only what a snapshot would hold."""
    members = Members(CONFIG)
    members.join("a", ANN, CALM, now_ms=0)
    before = members.changes, members.unsaved_changes
    members.renew(of(members, ANN), now_ms=10)
    assert (members.changes, members.unsaved_changes) == (before[0], before[1] + 1)
    members.set_mood(of(members, ANN), CALM)
    assert members.changes == before[0]
    members.set_mood(of(members, ANN), GLAD)
    assert members.changes > before[0]


def test_members_of_a_snapshot_get_the_connections_that_stayed_open() -> None:
    """After hibernation an admitted member has its connection again or is suspect; a restored one stays
    restored.
    """
    members = Members(CONFIG)
    members.admit(ANN, CALM, 0, expires_at_ms=900)
    members.admit(BOB, GLAD, 0, expires_at_ms=900)
    members.admit(CAT, GLAD, SUSPECT | RESTORED, expires_at_ms=900)
    members.reconnect("a", ANN)
    members.reconnect("x", b"unknown".ljust(16, b"."))  # type: ignore[arg-type]
    members.mark_unconnected_suspect(now_ms=100)

    assert (members.connection_count, [*members.suspects], members.restored_count) == (1, [CAT, BOB], 1)
    assert members.leases(100, connected=False).keys == CAT + BOB
    assert members.leases(100).left_ms == (800, 300, 800)
