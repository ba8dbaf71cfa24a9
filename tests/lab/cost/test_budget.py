"""The most accurate way to run a room for a sum of money."""

from decimal import Decimal

from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.budget import HEADROOM, choices, settings_of
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.strategies.fixed import fixed
from breathing_room.lab.cost.strategies.objects import durable_object
from breathing_room.lab.cost.strategies.polled import lazy
from breathing_room.lab.cost.strategies.self_hosted import self_hosted, self_hosted_polled
from breathing_room.lab.cost.strategy import FREE

BOOK = read_book()
CROWD = CrowdProfile(people=10_000)


def test_nothing_is_over_the_budget_or_over_a_limit() -> None:
    """Every choice costs at most the sum and breaks no limit; the most accurate comes first, and of equals
    the cheapest.
    """
    found = choices(
        CROWD, BOOK, Decimal(20), names=("naive", "lazy", "durable-object", "fixed", "client-only")
    )
    assert found
    assert all(choice.bill.total_usd <= 20 and not choice.bill.broken for choice in found)
    order = [(round(choice.bill.accuracy.rank, 4), choice.bill.total_usd) for choice in found]
    assert order == sorted(order)
    assert "client-only" not in {choice.bill.strategy.name for choice in found}


def test_a_panel_is_as_large_as_the_sum_allows() -> None:
    """With more money the panel grows, to all visitors at most, and one seat more than chosen would cost too
    much.
    """
    [(free, little), (_, much)] = [
        [
            choice.bill.strategy.settings["panel"]
            for choice in choices(CROWD, BOOK, Decimal(usd), names=("fixed",))
        ][::-1]
        for usd in (9, 1_000)
    ]
    assert 1 <= free < little < much == CROWD.people


def test_a_free_plan_is_not_filled_to_the_brim() -> None:
    """On a free plan a fifth of each daily allowance is left for a surge, which would stop the room until
    midnight.
    """
    [free] = [
        choice.bill
        for choice in choices(CROWD, BOOK, Decimal(0), names=("fixed",))
        if choice.bill.plan == FREE
    ]
    daily = [load for load in free.loads if load.title.endswith("a day") and load.unit != "GB-s"]
    assert daily
    assert all(load.load.value <= load.most * HEADROOM for load in daily)


def test_without_money_only_what_is_free_is_left() -> None:
    """A machine costs money: with a budget of nothing it is no choice."""
    assert choices(CROWD, BOOK, Decimal(0), names=("self-hosted", "naive")) == []


def test_settings_are_those_that_the_server_takes() -> None:
    """What a choice says of its settings, a server accepts as it stands; ways that the server does not have
    say nothing.
    """
    for chosen in (fixed(panel=123), self_hosted_polled(), self_hosted(), durable_object()):
        settings = settings_of(chosen)
        assert settings is not None
        ServerConfig.load(flags=dict(settings), environ={})
    polled = settings_of(fixed(panel=123, publish_s=Decimal("2.5")))
    assert polled is not None
    assert (polled["panel_size"], polled["publish_ms"], polled["mode"]) == (123, 2_500, "poll")
    assert settings_of(lazy()) is None
