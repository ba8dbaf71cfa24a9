"""The policy that writes batches."""

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.write_policies.bucketed import BucketedPolicy
from breathing_room.core.write_policies.records import Writes
from core.write_policies.reporting import ANN, BOB, LEASE_MS, PREFIX, START_MS, report, said


def test_bucketed_writes_one_batch() -> None:
    """The reports within ten seconds of the first are one value with each visitor once, under a new key."""
    policy = BucketedPolicy(PREFIX, lease_ms=LEASE_MS)
    assert report(policy, 500, "join", "release") == Writes((), START_MS + 10_500)
    report(policy, 900, "join", visitor=BOB)
    report(policy, 9_000, "heartbeat")
    assert {record.visitor for record in policy.unwritten()} == {ANN, BOB}
    first = policy.on_timer(now_ms=START_MS + 10_500)
    assert said(first) == [[(9_000, "release", True), (900, UNSPOKEN, True)]]
    assert (policy.unwritten(), first.next_timer_ms) == ([], None)
    report(policy, 11_000, "leave")
    second = policy.flush(now_ms=START_MS + 11_001)
    assert said(second) == [[(11_000, None, False)]]
    assert first.writes[0].key != second.writes[0].key
