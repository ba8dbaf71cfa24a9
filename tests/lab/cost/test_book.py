"""The price book: what it holds, and what it refuses."""

import tomllib
from datetime import date, timedelta
from decimal import Decimal
from importlib import resources
from pathlib import Path

import pytest

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.book import (
    BELIEVED,
    OLD_DAYS,
    PRO_RATA,
    UP,
    Book,
    Source,
    old,
    parse_provider,
    read_book,
)
from breathing_room.lab.cost.formula import figure

BOOK = read_book()

A_FILE = """
title = "Acme"
currency = "USD"
[sources.list]
url = "https://acme.example/prices"
checked = 2026-11-22
grade = "V"
[plans.basic]
price = "2"
source = "list"
[items.calls]
title = "Calls"
unit = "calls"
price = "0.50"
per = "1_000"
included = { basic = "100" }
rounding = ["up", "pro rata"]
source = "list"
[limits.calls]
title = "calls"
value = "10"
unit = "a second"
source = "list"
"""


@pytest.mark.parametrize("name", list(BOOK.providers))
def test_every_price_has_a_source_a_date_and_a_grade(name: str) -> None:
    """The files that are shipped are whole, and no price in them is a binary fraction."""
    provider = BOOK.provider(name)
    assert provider.items
    items, limits, plans = provider.items.values(), provider.limits.values(), provider.plans.values()
    for source in (each.source for group in (items, limits, plans) for each in group):
        assert source.url.startswith("https://")
        assert source.checked >= date(2025, 1, 1)
    assert all(isinstance(item.price, Decimal) for item in provider.items.values())


@pytest.mark.parametrize(
    ("key", "price", "per", "included"),
    [
        ("cloudflare.workers_requests", "0.30", 10**6, 10**7), ("cloudflare.workers_cpu_ms", "0.02", 10**6, 3 * 10**7),
        ("cloudflare.kv_reads", "0.50", 10**6, 10**7), ("cloudflare.kv_writes", "5.00", 10**6, 10**6),
        ("cloudflare.object_requests", "0.15", 10**6, 10**6), ("cloudflare.object_gb_s", "12.50", 10**6, 400_000),
        ("cloudflare.rows_written", "1.00", 10**6, 5 * 10**7), ("cloudflare.r2_writes", "4.50", 10**6, 10**6),
        ("cloudflare.r2_reads", "0.36", 10**6, 10**7),
    ],
)  # fmt: skip
def test_prices_are_those_of_the_vendor(key: str, price: str, per: int, included: int) -> None:
    """A price that is changed in a file has to be changed here, too, by a person who has seen the source."""
    item = BOOK.item(key)
    assert [item.price, item.per, item.included["paid"]] == [Decimal(price), Decimal(per), Decimal(included)]


def test_rounding_follows_the_believed_rule_unless_another_is_asked_for() -> None:
    """Where sources disagree both can be computed; where they agree there is nothing to choose."""
    used = figure(1_500_000)
    requests = BOOK.item("cloudflare.object_requests")
    assert requests.charge(used, "paid", BELIEVED).value == Decimal("0.15")
    assert requests.charge(used, "paid", PRO_RATA).value == Decimal("0.075")
    objects = BOOK.item("cloudflare.r2_writes")
    assert objects.charge(used, "paid", PRO_RATA).value == Decimal("4.50")
    worker = BOOK.item("cloudflare.workers_requests")
    assert worker.charge(figure(10_000_001), "paid", BELIEVED).value == Decimal("0.0000003")
    assert worker.charge(figure(10_000_001), "paid", UP).value == Decimal("0.30")


def test_nothing_is_charged_within_what_is_included() -> None:
    """The last included unit is free, and the next one is not."""
    item = BOOK.item("cloudflare.object_requests")
    assert item.charge(figure(1_000_000), "paid").value == 0
    assert item.charge(figure(1_000_001), "paid").value == Decimal("0.15")


def test_a_lower_price_holds_from_its_quantity_on() -> None:
    """A billion messages at a dollar a million, the next billion at 80 cents."""
    item = BOOK.item("aws.websocket_messages")
    assert item.charge(figure(10**9), "paid").value == 1_000
    assert item.charge(figure(2 * 10**9), "paid").value == 1_800


