"""The settings of writers and their controller."""

from typing import Any

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ConfigError
from breathing_room.core.write_policies.bucketed import BucketedPolicy
from breathing_room.core.write_policies.every import EveryPolicy
from breathing_room.core.write_policies.lazy import LazyPolicy
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.records import RoomControl
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig

NOW_MS = 1_767_268_800_000


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"policy": LazyPolicy.name}, "policy must be one of bucketed, every"),
        ({"bucket_ms": 99}, "bucket_ms"),
        ({"propagation_ms": 3_600_001}, "propagation_ms"),
        ({"reconcile_ms": 999}, "reconcile_ms"),
    ],
)
def test_a_setting_out_of_its_range_is_named(wrong: dict[str, Any], said: str) -> None:
    """A policy that needs a memory and times out of their range are refused by name."""
    with pytest.raises(ConfigError, match=said):
        StoreModeConfig(**wrong)


def test_each_writer_has_keys_of_its_own() -> None:
    """The policy of a writer writes under its room and its name, which no other writer has, and keeps reports
    for a lease and two jobs.
    """
    config = StoreModeConfig(
        policy=EveryPolicy.name,
        reconcile_ms=30_000,
        server=ServerConfig(room=RoomConfig(heartbeat_ms=60_000)),
    )
    one, other = (config.make_policy("lobby", name) for name in ("a", "b"))
    assert isinstance(one, EveryPolicy)
    assert one.prefix == "reports/lobby/a/" != other.prefix
    assert one.retention_ms == 60_000


def test_only_a_bucket_delays_a_report() -> None:
    """A batch is as late as it is long; reports that are written one by one are not late."""
    bucketed = StoreModeConfig(policy=BucketedPolicy.name, bucket_ms=2_000)
    assert bucketed.heartbeat_lag_ms == 2_000
    assert StoreModeConfig(policy=EveryPolicy.name, bucket_ms=2_000).heartbeat_lag_ms == 0
    policy = bucketed.make_policy("lobby", "a")
    assert isinstance(policy, BucketedPolicy)
    assert policy.bucket_ms == 2_000


def test_a_rate_continues_from_the_control() -> None:
    """The rate is the controller's, and its lowest still counts until
    it has spread to clients and writers.
    """
    config = StoreModeConfig(
        propagation_ms=30_000, server=ServerConfig(room=RoomConfig(rate_propagation_ms=10_000))
    )
    control = RoomControl(rates=((0, 0.5), (NOW_MS + 5_000, 0.25)), changed_at_ms=NOW_MS, since_ms=0)
    rate = config.make_rate("lobby", control, NOW_MS)
    assert rate.current == 0.5
    assert rate.theta(NOW_MS) == 0.25
    assert rate.theta(NOW_MS + 5_001) == 0.5
