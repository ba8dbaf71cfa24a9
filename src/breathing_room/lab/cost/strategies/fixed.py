"""Ours: a panel of a fixed size reports; all visitors read a published file through a CDN."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from breathing_room.lab.cost.crowd import CrowdFigures
from breathing_room.lab.cost.formula import Figure
from breathing_room.lab.cost.strategies.sources import (
    EDGE,
    HEARTBEAT_S,
    MEMORY_GB,
    OBJECTS,
    PANEL,
    POLL_S,
    SNAPSHOT_ROWS,
    STATIC,
)
from breathing_room.lab.cost.strategy import (
    FREE,
    Assumption,
    LimitedLoad,
    Reading,
    Storing,
    Strategy,
    Usage,
    UsageOf,
    builder,
    composed,
    every,
    fixed_panel,
    knob,
)

TIERED: Final = "https://developers.cloudflare.com/r2/buckets/public-buckets/"
DEFAULT_CACHE: Final = "https://developers.cloudflare.com/cache/concepts/default-cache-behavior/"


def rows_of_an_object(publish_s: Figure, lazy_s: Figure | None, snapshot_s: Figure) -> Storing:
    """Each report is a row of one Durable Object, which publishes the presence.

    Args:
        publish_s: The time between two writes of the presence, at least.
        lazy_s: Between two alarms, where the next report publishes; None where an alarm does.
        snapshot_s: Between two snapshots.
    """

    def usage(crowd: CrowdFigures, reports: Figure) -> Usage:
        alarms = (crowd.month / (publish_s if lazy_s is None else lazy_s)).named("alarms", "a month")
        snapshots = every(crowd.month, snapshot_s).named("snapshots", "a month")
        published = (
            alarms if lazy_s is None else crowd.cached(publish_s, reports).named("published", "a month")
        )
        return {
            "object_requests": reports + alarms,
            "object_gb_s": MEMORY_GB * crowd.month,
            "rows_written": reports + alarms + SNAPSHOT_ROWS * snapshots,
            "kv_writes": snapshots,
            "r2_writes": published,
        }

    words = "each report a row of one Durable Object; the presence to R2 every 5 s"
    return Storing("rows", words, usage)


def published_file(
    poll_s: Figure, cache_s: Figure, config_s: Figure, *, places: Figure, hits_billed: bool
) -> Reading:
    """All visitors read presence and config from R2 through a CDN; cache misses read the bucket.

    Args:
        poll_s: The time between two polls.
        cache_s: How long the CDN answers with a presence.
        config_s: How long it answers with a config.
        places: The data centers that read the bucket.
        hits_billed: Whether a cache hit is a read of the bucket.
    """

    def read(crowd: CrowdFigures) -> Figure:
        polls = crowd.polls(poll_s)
        if hits_billed:
            return polls + crowd.joins
        if places.value == 1:
            return crowd.cached(cache_s, polls) + crowd.cached(config_s, crowd.joins)
        return places * (crowd.cached(cache_s, polls / places) + crowd.cached(config_s, crowd.joins / places))

    return Reading("cdn", "R2 through the CDN, past the Worker", lambda crowd, _: {"r2_reads": read(crowd)})


def worker_reports(cpu_ms: Figure) -> UsageOf:
    """Reports, and nothing else, are requests to a Worker."""
    return lambda _, reports: {"workers_requests": reports, "workers_cpu_ms": reports * cpu_ms}


@builder
def fixed(
    name: str,
    *,
    panel: Figure = PANEL,
    heartbeat_s: Figure = HEARTBEAT_S,
    poll_s: Figure = POLL_S,
    publish_s: Figure = knob(5, "s", "between two writes of the presence, at least"),
    cache_s: Figure = knob(5, "s", "how long the CDN answers with a presence", zero=True),
    config_s: Figure = knob(300, "s", "how long it answers with a config"),
    by_alarm: bool = knob(True, "", "whether an alarm publishes; otherwise the next report does"),
    lazy_s: Figure = knob(60, "s", "between two alarms of a room without subscribers (idle_alarm_ms)"),
    snapshot_s: Figure = knob(
        60, "s", "between two snapshots, each of them a KV write too; 0: none", zero=True
    ),
    mood_renews: bool = knob(True, "", "whether a change of mood counts as a heartbeat, as in our clients"),
    cpu_ms: Figure = knob(
        1, "ms", "CPU time of a report; measured in workerd: 0.65 (JavaScript) to 3 (Python)", zero=True
    ),
    places: Figure = knob(1, "data centers", "that read the bucket: one, with tiered cache"),
    hits_billed: bool = knob(False, "", "whether a cache hit is a read of the bucket"),
) -> Strategy:
    """A panel of a fixed size reports; visitors read a published object through a CDN that does not bill per
    hit.
    """

    def loads(crowd: CrowdFigures, usage: Usage, plan: str) -> Iterable[LimitedLoad]:
        """Return the loads on one object and one key."""
        if plan == FREE:
            yield "free_cpu_ms", cpu_ms, "the report fails"
        load = crowd.per_second(usage["object_requests"], "load")
        yield "object_load", load, "reports fail as overloaded"
        writes = crowd.per_second(usage["r2_writes"], "writes")
        yield "r2_key_writes", writes, "writes of the presence fail with 429"

    reporting = fixed_panel(panel, heartbeat_s, mood_renews=mood_renews)
    storing = rows_of_an_object(publish_s, None if by_alarm else lazy_s, snapshot_s)
    reading = published_file(poll_s, cache_s, config_s, places=places, hits_billed=hits_billed)
    return Strategy(
        name=name,
        reporting=reporting,
        storing=storing,
        reading=reading,
        usage=composed(reporting, worker_reports(cpu_ms), storing.usage, reading.usage),
        loads=loads,
        assumptions=assumptions(cpu_ms, publish_s),
    )


def assumptions(cpu_ms: Figure, publish_s: Figure) -> tuple[Assumption, ...]:
    """List what the bill assumes beside its prices."""
    return (
        Assumption(
            "a cache hit is not a read of the bucket",
            "no page of the vendor's says so; only reads of the bucket are in its list of class B operations",
            "M",
            {"hits_billed": True},
        ),
        Assumption(
            "tiered cache: one data center reads the bucket (an older page of the vendor's says that it does not work with R2)",
            TIERED,
            "V",
            {"places": Decimal(100)},
        ),
        Assumption(
            "a cache rule makes the CDN keep JSON, which it does not by itself",
            DEFAULT_CACHE,
            "V",
            {"hits_billed": True},
        ),
        Assumption(
            f"a report takes {cpu_ms.value} ms of CPU",
            "measured in workerd on a virtual machine, 2026-11: 0.65 ms in JavaScript, 3 ms in Python",
            "M",
            {"cpu_ms": Decimal(3)},
        ),
        Assumption(
            f"the presence is written every {publish_s.value} s",
            "https://developers.cloudflare.com/r2/platform/limits/",
            "V",
            {"publish_s": Decimal(1)},
        ),
        Assumption(
            "the object is awake all the time, which is the most that it can be; one fits in what the plan includes",
            OBJECTS,
            "V",
        ),
        Assumption(
            "each report is written as a row, since a hibernating object loses its memory; setting an alarm is a row, too; "
            "a snapshot is 3 rows and a KV write; all counted in workerd",
            EDGE,
            "V",
        ),
        Assumption(
            "an alarm publishes, which is the most; this package's Worker publishes with the next report",
            EDGE,
            "V",
            {"by_alarm": False},
        ),
        Assumption(
            "the allowance of R2 holds on the free plan, too",
            "https://developers.cloudflare.com/r2/pricing/",
            "V",
        ),
        Assumption("you have a domain on Cloudflare; its price is not in the bill", TIERED, "V"),
        Assumption(
            "reports go to the page's own host; to another, each visit costs one more Worker request, the CORS preflight",
            "https://developer.mozilla.org/docs/Glossary/Preflight_request",
            "M",
        ),
        Assumption(
            "the CDN answers any number of hits on a free zone",
            "no page of the vendor's names a limit",
            "M",
        ),
        STATIC,
    )
