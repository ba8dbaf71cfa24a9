"""The policy that writes changes."""

from breathing_room.core.write_policies.on_change import OnChangePolicy
from breathing_room.core.write_policies.records import Delete
from core.write_policies.reporting import ANN, BOB, LEASE_MS, PREFIX, START_MS, report, said


def test_on_change_writes_changes_and_renews_rarely() -> None:
    """A heartbeat is written only if the last write is old; an expired lease and a leave delete the key."""
    policy = OnChangePolicy(PREFIX, lease_ms=LEASE_MS, renew_ms=200_000)
    assert said(report(policy, 0, "join", "release")) == [[(0, "release", True)]]
    assert said(report(policy, 100_000, "heartbeat")) == []
    assert said(report(policy, 120_000, "mood", "release")) == []
    assert said(report(policy, 130_000, "mood", "gratitude")) == [[(130_000, "gratitude", True)]]
    assert said(report(policy, 250_000, "heartbeat")) == []
    assert said(report(policy, 330_000, "heartbeat")) == [[(330_000, "gratitude", True)]]
    joined = report(policy, 400_000, "join", "release", visitor=BOB)
    assert joined.next_timer_ms == START_MS + 330_000 + LEASE_MS
    assert policy.on_timer(now_ms=START_MS + 330_000 + LEASE_MS).writes == (Delete(f"{PREFIX}{ANN.hex()}"),)
    assert report(policy, 490_000, "leave", visitor=BOB).writes == (Delete(f"{PREFIX}{BOB.hex()}"),)