def test_adding_a_provider_is_adding_a_file(tmp_path: Path) -> None:
    """A file in a folder of one's own is a provider beside the others, or in place of one."""
    (tmp_path / "acme.toml").write_text(A_FILE)
    book = read_book(tmp_path)
    assert set(book.providers) == {*BOOK.providers, "acme"}
    assert book.item("acme.calls").charge(figure(1_101), "basic").value == Decimal("1.00")
    (tmp_path / "hetzner.toml").write_text(A_FILE)
    assert read_book(tmp_path).provider("hetzner").title == "Acme"


@pytest.mark.parametrize(
    ("former", "instead", "said"),
    [
        ('source = "list"\n[limits', "[limits", "items.calls.source is missing"),
        ('source = "list"\n[limits', 'source = "rumour"\n[limits', "items.calls.source names 'rumour'"),
        ('price = "0.50"', "price = 0.50", 'items.calls.price must be a number as text, such as "0.30"'),
        ('price = "0.50"', 'price = "-1"', "items.calls.price must be a number as text"),
        ('price = "0.50"', 'price = "NaN"', "items.calls.price must be a number as text"),
        ('unit = "calls"\n', "", "items.calls.unit is missing"),
        ('grade = "V"', 'grade = "A"', "sources.list.grade must be one of V, T, M"),
        ("checked = 2026-11-22", 'checked = "yesterday"', "sources.list.checked must be a date"),
        ("checked = 2026-11-22\n", "", "sources.list.checked is missing"),
        ("https://acme", "acme", "sources.list.url must be an https address"),
        ('"up", "pro rata"', '"down"', "items.calls.rounding must be a list"),
        ('rounding = ["up", "pro rata"]', 'rounding = "up"', "items.calls.rounding must be a list"),
        ("basic = ", "gold = ", "items.calls.included.gold is not known"),
        ('title = "Calls"', 'title = "Calls"\ncolor = "red"', "items.calls.color is not known"),
        ('title = "Acme"', "", "title is missing"),
        ('currency = "USD"', 'currency = "EUR"', "usd is missing"),
        ("[items.calls]", "[items]", "must be a table"),
        ('title = "Acme"', 'title = "Acme', "is not valid TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_and_the_place_is_named(
    tmp_path: Path, former: str, instead: str, said: str
) -> None:
    """The message names the file and the key, and no price is read from it."""
    assert former in A_FILE
    (tmp_path / "acme.toml").write_text(A_FILE.replace(former, instead, 1))
    with pytest.raises(ConfigError) as refusal:
        read_book(tmp_path)
    assert said in str(refusal.value)
    assert "acme.toml" in str(refusal.value)


def test_a_key_that_does_not_exist_is_named() -> None:
    """A strategy that asks for what the book does not have says so, and what there is."""
    for ask in (
        lambda: BOOK.item("cloudflare.tea"),
        lambda: BOOK.limit("aws.tea"),
        lambda: BOOK.provider("tea"),
    ):
        with pytest.raises(ConfigError, match="tea"):
            ask()
    with pytest.raises(ConfigError, match="no folder"):
        read_book(Path("/nonexistent"))


def test_what_was_checked_long_ago_is_said() -> None:
    """After 180 days a source is old, and not a day before."""
    source = Source("list", "https://acme.example", date(2026, 1, 1), "V")
    assert old([source], source.checked + timedelta(days=OLD_DAYS)) == []
    (said,) = old([source, source], source.checked + timedelta(days=OLD_DAYS + 1))
    assert "181 days ago" in said
    assert source.url in said


def test_both_rules_are_listed_where_the_sources_disagree() -> None:
    """
    Durable Objects round up since August 2026; the page of June was pro rata, and a page that is wrong may be
    right again.
    """
    table = tomllib.loads(
        (resources.files("breathing_room.lab.cost") / "prices" / "cloudflare.toml").read_text()
    )
    book = Book({"cloudflare": parse_provider("cloudflare", table)})
    assert book.item("cloudflare.object_gb_s").rounding == (UP, PRO_RATA)
    assert book.item("cloudflare.workers_requests").rounding == (PRO_RATA, UP)
    assert book.item("cloudflare.r2_writes").rounding == (UP,)
