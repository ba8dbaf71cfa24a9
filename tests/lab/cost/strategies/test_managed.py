"""The same room, bought elsewhere."""

import pytest

from breathing_room.lab.cost.crowd import CrowdFigures, CrowdProfile
from breathing_room.lab.cost.strategies.managed import ably, aws_api_gateway, aws_appsync, supabase
from breathing_room.lab.cost.strategy import Builder


@pytest.mark.parametrize(
    ("build", "item"),
    [
        (aws_api_gateway, "websocket_messages"),
        (aws_appsync, "appsync_operations"),
        (ably, "messages"),
        (supabase, "messages"),
    ],
)
def test_every_delivery_is_billed(build: Builder, item: str) -> None:
    """A push goes to each of the people, and each delivery is an item of the bill: twice the pushes are
    nearly twice the bill.
    """
    crowd = CrowdFigures(CrowdProfile(people=10_000))
    often, seldom = (float(build(push_s=push_s).usage(crowd)[item].value) for push_s in (15, 30))
    assert seldom > 10_000 * float(crowd.month.value) / 30
    assert often / seldom == pytest.approx(2, rel=0.12)


def test_the_smaller_package_is_taken_as_long_as_it_does() -> None:
    """Up to 10,000 connections and 2,500 messages a second the standard package is enough, and the limits are
    those of the package.
    """
    for people, push_s, package in ((10_000, 30, "standard"), (10_001, 30, "pro"), (9_000, 1, "pro")):
        crowd, made = CrowdFigures(CrowdProfile(people=people)), ably(push_s=push_s)
        assert made.plan_of(crowd, "paid") == package
    crowd, made = CrowdFigures(CrowdProfile()), ably()
    assert made.plan_of(crowd, "pro") == "pro"
    keys = {plan: [key for key, *_ in made.loads(crowd, made.usage(crowd), plan)] for plan in made.plans}
    assert keys == {"standard": ["connections", "messages"], "pro": ["connections_pro", "messages_pro"]}


def test_the_last_minute_of_a_connection_counts_whole() -> None:
    """Minutes of connections are those of the people, and half a minute more for each visit."""
    crowd = CrowdFigures(CrowdProfile(people=600))
    minutes = aws_appsync().usage(crowd)["appsync_minutes"].value
    assert minutes == 600 * crowd.month.value / 60 + crowd.joins.value / 2
