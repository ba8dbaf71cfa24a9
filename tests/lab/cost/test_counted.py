"""What a running server counted, priced."""

from decimal import Decimal

import pytest

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.counted import COUNTERS, MONTH_S, Counted, project, read_metrics

BOOK = read_book()

TEXT = """
# TYPE breathing_room_joins_total counter
breathing_room_joins_total{room="a"} 3
breathing_room_joins_total{room="b"} 4
# TYPE breathing_room_reports counter
breathing_room_reports_total 100
# TYPE breathing_room_people gauge
breathing_room_people{room="a"} 12
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1767225600
"""


def test_totals_of_all_rooms_are_added_up() -> None:
    """Counters that cost something are read and summed over their
    labels; gauges and other counters are not.
    """
    counted = read_metrics(TEXT)
    assert counted.totals == {"joins": 7, "reports": 100}
    assert counted.started_at_s == 1_767_225_600


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no metrics here whose names begin with breathing_room_"),
        ("# TYPE other_total counter\nother_total 3\n", "no metrics here"),
        ("<html>not found</html>", "these are not metrics"),
        ("breathing_room_joins_total three\n", "these are not metrics"),
    ],
)
def test_what_is_not_of_a_server_is_refused(text: str, said: str) -> None:
    """A page that is not metrics, or those of another program, gets a message that says so."""
    with pytest.raises(ConfigError, match=said):
        read_metrics(text)


def test_a_month_is_projected_from_the_time_that_was_counted() -> None:
    """Half the time with the same counts is twice the usage, and the plan's base price is not scaled."""
    counted = Counted({name: Decimal(1_000_000) for name in COUNTERS}, None)
    month, half = (project(counted, Decimal(MONTH_S) / part, BOOK) for part in (1, 2))
    scaled = ("cloudflare.workers_requests", "cloudflare.workers_requests", "hetzner.egress_tb")
    for whole, twice, key in zip(month, half, scaled, strict=True):
        used, used_twice = ({line.item.key: line.used.value for line in one.lines} for one in (whole, twice))
        assert used_twice[key] == 2 * used[key] > 0
        assert whole.base == twice.base
        assert used_twice.get("cloudflare.object_gb_s") == used.get("cloudflare.object_gb_s")
    [sockets, panel, machine] = month
    requests = {line.item.key: line.used.value for line in sockets.lines}
    assert requests["cloudflare.workers_requests"] == 4_000_000  # joins, reads, reports and leaves
    assert {line.item.key for line in panel.lines} >= {"cloudflare.r2_writes"}
    assert machine.currency == "EUR"


def test_a_server_that_counted_nothing_costs_what_stands_still() -> None:
    """A counter that an older server lacks is taken as 0, and what is
    left is the plan, memory and machine.
    """
    for projection in project(Counted({"joins": Decimal(0)}, None), Decimal(3_600), BOOK):
        assert projection.total >= projection.base > 0 or projection.currency == "EUR"


@pytest.mark.parametrize("over_s", ["0", "-1"])
def test_no_time_is_no_measurement(over_s: str) -> None:
    """Counts that took no time cannot be scaled, and that is said."""
    with pytest.raises(ConfigError, match="longer than 0 s"):
        project(Counted({"joins": Decimal(1)}, None), Decimal(over_s), BOOK)
