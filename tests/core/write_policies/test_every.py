"""The policy that writes each report."""

from breathing_room.core.write_policies.every import EveryPolicy
from core.write_policies.reporting import LEASE_MS, PREFIX, report, said


def test_every_writes_each_report_to_a_key_of_its_own() -> None:
    """Three reports of one millisecond, a leave among them, are three writes."""
    policy = EveryPolicy(PREFIX, lease_ms=LEASE_MS)
    answers = [report(policy, 0, kind, "release") for kind in ("join", "mood", "leave")]
    assert [said(answer) for answer in answers] == [
        [[(0, "release", True)]], [[(0, "release", True)]], [[(0, "release", False)]],
    ]  # fmt: skip
    assert len({answer.writes[0].key for answer in answers}) == 3
    assert [answer.next_timer_ms for answer in answers] == [None, None, None]
