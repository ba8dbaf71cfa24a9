"""The policy that writes the whole room as one value."""

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.write_policies.records import Delete, Record, Writes
from breathing_room.core.write_policies.snapshot import SnapshotPolicy
from core.write_policies.reporting import ANN, BOB, LEASE_MS, PREFIX, START_MS, report, said


def test_snapshot_writes_all_seats_into_one_value() -> None:
    """The first report is written at once, the next when ten seconds have passed, and an empty room is
    deleted.
    """
    policy = SnapshotPolicy(PREFIX, lease_ms=LEASE_MS)
    assert said(report(policy, 0, "join", "release")) == [[(0, "release", True)]]
    assert report(policy, 400, "join", visitor=BOB) == Writes((), START_MS + 10_000)
    assert said(policy.on_timer(now_ms=START_MS + 10_000)) == [[(0, "release", True), (400, UNSPOKEN, True)]]
    report(policy, 10_100, "leave")
    report(policy, 10_200, "leave", visitor=BOB)
    assert policy.on_timer(now_ms=START_MS + 20_000).writes == (Delete(f"{PREFIX}snapshot"),)


def test_a_snapshot_goes_on_from_the_last() -> None:
    """A policy that starts with the old seats writes them with the new ones."""
    old = Record(ANN, 0.25, "release", START_MS)
    policy = SnapshotPolicy(PREFIX, lease_ms=LEASE_MS, seats={ANN: old})
    assert said(report(policy, 5_000, "join", "gratitude", visitor=BOB)) == [
        [(0, "release", True), (5_000, "gratitude", True)]
    ]
