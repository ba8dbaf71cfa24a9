"""The planning document's ladder: people poll, Workers answer, and KV stores.

Page and config are static files everywhere here. Where people poll a Worker, every poll is a Worker request,
cached or not: the cache lies behind the Worker, and one that lies before it is billed alike.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from breathing_room.lab.cost.crowd import CrowdFigures
from breathing_room.lab.cost.formula import Figure, exp, figure, most, root, up
from breathing_room.lab.cost.strategies.sources import MEMORY_GB, OBJECTS, STATIC, WORKERS
from breathing_room.lab.cost.strategy import (
    FREE,
    Accuracy,
    Assumption,
    Builder,
    LimitedLoad,
    Reading,
    Reporting,
    Storing,
    Strategy,
    Usage,
    builder,
    composed,
    in_percent,
    knob,
    knobs_of,
    sample_error,
    unbiased,
)

DOCUMENT_HEARTBEAT_S: Final = knob(30, "s", "between two heartbeats; the document's")
CPU_MS: Final = knob(1, "ms", "CPU time of a Worker request; assumed", zero=True)
LEASE_S: Final = knob(120, "s", "how long a heartbeat counts; the document's")
SENT_SHARE: Final = knob("0.03", "of heartbeats", "that are sent; the document's", most=1)
SAMPLE: Final = knob("0.03", "of people", "who report; the document's", most=1)

ONE_KEY: Final = Assumption(
    "what people read is one KV key, which every report rewrites", "the planning document's own plan", "V"
)
BIASED_SAMPLING: Final = Assumption(
    "the sampling is the document's own: it counts 3.8 times the crowd, and 8 times where joining forces a heartbeat; "
    "a ticket for each visitor would be unbiased and cost the same",
    "docs/topics/how-it-counts.md",
    "V",
)
ONE_CACHE: Final = Assumption(
    "all visitors come through one data center; each has its own cache",
    "https://developers.cloudflare.com/workers/reference/how-the-cache-works/",
    "M",
    {"places": Decimal(100)},
)


# --- How people report ------------------------------------------------------------------------------------


def heartbeats_a_month(crowd: CrowdFigures, heartbeat_s: Figure) -> Figure:
    """Return heartbeats a month: one on joining, and then one every so often."""
    return (crowd.joins * (1 + crowd.repeats(heartbeat_s))).named("heartbeats", "a month")


def heartbeats(*, heartbeat_s: Figure = DOCUMENT_HEARTBEAT_S, lease_s: Figure = LEASE_S) -> Reporting:
    """All people report, each heartbeat and each mood.

    A visitor who disappears without a leave is counted until the lease ends.
    """

    def reports(crowd: CrowdFigures) -> Figure:
        return (heartbeats_a_month(crowd, heartbeat_s) + crowd.joins * crowd.moods).named(
            "reports", "a month"
        )

    def accuracy(crowd: CrowdFigures) -> Accuracy:
        ghosts = (most(0, lease_s - heartbeat_s / 2) / crowd.visit).named("ghosts", "a person")
        return Accuracy(
            figure(0), ghosts.value, f"every visitor, and {in_percent(ghosts)} more who left unnoticed"
        )

    return Reporting("heartbeats", "every visitor, each heartbeat", reports, accuracy)


def sampled_heartbeats(
    *, sample: Figure = SENT_SHARE, heartbeat_s: Figure = DOCUMENT_HEARTBEAT_S, lease_s: Figure = LEASE_S
) -> Reporting:
    """Each heartbeat is sent with a probability, and the count is what arrived divided by it.

    A lease of several heartbeats counts each visitor who sent any of them, so the count is far too high.
    """

    def reports(crowd: CrowdFigures) -> Figure:
        return (sample * heartbeats_a_month(crowd, heartbeat_s)).named("reports", "a month")

    def accuracy(crowd: CrowdFigures) -> Accuracy:
        del crowd
        times = (1 - (1 - sample.value) ** int(lease_s.value / heartbeat_s.value)) / sample.value
        return Accuracy(figure(0), times - 1, "too high by a factor of 4 to 8")

    return Reporting("legacy", "a random 3 % of all heartbeats", reports, accuracy)


def sampled_people(*, sample: Figure = SAMPLE, heartbeat_s: Figure = DOCUMENT_HEARTBEAT_S) -> Reporting:
    """Three in a hundred visitors report, by ticket and not by chance each time; the error falls with the
    crowd.
    """

    def reports(crowd: CrowdFigures) -> Figure:
        each = crowd.reports_per_visit(heartbeat_s, mood_renews=True)
        return (sample * crowd.joins * each).named("reports", "a month")

    def accuracy(crowd: CrowdFigures) -> Accuracy:
        return unbiased(sample_error(crowd, sample))

    return Reporting("sample", "3 % of the visitors: changes, and each heartbeat", reports, accuracy)


def changes() -> Reporting:
    """All people report joining and moods, and are counted from the rate of writes, given the mean visit."""

    def reports(crowd: CrowdFigures) -> Figure:
        return (crowd.joins * (1 + crowd.moods)).named("reports", "a month")

    def accuracy(crowd: CrowdFigures) -> Accuracy:
        error = root(1 / (2 * crowd.people)).named("error", "standard, relative")
        return unbiased(error, ", and that of the mean visit")

    return Reporting("changes", "every visitor, on joining and on a change of mood", reports, accuracy)


# --- How it is stored -------------------------------------------------------------------------------------


def one_key() -> Storing:
    """Every report rewrites the key that people read."""
    return Storing("key", "each report, to KV", lambda _, reports: {"kv_writes": reports})


def batches(
    *,
    sample: Figure = SAMPLE,
    bucket_s: Figure = knob(
        10, "s", "from the first report of a batch to its write; the document's", zero=True
    ),
) -> Storing:
    """A Durable Object gathers reports for a bucket of time, and writes them as one."""

    def usage(crowd: CrowdFigures, reports: Figure) -> Usage:
        written = _batches(crowd, reports, bucket_s, sample).named("batches", "a month")
        return {
            "object_requests": reports + written,
            "object_gb_s": MEMORY_GB * crowd.month,
            "rows_written": written,
            "kv_writes": written,
        }

    return Storing("batches", "a batch every 10 s, by a Durable Object, to KV", usage)


def _batches(crowd: CrowdFigures, reports: Figure, bucket: Figure, sample: Figure) -> Figure:
    """Return batches a month: each takes a bucket, and the wait for the next report.

    While reports are further apart than a bucket is long, that wait is not exponential: heartbeats are
    regular, and two that are far enough apart never share a bucket. Of s people on a circle of which a bucket
    is the part r, the share of those that can is ``(s - 1)^2 / (s (s - 1 - r))``: exact for two, 0.3 % off
    for three.
    """
    seats = sample * crowd.people
    apart = (crowd.month / reports).named("apart", "s between two reports")
    if seats.value < 2:
        return reports
    if seats.value > 3:
        return crowd.month / (bucket + apart)
    part = bucket / (seats * apart)
    regular = 1 - (1 + crowd.moods + crowd.leaves) * sample * crowd.joins / reports
    meet = 1 - regular * (1 - (seats - 1) * (seats - 1) / (seats * (seats - 1 - part)))
    return crowd.month / (bucket * meet.named("meet", "of reports can meet others") + apart)


def job_runs(crowd: CrowdFigures, job_s: Figure) -> Figure:
    """Return how often a month a job runs."""
    return (crowd.month / job_s).named("runs", "of the job a month")


def windows(
    *,
    sample: Figure = SAMPLE,
    heartbeat_s: Figure = DOCUMENT_HEARTBEAT_S,
    window_s: Figure = knob(120, "s", "the length of a window; the document's"),
    job_s: Figure = knob(60, "s", "between two runs of the job; the document's"),
) -> Storing:
    """A visitor's first report in a window is written, and what changed
    at its end; a job puts all together.
    """

    def usage(crowd: CrowdFigures, reports: Figure) -> Usage:
        del reports
        # With a heartbeat at a random moment of it, so much of a window lies after its first report.
        after = (1 - heartbeat_s / (2 * window_s)).named("after", "of a window lies after its first report")
        first = crowd.visit / window_s + after
        changed = crowd.visit / window_s * (1 - exp(0 - crowd.moods * after * window_s / crowd.visit))
        visits = (sample * crowd.joins).named("sampled_joins", "a month")
        runs, seats = job_runs(crowd, job_s), sample * crowd.people
        return {
            "kv_writes": visits * (first + changed) + runs,
            "kv_deletes": visits * crowd.leaves,
            "kv_lists": runs * up(seats / 1_000),
        }

    words = "a visitor's first report in two minutes, and changes, to KV; a job each minute"
    return Storing("windows", words, usage)


# --- How it is read ---------------------------------------------------------------------------------------


def worker_reads(*, poll_s: Figure = knob(10, "s", "between two polls; the document's")) -> Reading:
    """Each poll asks a Worker, which reads KV."""
    return Reading("worker", "each poll reads KV", lambda crowd, _: {"kv_reads": crowd.polls(poll_s)})


def cached_reads(
    *,
    poll_s: Figure = knob(30, "s", "between two polls; the document's"),
    cache_s: Figure = knob(30, "s", "how long a cached presence answers; the document's", zero=True),
    places: Figure = knob(
        1, "data centers", "that people come through; each has a cache of its own; the document's"
    ),
) -> Reading:
    """Each poll asks a Worker, which asks the cache of its data center: it reads KV once in a lifetime, and
    the wait for the next poll.
    """

    def usage(crowd: CrowdFigures, reports: Figure) -> Usage:
        del reports
        polls = crowd.polls(poll_s)
        if places.value == 1:
            return {"kv_reads": crowd.cached(cache_s, polls)}
        return {"kv_reads": places * crowd.cached(cache_s, polls / places)}

    return Reading("cached-worker", "each poll asks a Worker, which asks a cache", usage)


def on_workers(
    name: str,
    reporting: Reporting,
    storing: Storing,
    reading: Reading,
    *,
    poll_s: Figure,
    cpu_ms: Figure,
    assumptions: tuple[Assumption, ...],
    job_s: Figure | None = None,
) -> Strategy:
    """Compose a rung of the ladder: polls and reports are requests to a Worker, and so are the runs of a job,
    if there is one.
    """

    def requests(crowd: CrowdFigures, reports: Figure) -> Usage:
        requests_of_clients = crowd.polls(poll_s) + reports
        made = (requests_of_clients if job_s is None else requests_of_clients + job_runs(crowd, job_s)).named(
            "requests", "a month"
        )
        return {"workers_requests": made, "workers_cpu_ms": made * cpu_ms}

    def loads(crowd: CrowdFigures, usage: Usage, plan: str) -> Iterable[LimitedLoad]:
        if plan == FREE:
            yield "free_cpu_ms", cpu_ms, "the request fails"
        # Of the keys, the one that people read is written most often: by all that writes, or by the job.
        writes = usage["kv_writes"] if job_s is None else job_runs(crowd, job_s)
        yield "kv_key_writes", crowd.per_second(writes, "writes"), "further writes fail with 429"

    parts = (reading, storing) if storing.kind == "key" else (storing, reading)
    return Strategy(
        name=name,
        reporting=reporting,
        storing=storing,
        reading=reading,
        usage=composed(reporting, requests, *(part.usage for part in parts)),
        loads=loads,
        assumptions=assumptions,
    )


# --- The ladder -------------------------------------------------------------------------------------------


def rung(
    name: str,
    report: Callable[..., Reporting],
    store: Callable[..., Storing],
    read: Callable[..., Reading],
    assumptions: tuple[Assumption, ...],
) -> Builder:
    """Compose a builder of three parts: what can be set about it is what can be set about each of them, and
    the CPU time of a request.
    """

    def build(name: str, *, cpu_ms: Figure, **settings: Figure) -> Strategy:
        def of(part: Callable[..., Any]) -> dict[str, Figure]:
            return {key: settings[key] for key in knobs_of(part)}

        return on_workers(
            name,
            report(**of(report)),
            store(**of(store)),
            read(**of(read)),
            poll_s=settings["poll_s"],
            cpu_ms=cpu_ms,
            job_s=settings.get("job_s"),
            assumptions=assumptions,
        )

    return Builder(name, build, knobs_of(report, store, read) | {"cpu_ms": CPU_MS})


naive: Final = rung("naive", heartbeats, one_key, worker_reads, (ONE_KEY, STATIC))
"""Every heartbeat of all people is a write."""

sampled: Final = rung(
    "sampled", sampled_heartbeats, one_key, worker_reads, (ONE_KEY, STATIC, BIASED_SAMPLING)
)
"""Each heartbeat is sent with a probability of 3 %, and the count is what arrived divided by 0.03."""

sampled_cached: Final = rung(
    "sampled-cached", sampled_heartbeats, one_key, cached_reads, (ONE_KEY, STATIC, BIASED_SAMPLING, ONE_CACHE)
)
"""As ``sampled``, and a cache behind the Worker answers polls."""

bucketed: Final = rung(
    "bucketed",
    sampled_people,
    batches,
    cached_reads,
    (
        STATIC,
        ONE_CACHE,
        Assumption("the object is awake all the time, which is the most that it can be", OBJECTS, "V"),
        Assumption("each batch is written by an alarm: a request, and a row for setting it", OBJECTS, "V"),
    ),
)
"""A Durable Object gathers the reports of ten seconds, and writes them as one."""

lazy: Final = rung(
    "lazy",
    sampled_people,
    windows,
    cached_reads,
    (
        STATIC,
        ONE_CACHE,
        Assumption(
            "what a key holds fits the metadata that a list of 1,000 keys brings along, so the job reads no key",
            "https://developers.cloudflare.com/kv/api/list-keys/",
            "M",
        ),
        Assumption("a run of the job is a Worker request", WORKERS, "M"),
    ),
)
"""A visitor's first report in a window is written, and what changed at its end; a job each minute puts all
together.
"""

write_minimal: Final = rung("write-minimal", changes, one_key, cached_reads, (ONE_KEY, STATIC, ONE_CACHE))
"""All people are written on joining and on a change of mood, and counted from the rate of writes."""


@builder
def client_only(name: str) -> Strategy:
    """There is no backend: the page shows the usual count at this hour."""
    not_counted = Accuracy(
        None, None, "no visitor is counted; the label says that it is an estimate from history"
    )
    reporting = Reporting("none", "no visitor", lambda _: figure(0), lambda _: not_counted)
    return Strategy(
        name=name,
        plans=(FREE,),
        reporting=reporting,
        storing=Storing("none", "nothing"),
        reading=Reading("page", "averages that come with the page"),
        usage=composed(reporting),
        assumptions=(STATIC,),
    )
