"""Every way to run a room: the planning document's ladder, ours, and hosted services.

Each is a few formulas. What they count is counted, too, by the simulator
(``tests/support/acted_strategies.py``), and a test compares the two.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.strategies.fixed import fixed
from breathing_room.lab.cost.strategies.managed import ably, aws_api_gateway, aws_appsync, supabase
from breathing_room.lab.cost.strategies.objects import durable_object, durable_object_awake
from breathing_room.lab.cost.strategies.polled import (
    bucketed,
    client_only,
    lazy,
    naive,
    sampled,
    sampled_cached,
    write_minimal,
)
from breathing_room.lab.cost.strategies.self_hosted import self_hosted, self_hosted_ec2, self_hosted_polled
from breathing_room.lab.cost.strategy import FREE, Builder, Setting, Strategy

STRATEGIES: Final[Mapping[str, Builder]] = {
    build.name: build
    for build in (
        naive, sampled, sampled_cached, bucketed, lazy, write_minimal, client_only, durable_object, durable_object_awake, fixed,
        self_hosted, self_hosted_polled, self_hosted_ec2, aws_api_gateway, aws_appsync, ably, supabase,
    )
}  # fmt: skip
"""The builder of every strategy, by name."""

FREE_SETTINGS: Final[Mapping[str, Setting]] = {
    "panel": Decimal(150),
    "by_alarm": False,
    "snapshot_s": Decimal(300),
}
"""Defaults on the free plan: it allows 1,000 KV writes a day, and its daily limits must leave room for a
surge.
"""


def strategy(name: str, plan: str = "paid", **settings: Decimal | int | bool) -> Strategy:
    """Build a strategy with the settings that apply to it.

    On the free plan ``FREE_SETTINGS`` are the defaults: a snapshot is taken every 300 s, and ``fixed`` has a
    panel of 150 and publishes on reports.

    Args:
        name: Which.
        plan: The provider's plan.
        **settings: What to set, by the names of its knobs; unknown ones are ignored.

    Raises:
        ConfigError: There is none of that name, or a setting is out of range.
    """
    if name not in STRATEGIES:
        raise ConfigError(f"there is no strategy {name!r}; there are {', '.join(STRATEGIES)}")
    build = STRATEGIES[name]
    wanted = {**(FREE_SETTINGS if plan == FREE else {}), **settings}
    return build(**{key: value for key, value in wanted.items() if key in build.knobs})


def changed(chosen: Strategy, settings: Mapping[str, Decimal | int | bool]) -> Strategy:
    """Build a strategy again, with some settings changed."""
    return STRATEGIES[chosen.name](**{**chosen.settings, **settings})
