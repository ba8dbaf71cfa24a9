"""The vendors' own examples, and the price list's derived table, to the cent.

Sources: https://developers.cloudflare.com/durable-objects/platform/pricing/ (examples 1 to 4, read at
cloudflare-docs @04a87f48) and https://developers.cloudflare.com/workers/platform/pricing/ (examples 1, 3 and
4 read at cloudflare-docs @07acbb66; 5 on the page of 2026-11).
"""

from decimal import Decimal

import pytest

from breathing_room.lab.cost.book import BELIEVED, PRO_RATA, read_book
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.formula import figure
from breathing_room.lab.cost.model import Bill, bill, cents
from breathing_room.lab.cost.strategies.objects import durable_object
from breathing_room.lab.cost.strategies.polled import naive

BOOK = read_book()
MONTH_S = 30 * 86_400
WHOLE_MONTH = Decimal(MONTH_S)


def total(usage: dict[str, int], *, rounding: str = BELIEVED) -> Decimal:
    """Price what an example says is used, on Cloudflare's paid plan."""
    return sum(
        (
            cents(BOOK.item(f"cloudflare.{key}").charge(figure(used), "paid", rounding).value)
            for key, used in usage.items()
        ),
        BOOK.provider("cloudflare").plans["paid"].price,
    )


@pytest.mark.parametrize(
    ("example", "requests", "gb_s", "charge"),
    [
        (1, 1_500_000, 128_000, "5.15"),
        (2, 3_750_000, 11_059_200, "142.95"),
        (3, 12_960_100, 33_177_600, "419.30"),
        (4, 21_610_000, 552_960, "20.65"),
    ],
)
def test_examples_of_durable_objects(example: int, requests: int, gb_s: int, charge: str) -> None:
    """Every example of the page comes out as the page has it, rounded up to whole units."""
    assert total({"object_requests": requests, "object_gb_s": gb_s}) == Decimal(charge), example


def test_example_4_of_durable_objects_under_both_rules() -> None:
    """
    100 objects with 100 hibernating sockets each, a message a minute, 10 ms a message: from the crowd to the
    cent.
    """
    example = durable_object(
        objects=100, handler_ms=Decimal(10), connect_ms=Decimal(0), push_s=Decimal(0), snapshot_s=Decimal(0), sums_s=Decimal(0)
    )  # fmt: skip
    crowd = CrowdProfile(people=10_000, visit_s=WHOLE_MONTH, mood_changes=Decimal(0))
    new = bill(example, crowd, BOOK, plan="paid")
    used = {line.item.key: line.used.value for line in new.lines}
    assert used["cloudflare.object_requests"] == 21_610_000
    assert used["cloudflare.object_gb_s"] == 552_960
    assert new.total == Decimal("20.65")
    assert bill(example, crowd, BOOK, plan="paid", rounding=PRO_RATA).total == Decimal("10.00")


@pytest.mark.parametrize(
    ("example", "requests", "cpu_ms", "charge"),
    [
        (1, 15_000_000, 7 * 15_000_000, "8.00"),
        (3, 720, 180_000 * 720, "6.99"),
        (4, 100_000_000, 7 * 100_000_000, "45.40"),
        # 80 of 100 million are answered by a cache before the Worker: they are billed, their CPU is not.
        (5, 100_000_000, 7 * 20_000_000, "34.20"),
    ],
)
def test_examples_of_workers_pro_rata(example: int, requests: int, cpu_ms: int, charge: str) -> None:
    """Every example of the page comes out as the page has it, pro rata."""
    assert total({"workers_requests": requests, "workers_cpu_ms": cpu_ms}) == Decimal(charge), example


# --- The derived table: 10,000 people, day and night, 30 days ---------------------------------------------

QUARTER = Decimal(900)


