"""What all write policies share: the rest of each key, and a clock that never goes back."""

from collections.abc import Callable

import pytest

from breathing_room.core.errors import ConfigError
from breathing_room.core.write_policies.lazy import LazyPolicy
from breathing_room.core.write_policies.on_change import OnChangePolicy
from breathing_room.core.write_policies.policy import WritePolicy
from breathing_room.core.write_policies.records import Delete, Writes
from breathing_room.core.write_policies.snapshot import SnapshotPolicy
from core.write_policies.reporting import ANN, LEASE_MS, PREFIX, START_MS, report, said


def test_an_order_too_soon_is_merged() -> None:
    """Of three changes within a second the first is written, and the last a second later."""
    policy = OnChangePolicy(PREFIX, lease_ms=LEASE_MS)
    assert said(report(policy, 0, "join", "release")) == [[(0, "release", True)]]
    assert report(policy, 300, "mood", "gratitude") == Writes((), START_MS + 1_000)
    assert report(policy, 600, "leave").writes == ()
    assert policy.on_timer(now_ms=START_MS + 999).writes == ()
    assert policy.on_timer(now_ms=START_MS + 1_000).writes == (Delete(f"{PREFIX}{ANN.hex()}"),)


def test_time_that_runs_backwards_stands_still() -> None:
    """A clock that steps back neither breaks a key's rest nor makes a record older than the last."""
    policy = OnChangePolicy(PREFIX, lease_ms=LEASE_MS)
    report(policy, 5_000, "join", "release")
    assert report(policy, 0, "mood", "gratitude") == Writes((), START_MS + 6_000)
    assert said(policy.on_timer(now_ms=START_MS + 6_000)) == [[(5_000, "gratitude", True)]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: LazyPolicy(PREFIX, lease_ms=LEASE_MS, window_ms=4_999),
        lambda: OnChangePolicy(PREFIX, lease_ms=LEASE_MS, renew_ms=999),
        lambda: SnapshotPolicy(PREFIX, lease_ms=LEASE_MS, snapshot_ms=0),
    ],
)
def test_a_policy_faster_than_its_keys_is_rejected(make: Callable[[], WritePolicy]) -> None:
    """Times that would write a key more than once a second are a ConfigError."""
    with pytest.raises(ConfigError, match="must be at least"):
        make()
