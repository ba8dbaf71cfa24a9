"""Prices of what a running server counted.

Its ``/metrics`` have totals since it started. They are scaled to a month, and priced as if the same people
had come to a Durable Object, or had been counted from a panel behind a CDN; and what was sent is priced as
the traffic of the machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.book import BELIEVED, Book
from breathing_room.lab.cost.crowd import MONTH_DAYS
from breathing_room.lab.cost.formula import Figure, given
from breathing_room.lab.cost.model import BillLine, cents
from breathing_room.lab.cost.strategies.fixed import fixed
from breathing_room.lab.cost.strategies.self_hosted import self_hosted, self_hosted_polled
from breathing_room.lab.cost.strategies.sources import MEMORY_GB, PUSH_ROWS, SNAPSHOT_ROWS

PREFIX: Final = "breathing_room_"
STARTED: Final = "process_start_time_seconds"
MONTH_S: Final = MONTH_DAYS * 86_400

COUNTERS: Final = (
    "joins",
    "reports",
    "leaves",
    "presence_reads",
    "messages_in",
    "broadcasts",
    "pushes",
    "answers",
    "snapshots",
)
"""The totals that cost something somewhere. A server that is older than one of them has not counted it."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a server counted.

    Attributes:
        totals: By counter.
        started_at_s: When the server started, Unix time; None if the metrics do not include it.
    """

    totals: Mapping[str, Decimal]
    started_at_s: float | None


def read_metrics(text: str) -> Counted:
    """Parse the text format of Prometheus.

    Raises:
        ConfigError: It is none, or of something else than a Breathing Room server.
    """
    totals: dict[str, Decimal] = {}
    started_at_s = None
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix(PREFIX).removesuffix("_total")
                if sample.name == STARTED:
                    started_at_s = sample.value
                elif sample.name.startswith(PREFIX) and name in COUNTERS:
                    totals[name] = totals.get(name, Decimal(0)) + Decimal(str(sample.value))
    except ValueError as error:
        raise ConfigError(f"these are not metrics: {error}") from None
    if not totals:
        raise ConfigError(f"there are no metrics here whose names begin with {PREFIX}")
    return Counted(totals, started_at_s)


@dataclass(frozen=True, slots=True)
class Projection:
    """The operations that a server counted, scaled to a month and priced on one provider.

    Attributes:
        name: What it is priced as.
        currency: Of the bill.
        base: What the plan costs.
        lines: The bill.
    """

    name: str
    currency: str
    base: Decimal
    lines: tuple[BillLine, ...]

    @property
    def total(self) -> Decimal:
        """The total."""
        return self.base + sum((cents(line.charge.value) for line in self.lines), Decimal(0))


def project(
    counted: Counted, over_s: Decimal, book: Book, *, rounding: str = BELIEVED
) -> tuple[Projection, ...]:
    """Scale the operations to a month, and price them.

    Args:
        counted: What was counted.
        over_s: How long the server counted.
        book: The prices.
        rounding: How what is billed is rounded.

    Raises:
        ConfigError: It took no time.
    """
    if over_s <= 0:
        raise ConfigError("what was counted must have taken longer than 0 s")
    month = given(MONTH_S, "month", "s", "30 days")
    took = given(over_s, "counted for", "s", "the server's uptime, or --over")

    def monthly(name: str) -> Figure:
        total = given(
            counted.totals.get(name, Decimal(0)), name.replace("_", " "), "counted", f"{PREFIX}{name}_total"
        )
        return total * month / took

    joins, reports = monthly("joins"), monthly("reports") + monthly("leaves")
    publishing = month / fixed.figure("publish_s")
    broadcasts, snapshots = monthly("broadcasts"), monthly("snapshots")
    as_sockets = {
        "workers_requests": joins + monthly("presence_reads") + reports,
        "object_requests": joins
        + monthly("messages_in") / 20
        + monthly("presence_reads")
        + reports
        + broadcasts,
        "object_gb_s": MEMORY_GB * month,
        "rows_written": reports + (1 + PUSH_ROWS) * broadcasts + (1 + SNAPSHOT_ROWS) * snapshots,
        "kv_writes": snapshots,
    }
    as_panel = {
        "workers_requests": reports,
        "object_requests": reports + publishing,
        "object_gb_s": MEMORY_GB * month,
        "rows_written": reports + publishing + SNAPSHOT_ROWS * snapshots,
        "kv_writes": snapshots,
        "r2_writes": publishing,
    }
    each = self_hosted.figure("message_bytes") + self_hosted.figure("wire_bytes")
    answer = self_hosted_polled.figure("message_bytes") + self_hosted_polled.figure("wire_bytes")
    sent = (monthly("pushes") + monthly("answers")) * each + monthly("presence_reads") * answer
    as_machine = {
        "machines": given(1, "machine", "", "one"),
        "ipv4": given(1, "address", "", "one"),
        "egress_tb": sent / 10**12,
    }
    return (
        _priced("as a Durable Object, awake all month", "cloudflare", as_sockets, book, rounding),
        _priced("as a panel behind a CDN: reports alone", "cloudflare", as_panel, book, rounding),
        _priced("as your own machine", "hetzner", as_machine, book, rounding),
    )


def _priced(
    name: str, provider_name: str, usage: Mapping[str, Figure], book: Book, rounding: str
) -> Projection:
    provider = book.provider(provider_name)
    plan = provider.plans["paid"]
    items = ((book.item(f"{provider_name}.{key}"), used) for key, used in usage.items())
    lines = tuple(BillLine(item, used, item.charge(used, plan.name, rounding)) for item, used in items)
    return Projection(name, provider.currency, plan.price, lines)