def an_object(visit_s: Decimal, *, rounding: str = BELIEVED, heartbeat_s: int = 60, handler_ms: int = 1, objects: int = 1, hibernating: bool = True) -> Bill:  # fmt: skip
    """Price sockets without pushes, snapshots and sums, as the table does."""
    strategy = durable_object(
        heartbeat_s=Decimal(heartbeat_s), handler_ms=Decimal(handler_ms), objects=objects, hibernating=hibernating,
        connect_ms=Decimal(0), push_s=Decimal(0), snapshot_s=Decimal(0), sums_s=Decimal(0),
    )  # fmt: skip
    crowd = CrowdProfile(people=10_000, visit_s=visit_s, mood_changes=Decimal(0))
    return bill(strategy, crowd, BOOK, plan="paid", rounding=rounding)


@pytest.mark.parametrize(
    ("visit_s", "settings", "gb_s", "rounded", "pro_rata"),
    [
        (WHOLE_MONTH, {}, 55_296, "8.15", "8.09"),
        (QUARTER, {}, 55_296, "18.14", "18.05"),
        (WHOLE_MONTH, {"objects": 100, "handler_ms": 10}, 552_960, "20.65", "10.00"),
        (QUARTER, {"objects": 100, "handler_ms": 10}, 552_960, "30.64", "19.96"),
        (QUARTER, {"objects": 4, "heartbeat_s": 10}, 331_776, "34.34", "34.25"),
        (QUARTER, {"objects": 4, "hibernating": False}, 1_327_104, "30.64", "29.64"),
        (QUARTER, {"objects": 100, "hibernating": False}, 33_177_600, "430.64", "427.77"),
    ],
)
def test_derived_sockets(
    visit_s: Decimal, settings: dict[str, int], gb_s: int, rounded: str, pro_rata: str
) -> None:
    """Sockets to Durable Objects, under both rounding rules."""
    new = an_object(visit_s, **settings)  # type: ignore[arg-type]
    assert next(line.used.value for line in new.lines if line.item.key == "cloudflare.object_gb_s") == gb_s
    assert new.total == Decimal(rounded)
    assert an_object(visit_s, rounding=PRO_RATA, **settings).total == Decimal(pro_rata)  # type: ignore[arg-type]


@pytest.mark.parametrize(("poll_s", "charge"), [(10, "2121.84"), (30, "704.88")])
def test_derived_polls(poll_s: int, charge: str) -> None:
    """
    Polls of a Worker that reads KV, 1 ms each. The table has connections that last all month, and no reports.
    """
    polls = 10_000 * MONTH_S // poll_s
    assert total({"workers_requests": polls, "workers_cpu_ms": polls, "kv_reads": polls}) == Decimal(charge)
    crowd = CrowdProfile(people=10_000, visit_s=WHOLE_MONTH, mood_changes=Decimal(0))
    made = bill(naive(poll_s=Decimal(poll_s), heartbeat_s=WHOLE_MONTH), crowd, BOOK, plan="paid")
    assert made.lines[2].used.value == pytest.approx(polls, rel=1e-5)


def test_derived_writes() -> None:
    """Heartbeats as KV writes twice a minute, of all clients and of 300 samplers."""
    for people, charge in ((10_000, "4315.00"), (300, "124.60")):
        writes = people * 2 * 60 * 24 * 30
        assert total({"kv_writes": writes}) - 5 == Decimal(charge)


@pytest.mark.parametrize(
    ("key", "plan", "used", "charge"),
    [
        ("aws.websocket_minutes", "paid", 432_000_000, "108.00"), ("aws.websocket_messages", "paid", 864_000_000, "864.00"),
        ("aws.appsync_minutes", "paid", 432_000_000, "34.56"), ("aws.appsync_operations", "paid", 864_000_000, "864.00"),
        ("ably.connection_minutes", "standard", 432_000_000, "432.00"), ("ably.messages", "standard", 864_000_000, "2160.00"),
        ("supabase.peak_connections", "pro", 10_000, "100.00"), ("supabase.messages", "pro", 864_000_000, "2147.50"),
        ("aws.egress_gb", "paid", "259.2", "14.33"), ("aws.egress_gb", "paid", 864, "68.76"),
    ],
)  # fmt: skip
def test_derived_elsewhere(key: str, plan: str, used: int | str, charge: str) -> None:
    """432 million connection minutes and 864 million deliveries, bought elsewhere."""
    assert cents(BOOK.item(key).charge(figure(used), plan).value) == Decimal(charge)
