"""Every way to run a room: the rungs of the planning document's ladder, ours, and the same room bought elsewhere.

Each is a few formulas. What they count is counted, too, by the simulator (``tests/support/acted_strategies.py``), and a test holds both together.

Page and config are static files everywhere here. Where people poll a Worker, every poll is a Worker request, cached or not: the cache lies
behind the Worker, and one that lies before it is billed alike.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, ClassVar, Final

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.formula import Figure, exp, figure, given, least, most, root, up
from breathing_room.lab.cost.model import FREE, Accuracy, Assumption, Strategy, Terms

MEMORY_GB: Final = Decimal("0.128")
"""What a Durable Object is billed for, whatever it uses."""

WORKERS: Final = "https://developers.cloudflare.com/workers/platform/pricing/"
OBJECTS: Final = "https://developers.cloudflare.com/durable-objects/platform/pricing/"
TIERED: Final = "https://developers.cloudflare.com/r2/buckets/public-buckets/"
DEFAULT_CACHE: Final = "https://developers.cloudflare.com/cache/concepts/default-cache-behavior/"
BENCH: Final = "docs/reference/benchmarks.md"
EDGE: Final = "docs/howto/cloudflare.md"

PUSH_ROWS: Final = 2
"""What everybody was told; and, with the next who joins, that somebody was told more. The alarm's row comes on top."""

SNAPSHOT_ROWS: Final = 3
"""The snapshot, the averages, and when they were written. In a room over sockets there is one more, with the next change: that it is new."""

OBJECTS_MAX: Final = 100
"""Objects that one room of the Worker may have."""

COUNTED: Final = Accuracy(figure(0), Decimal(0), "everybody is counted")
ONE_KEY: Final = Assumption(
    "what people read is one KV key, which every report rewrites", "the planning document's own plan", "V"
)
STATIC: Final = Assumption("page and config are static assets: free, and no Worker requests", WORKERS, "V")


def knob(default: Any, unit: str, meaning: str, *, zero: bool = False, most: int = 10**9) -> Any:
    """Declare what can be set about a strategy; a number is above 0, unless 0 makes sense."""
    return field(default=default, metadata={"unit": unit, "meaning": meaning, "zero": zero, "most": most})


def every(month: Figure, seconds: Figure) -> Figure:
    """How often something is done in a month that is done every so many seconds; 0 s: never."""
    return month / seconds if seconds.value else figure(0)


def panel_share(panel: Figure, terms: Terms) -> Figure:
    """Say which share of the people reports, if so many are asked."""
    return least(1, panel / terms.people).named("share", "of people report")


def panel_accuracy(panel: Figure, terms: Terms) -> Accuracy:
    """The error of a panel is its own, whatever the crowd."""
    share = panel_share(panel, terms)
    if share.value == 1:
        return COUNTED
    error = sample_error(terms, share)
    return Accuracy(error, Decimal(0), f"standard error {in_percent(error)}")


def sample_error(terms: Terms, share: Figure) -> Figure:
    """The relative standard error of a count from a share of the people, each in it with the same probability."""
    return root((1 - share) / (share * terms.people)).named("error", "standard, relative")


def in_percent(error: Figure) -> str:
    """Write a relative error."""
    return f"{100 * error.value:.2g} %" if error.value else "0 %"


# --- The planning document's ladder: Workers and KV ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Polled(Strategy):
    """People poll a Worker."""

    beat_s: Decimal = knob(Decimal(30), "s", "between two beats; the document's")
    poll_s: Decimal = knob(Decimal(10), "s", "between two polls; the document's")
    cpu_ms: Decimal = knob(Decimal(1), "ms", "CPU time of a Worker request; assumed", zero=True)

    def beats(self, terms: Terms) -> Figure:
        """Count beats: one on joining, and then one every so often."""
        return (terms.joins * (1 + terms.repeats(self.set_to("beat_s")))).named("beats", "a month")

    def requests(self, terms: Terms, reports: Figure) -> dict[str, Figure]:
        """Count what the Worker is asked."""
        requests = (terms.polls(self.set_to("poll_s")) + reports).named("requests", "a month")
        return {"workers_requests": requests, "workers_cpu_ms": requests * self.set_to("cpu_ms")}

    def loads(
        self, terms: Terms, usage: Mapping[str, Figure], plan: str
    ) -> Iterable[tuple[str, Figure, str]]:
        """Every report rewrites the key that people read."""
        if plan == FREE:
            yield "free_cpu_ms", self.set_to("cpu_ms"), "the request fails"
        if "kv_writes" in usage:
            yield (
                "kv_key_writes",
                (usage["kv_writes"] / terms.month).named("writes", "a second"),
                "further writes fail with 429",
            )

    def assumptions(self) -> tuple[Assumption, ...]:
        """As its parts say."""
        return (ONE_KEY, STATIC)


@dataclass(frozen=True, kw_only=True)
class Naive(Polled):
    """Every beat of everybody is a write."""

    name: ClassVar[str] = "naive"
    reports: ClassVar[str] = "everybody, each beat"
    writes: ClassVar[str] = "each report, to KV"
    reads: ClassVar[str] = "each poll reads KV"

    lease_s: Decimal = knob(Decimal(120), "s", "how long a beat counts; the document's")

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says."""
        beats = self.beats(terms)
        reports = (beats + terms.joins * terms.moods).named("reports", "a month")
        requests = self.requests(terms, reports)
        return requests | {"kv_reads": terms.polls(self.set_to("poll_s")), "kv_writes": reports}

    def accuracy(self, terms: Terms) -> Accuracy:
        """Whoever goes stays counted for a lease: nobody says goodbye here."""
        ghosts = (most(0, self.set_to("lease_s") - self.set_to("beat_s") / 2) / terms.stay).named(
            "ghosts", "a person"
        )
        return Accuracy(figure(0), ghosts.value, f"everybody, and {in_percent(ghosts)} who have gone")


@dataclass(frozen=True, kw_only=True)
class Sampled(Polled):
    """Each beat is sent with a probability of 3 %, and the count is what arrived over 0.03."""

    name: ClassVar[str] = "sampled"
    reports: ClassVar[str] = "a 3 % coin for each beat"
    writes: ClassVar[str] = "each report, to KV"
    reads: ClassVar[str] = "each poll reads KV"

    sample: Decimal = knob(Decimal("0.03"), "of beats", "how many are sent; the document's", most=1)
    lease_s: Decimal = knob(Decimal(120), "s", "how long a beat counts; the document's")

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says."""
        reports = (self.set_to("sample") * self.beats(terms)).named("reports", "a month")
        return self.requests(terms, reports) | {"kv_reads": self.kv_reads(terms), "kv_writes": reports}

    def kv_reads(self, terms: Terms) -> Figure:
        """Count reads of KV."""
        return terms.polls(self.set_to("poll_s"))

    def accuracy(self, terms: Terms) -> Accuracy:
        """A coin for each beat, with a lease of four, counts a person who beat in any of the four."""
        del terms
        times = (1 - (1 - self.sample) ** int(self.lease_s / self.beat_s)) / self.sample
        return Accuracy(figure(0), times - 1, "wrong by 4 to 8 times")

    def assumptions(self) -> tuple[Assumption, ...]:
        """As its parts say."""
        return (
            *super().assumptions(),
            Assumption(
                "the coin is the document's own: it counts 3.8 times the crowd, and 8 times where joining forces a beat; "
                "a threshold for each person would be unbiased and cost the same",
                "docs/topics/how-it-counts.md",
                "V",
            ),
        )


@dataclass(frozen=True, kw_only=True)
class SampledCached(Sampled):
    """As ``sampled``, and a cache behind the Worker answers polls."""

    name: ClassVar[str] = "sampled-cached"
    reads: ClassVar[str] = "each poll asks a Worker, which asks a cache"

    poll_s: Decimal = knob(Decimal(30), "s", "between two polls; the document's")
    cache_s: Decimal = knob(Decimal(30), "s", "how long a cached presence answers; the document's", zero=True)
    places: Decimal = knob(
        Decimal(1), "data centers", "that people come through; each has a cache of its own; the document's"
    )

    def kv_reads(self, terms: Terms) -> Figure:
        """In each data center one for a lifetime, and the wait for who asks next."""
        places, polls = self.set_to("places"), terms.polls(self.set_to("poll_s"))
        reads = terms.cached(self.set_to("cache_s"), polls / places if self.places != 1 else polls)
        return places * reads if self.places != 1 else reads

    def assumptions(self) -> tuple[Assumption, ...]:
        """As its parts say."""
        return (
            *super().assumptions(),
            Assumption(
                "everybody comes through one data center; each has its own cache",
                "https://developers.cloudflare.com/workers/reference/how-the-cache-works/",
                "M",
                replace(self, places=Decimal(100)),
            ),
        )


@dataclass(frozen=True, kw_only=True)
class SampledPeople(SampledCached):
    """Three in a hundred people report, by ticket and not by coin; their reports go to where few writes are made of them."""

    reports: ClassVar[str] = "3 % of the people: changes, and each beat"

    sample: Decimal = knob(Decimal("0.03"), "of people", "who report; the document's", most=1)

    def seats_reports(self, terms: Terms) -> Figure:
        """Count reports, goodbyes included."""
        each = terms.reports_per_stay(self.set_to("beat_s"), mood_renews=True)
        return (self.set_to("sample") * terms.joins * each).named("reports", "a month")

    def accuracy(self, terms: Terms) -> Accuracy:
        """An unbiased sample of people; its error falls with the crowd."""
        error = sample_error(terms, self.set_to("sample"))
        return Accuracy(error, Decimal(0), f"standard error {in_percent(error)}")

    def assumptions(self) -> tuple[Assumption, ...]:
        """The coin is none of them."""
        return tuple(
            entry for entry in super().assumptions() if entry != ONE_KEY and "coin" not in entry.text
        )


@dataclass(frozen=True, kw_only=True)
class Bucketed(SampledPeople):
    """A Durable Object gathers the reports of ten seconds, and writes them as one."""

    name: ClassVar[str] = "bucketed"
    writes: ClassVar[str] = "a batch every 10 s, by a Durable Object, to KV"

    bucket_s: Decimal = knob(
        Decimal(10), "s", "from the first report of a batch to its write; the document's", zero=True
    )

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says."""
        reports = self.seats_reports(terms)
        batches = self.batches(terms, reports).named("batches", "a month")
        return self.requests(terms, reports) | {
            "object_requests": reports + batches,
            "object_gb_s": MEMORY_GB * terms.month,
            "rows_written": batches,
            "kv_writes": batches,
            "kv_reads": self.kv_reads(terms),
        }

    def batches(self, terms: Terms, reports: Figure) -> Figure:
        """Count batches: a bucket, and the wait for the next report.

        While the reports of all are further apart than a bucket is long, that wait is not what chance has it: signs of life are regular,
        and two that are far enough apart never meet. Of s people on a circle of which a bucket is the part r, the share of those that can
        is ``(s - 1)^2 / (s (s - 1 - r))``: exact for two, 0.3 % off for three.
        """
        bucket, seats = self.set_to("bucket_s"), self.set_to("sample") * terms.people
        apart = (terms.month / reports).named("apart", "s between two reports")
        if seats.value < 2:
            return reports
        if seats.value > 3:
            return terms.month / (bucket + apart)
        part = bucket / (seats * apart)
        signs = 1 - (1 + terms.moods + terms.goodbyes) * self.set_to("sample") * terms.joins / reports
        meet = 1 - signs * (1 - (seats - 1) * (seats - 1) / (seats * (seats - 1 - part)))
        return terms.month / (bucket * meet.named("meet", "of reports can meet others") + apart)

    def assumptions(self) -> tuple[Assumption, ...]:
        """As its parts say."""
        awake = Assumption("the object is awake all the time, which is the most that it can be", OBJECTS, "V")
        alarm = Assumption(
            "each batch is written by an alarm: a request, and a row for setting it", OBJECTS, "V"
        )
        return (*super().assumptions(), awake, alarm)


@dataclass(frozen=True, kw_only=True)
class Lazy(SampledPeople):
    """A visitor's first report in a window is written, and what changed at its end; a job each minute puts all together."""

    name: ClassVar[str] = "lazy"
    writes: ClassVar[str] = "a visitor's first report in two minutes, and changes, to KV; a job each minute"

    window_s: Decimal = knob(Decimal(120), "s", "the length of a window; the document's")
    job_s: Decimal = knob(Decimal(60), "s", "between two runs of the job; the document's")

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says."""
        sample, window, beat = self.set_to("sample"), self.set_to("window_s"), self.set_to("beat_s")
        reports = self.seats_reports(terms)
        # With a beat at a random moment of it, so much of a window lies after its first report.
        after = (1 - beat / (2 * window)).named("after", "of a window lies after its first report")
        first = terms.stay / window + after
        changed = terms.stay / window * (1 - exp(0 - terms.moods * after * window / terms.stay))
        stays = (sample * terms.joins).named("sampled_joins", "a month")
        runs = (terms.month / self.set_to("job_s")).named("runs", "of the job a month")
        seats = sample * terms.people
        requests = (terms.polls(self.set_to("poll_s")) + reports + runs).named("requests", "a month")
        return {
            "workers_requests": requests,
            "workers_cpu_ms": requests * self.set_to("cpu_ms"),
            "kv_writes": stays * (first + changed) + runs,
            "kv_deletes": stays * terms.goodbyes,
            "kv_lists": runs * up(seats / 1_000),
            "kv_reads": self.kv_reads(terms),
        }

    def loads(
        self, terms: Terms, usage: Mapping[str, Figure], plan: str
    ) -> Iterable[tuple[str, Figure, str]]:
        """Every visitor has a key, and the job writes one."""
        del usage
        runs = (terms.month / self.set_to("job_s")).named("runs", "a month")
        if plan == FREE:
            yield "free_cpu_ms", self.set_to("cpu_ms"), "the request fails"
        yield (
            "kv_key_writes",
            (runs / terms.month).named("writes", "a second"),
            "further writes fail with 429",
        )

    def assumptions(self) -> tuple[Assumption, ...]:
        """As its parts say."""
        listed = Assumption(
            "what a key holds fits the metadata that a list of 1,000 keys brings along, so the job reads no key",
            "https://developers.cloudflare.com/kv/api/list-keys/",
            "M",
        )
        job = Assumption("a run of the job is a Worker request", WORKERS, "M")
        return (*super().assumptions(), listed, job)


@dataclass(frozen=True, kw_only=True)
class WriteMinimal(SampledCached):
    """Everybody is written on joining and on a change of mood, and counted from the rate of writes."""

    name: ClassVar[str] = "write-minimal"
    reports: ClassVar[str] = "everybody, on joining and on a change of mood"

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says."""
        reports = (terms.joins * (1 + terms.moods)).named("reports", "a month")
        return self.requests(terms, reports) | {"kv_reads": self.kv_reads(terms), "kv_writes": reports}

    def accuracy(self, terms: Terms) -> Accuracy:
        """Of exponential stays; what is not known of the stays comes on top."""
        error = root(1 / (2 * terms.people)).named("error", "standard, relative")
        return Accuracy(error, Decimal(0), f"standard error {in_percent(error)}, and that of the mean stay")

    def assumptions(self) -> tuple[Assumption, ...]:
        """The coin is none of them."""
        return tuple(entry for entry in super().assumptions() if "coin" not in entry.text)


@dataclass(frozen=True, kw_only=True)
class ClientOnly(Strategy):
    """No backend: the page shows what is usual at this hour."""

    name: ClassVar[str] = "client-only"
    plans: ClassVar[tuple[str, ...]] = (FREE,)
    reports: ClassVar[str] = "nobody"
    writes: ClassVar[str] = "nothing"
    reads: ClassVar[str] = "averages that come with the page"

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """Nothing."""
        del terms
        return {}

    def accuracy(self, terms: Terms) -> Accuracy:
        """Nobody is counted."""
        del terms
        return Accuracy(None, None, "nobody is counted: a label says that it is an estimate from history")

    def assumptions(self) -> tuple[Assumption, ...]:
        """The page is free."""
        return (STATIC,)


# --- Durable Objects with sockets ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class DurableObject(Strategy):
    """Everybody holds a socket to a Durable Object; several share the crowd where one is too small."""

    name: ClassVar[str] = "durable-object"
    reports: ClassVar[str] = "everybody, over a socket"
    writes: ClassVar[str] = "a snapshot every 60 s, to its rows and to KV"
    reads: ClassVar[str] = "pushed over the socket"

    beat_s: Decimal = knob(Decimal(60), "s", "between two messages of a person; the vendor's example")
    objects: int = knob(0, "objects", "that share the crowd; 0: as many as it takes", zero=True)
    sockets: int = knob(
        10_000, "sockets", "that an object holds before there are twice as many (sockets_per_object)"
    )
    hibernating: bool = knob(True, "", "whether an object sleeps between messages")
    handler_ms: Decimal = knob(
        Decimal(1),
        "ms",
        "to handle a message; measured in workerd: 0.65 (JavaScript) to 3 (Python)",
        zero=True,
    )
    connect_ms: Decimal = knob(Decimal(1), "ms", "to let somebody in; likewise", zero=True)
    push_s: Decimal = knob(Decimal(30), "s", "between two pushes to everybody; 0: none", zero=True)
    send_us: Decimal = knob(
        Decimal(20), "us", "to send to one socket; measured in workerd: 16 to 23", zero=True
    )
    snapshot_s: Decimal = knob(
        Decimal(60), "s", "between two snapshots, each of them a KV write too; 0: none", zero=True
    )
    sums_s: Decimal = knob(
        Decimal(5),
        "s",
        "between two sums that an object tells the first of several, or push_s if that is less; 0: never",
        zero=True,
    )
    closes_billed: bool = knob(False, "", "whether the end of a socket is a request")

    def messages(self, terms: Terms) -> Figure:
        """Count messages in; a person's beats begin at any moment of the minute."""
        return (terms.people * terms.month / self.set_to("beat_s") + terms.joins * terms.moods).named(
            "messages", "a month"
        )

    def shards(self, terms: Terms) -> Figure:
        """Say how many objects there are."""
        if self.objects:
            return self.set_to("objects")
        needed = int(up(terms.people / self.sockets).value)
        return figure(min(1 << (needed - 1).bit_length(), OBJECTS_MAX)).named("objects", "")

    @property
    def tempo(self) -> Figure:
        """How often an object tells the first of several its sums."""
        sums_s = self.set_to("sums_s")
        return least(sums_s, self.set_to("push_s")) if self.push_s else sums_s

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says."""
        messages, shards = self.messages(terms), self.shards(terms)
        pushes = every(terms.month, self.set_to("push_s")).named("pushes", "a month and object")
        snapshots = (shards * every(terms.month, self.set_to("snapshot_s"))).named("snapshots", "a month")
        # A snapshot is taken with whatever happens next; where nothing is pushed, an alarm sees to it.
        alarms = ((shards * pushes) if pushes.value else snapshots).named("alarms", "a month")
        told, sums = figure(0), figure(0)
        if self.sums_s and shards.value > 1:
            # What is pushed is so with the alarm for telling sums.
            told = (shards * every(terms.month, self.tempo)).named("alarms", "a month")
            alarms, sums = told, ((shards - 1) * every(terms.month, self.tempo)).named("sums", "a month")
        requests = terms.joins + messages / 20 + alarms + sums
        if self.closes_billed:
            requests += terms.joins
        if self.hibernating:
            handling = (messages + 2 * sums) * self.set_to("handler_ms")
            handling += terms.joins * self.set_to("connect_ms")
            sending = terms.people * pushes * self.set_to("send_us") / 1_000
            awake = least((handling + sending) / 1_000, shards * terms.month)
        else:
            awake = shards * terms.month
        return {
            "workers_requests": terms.joins,
            "workers_cpu_ms": terms.joins * figure(1),
            "object_requests": requests,
            "object_gb_s": MEMORY_GB * awake.named("awake", "s a month"),
            "rows_written": alarms + told + PUSH_ROWS * shards * pushes + (SNAPSHOT_ROWS + 1) * snapshots,
            "kv_writes": every(terms.month, self.set_to("snapshot_s")),
        }

    def accuracy(self, terms: Terms) -> Accuracy:
        """Sockets are counted."""
        del terms
        return COUNTED

    def loads(
        self, terms: Terms, usage: Mapping[str, Figure], plan: str
    ) -> Iterable[tuple[str, Figure, str]]:
        """Sockets and messages of one object."""
        del usage, plan
        shards = self.shards(terms)
        a_second = (self.messages(terms) + terms.joins) / terms.month
        yield (
            "object_sockets",
            (terms.people / shards).named("sockets", "of an object"),
            "further sockets are refused",
        )
        yield (
            "object_load",
            (a_second / shards).named("load", "a second and object"),
            "requests fail as overloaded",
        )

    def assumptions(self) -> tuple[Assumption, ...]:
        """As its parts say."""
        found = [
            Assumption(
                "signs of life that are answered automatically are not used: every message counts",
                OBJECTS,
                "V",
            ),
            Assumption("pushes cost nothing but the time to send them", OBJECTS, "V"),
            Assumption(
                "each push is an alarm, which is a request, and 3 rows; a snapshot is 4 rows and a KV write; all counted in workerd",
                EDGE,
                "V",
            ),
            Assumption(
                "each of several objects has an alarm and two rows for telling sums, and a call of the first one; only that is backed up in KV",
                EDGE,
                "V",
            ),
            Assumption("the end of a socket is no request", OBJECTS, "M", replace(self, closes_billed=True)),
            Assumption("a Worker that lets somebody in takes 1 ms", "assumed", "M"),
            STATIC,
        ]
        if self.hibernating:
            found.append(
                Assumption(
                    "a pending alarm does not keep an object awake",
                    OBJECTS,
                    "M",
                    replace(self, hibernating=False),
                )
            )
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Awake(DurableObject):
    """As ``durable-object``, but it never sleeps: sockets accepted the plain way, or a timer that runs."""

    name: ClassVar[str] = "durable-object-awake"
    hibernating: bool = knob(False, "", "whether an object sleeps between messages")


# --- Ours ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Fixed(Strategy):
    """A panel of a fixed size reports for all; everybody reads a published object through a CDN that does not bill per hit."""

    name: ClassVar[str] = "fixed"
    reports: ClassVar[str] = "a panel of a fixed size: changes, and rarely a sign of life"
    writes: ClassVar[str] = "each report a row of one Durable Object; the presence to R2 every 5 s"
    reads: ClassVar[str] = "R2 through the CDN, past the Worker"

    panel: int = knob(400, "people", "who report, of a large crowd", most=1_000_000)
    beat_s: Decimal = knob(Decimal(300), "s", "between two signs of life")
    poll_s: Decimal = knob(Decimal(30), "s", "between two polls")
    publish_s: Decimal = knob(Decimal(5), "s", "between two writes of the presence, at least")
    cache_s: Decimal = knob(Decimal(5), "s", "how long the CDN answers with a presence", zero=True)
    config_s: Decimal = knob(Decimal(300), "s", "how long it answers with a config")
    by_alarm: bool = knob(True, "", "whether an alarm publishes; otherwise the next report does")
    lazy_s: Decimal = knob(Decimal(60), "s", "between two alarms of a room that nobody watches (lazy_ms)")
    snapshot_s: Decimal = knob(
        Decimal(60), "s", "between two snapshots, each of them a KV write too; 0: none", zero=True
    )
    mood_renews: bool = knob(True, "", "whether a change of mood is a sign of life too, as in our clients")
    cpu_ms: Decimal = knob(
        Decimal(1),
        "ms",
        "CPU time of a report; measured in workerd: 0.65 (JavaScript) to 3 (Python)",
        zero=True,
    )
    places: Decimal = knob(Decimal(1), "data centers", "that read the bucket: one, with tiered cache")
    hits_billed: bool = knob(False, "", "whether a hit of the cache is a read of the bucket")

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says."""
        each = terms.reports_per_stay(self.set_to("beat_s"), mood_renews=self.mood_renews)
        reports = (panel_share(self.set_to("panel"), terms) * terms.joins * each).named("reports", "a month")
        publish = self.set_to("publish_s")
        polls = terms.polls(self.set_to("poll_s"))
        alarms = (terms.month / (publish if self.by_alarm else self.set_to("lazy_s"))).named(
            "alarms", "a month"
        )
        snapshots = every(terms.month, self.set_to("snapshot_s")).named("snapshots", "a month")
        written = alarms if self.by_alarm else terms.cached(publish, reports).named("published", "a month")
        if self.hits_billed:
            read = polls + terms.joins
        else:
            places = self.set_to("places")
            presence, config = self.set_to("cache_s"), self.set_to("config_s")
            if self.places == 1:
                read = terms.cached(presence, polls) + terms.cached(config, terms.joins)
            else:
                read = places * (
                    terms.cached(presence, polls / places) + terms.cached(config, terms.joins / places)
                )
        return {
            "workers_requests": reports,
            "workers_cpu_ms": reports * self.set_to("cpu_ms"),
            "object_requests": reports + alarms,
            "object_gb_s": MEMORY_GB * terms.month,
            "rows_written": reports + alarms + SNAPSHOT_ROWS * snapshots,
            "kv_writes": snapshots,
            "r2_writes": written,
            "r2_reads": read,
        }

    def accuracy(self, terms: Terms) -> Accuracy:
        """That of the panel."""
        return panel_accuracy(self.set_to("panel"), terms)

    def loads(
        self, terms: Terms, usage: Mapping[str, Figure], plan: str
    ) -> Iterable[tuple[str, Figure, str]]:
        """One object, and one key."""
        if plan == FREE:
            yield "free_cpu_ms", self.set_to("cpu_ms"), "the report fails"
        yield (
            "object_load",
            (usage["object_requests"] / terms.month).named("load", "a second"),
            "reports fail as overloaded",
        )
        yield (
            "r2_key_writes",
            (usage["r2_writes"] / terms.month).named("writes", "a second"),
            "writes of the presence fail with 429",
        )

    def assumptions(self) -> tuple[Assumption, ...]:
        """As its parts say."""
        return (
            Assumption(
                "a hit of the cache is no read of the bucket",
                "no page of the vendor's says so; only reads of the bucket are in its list of class B operations",
                "M",
                replace(self, hits_billed=True),
            ),
            Assumption(
                "tiered cache: one data center reads the bucket (an older page of the vendor's says that it does not work with R2)",
                TIERED,
                "V",
                replace(self, places=Decimal(100)),
            ),
            Assumption(
                "a cache rule makes the CDN keep JSON, which it does not by itself",
                DEFAULT_CACHE,
                "V",
                replace(self, hits_billed=True),
            ),
            Assumption(
                f"a report takes {self.cpu_ms} ms of CPU",
                "measured in workerd on a virtual machine, 2026-11: 0.65 ms in JavaScript, 3 ms in Python",
                "M",
                replace(self, cpu_ms=Decimal(3)),
            ),
            Assumption(
                f"the presence is written every {self.publish_s} s",
                "https://developers.cloudflare.com/r2/platform/limits/",
                "V",
                replace(self, publish_s=Decimal(1)),
            ),
            Assumption(
                "the object is awake all the time, which is the most that it can be; one fits in what the plan includes",
                OBJECTS,
                "V",
            ),
            Assumption(
                "each report is written as a row, since an object that hibernates forgets; setting an alarm is a row, too; "
                "a snapshot is 3 rows and a KV write; all counted in workerd",
                EDGE,
                "V",
            ),
            Assumption(
                "an alarm publishes, which is the most; the Worker that comes with this package publishes with the next report",
                EDGE,
                "V",
                replace(self, by_alarm=False),
            ),
            Assumption(
                "the allowance of R2 holds on the free plan, too",
                "https://developers.cloudflare.com/r2/pricing/",
                "V",
            ),
            Assumption("a domain of yours is on Cloudflare; what it costs is not in the bill", TIERED, "V"),
            Assumption(
                "reports go to the page's own host; to another, each stay costs one more Worker request, which asks whether it may (CORS)",
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


@dataclass(frozen=True, kw_only=True)
class SelfHosted(Strategy):
    """One machine with ``breathing-room serve``, and a socket for everybody."""

    name: ClassVar[str] = "self-hosted"
    provider: ClassVar[str] = "hetzner"
    plans: ClassVar[tuple[str, ...]] = ("paid",)
    reports: ClassVar[str] = "everybody, over a socket"
    writes: ClassVar[str] = "a snapshot every 10 s, to a file"
    reads: ClassVar[str] = "pushed over the socket"

    push_s: Decimal = knob(Decimal(1), "s", "between two announcements, at least (push_ms)")
    pushes_per_s: Decimal = knob(
        Decimal(20_000), "a second", "messages that announcements may cost (pushes_per_s)"
    )
    message_bytes: Decimal = knob(Decimal(272), "bytes", f"of an announcement; measured ({BENCH})")
    wire_bytes: Decimal = knob(
        Decimal(74), "bytes", "of IP, TCP and TLS around a message; computed: 20 + 32 + 22", zero=True
    )
    person_bytes: Decimal = knob(Decimal(1_896), "bytes", f"of memory of a person; measured ({BENCH})")
    message_us: Decimal = knob(Decimal("8.97"), "us", f"of CPU of a message; measured ({BENCH})")
    join_us: Decimal = knob(Decimal(172), "us", f"of CPU of a join; measured ({BENCH})")

    def announcements(self, terms: Terms) -> Figure:
        """Count changes that are told: one at once, those of the least time after it together at its end."""
        # Whoever breaks off without a goodbye is in doubt first, and gone when the grace is over: two changes.
        each = 3 + terms.moods - terms.goodbyes
        changes = (terms.joins * each / terms.month).named("changes", "a second")
        apart = most(self.set_to("push_s"), terms.people / self.set_to("pushes_per_s")).named(
            "apart", "s, at least"
        )
        # Whether nothing changed meanwhile, and then the wait for what changes next.
        idle = exp(0 - changes * apart) / changes
        return (terms.month / (apart + idle)).named("announcements", "a month")

    def sent(self, terms: Terms) -> Figure:
        """Count messages to people: every announcement to everybody, and an answer to each join."""
        return (self.announcements(terms) * terms.people + terms.joins).named("sent", "messages a month")

    def egress(self, terms: Terms) -> Figure:
        """Count bytes that are sent."""
        return (self.sent(terms) * (self.set_to("message_bytes") + self.set_to("wire_bytes"))).named(
            "egress", "bytes a month"
        )

    def core(self, terms: Terms) -> Figure:
        """Say how busy the core is."""
        busy_us = self.sent(terms) * self.set_to("message_us") + terms.joins * self.set_to("join_us")
        return (busy_us / 1_000_000 / terms.month).named("busy", "cores")

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says."""
        return {
            "machines": figure(1),
            "ipv4": figure(1),
            "egress_tb": self.egress(terms) / given(10**12, "TB", "bytes", "by definition"),
        }

    def accuracy(self, terms: Terms) -> Accuracy:
        """Sockets are counted."""
        del terms
        return COUNTED

    def loads(
        self, terms: Terms, usage: Mapping[str, Figure], plan: str
    ) -> Iterable[tuple[str, Figure, str]]:
        """Memory and core of the machine."""
        del usage, plan
        yield (
            "memory",
            (terms.people * self.set_to("person_bytes")).named("memory", "bytes"),
            "people are refused",
        )
        yield "core", self.core(terms), "announcements come late"

    def assumptions(self) -> tuple[Assumption, ...]:
        """As its parts say."""
        return (
            Assumption("memory, CPU and bytes are those of the benchmark, on another machine", BENCH, "V"),
            Assumption(
                "somebody looks after the machine; while it is down nobody is counted", "by its nature", "V"
            ),
        )


@dataclass(frozen=True, kw_only=True)
class SelfHostedEc2(SelfHosted):
    """The same on a machine of AWS, where what is sent is billed."""

    name: ClassVar[str] = "self-hosted-ec2"
    provider: ClassVar[str] = "aws"

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says; the machine runs day and night."""
        hours = given(730, "machine_hours", "a month", "365 x 24 / 12")
        return {
            "machine_hours": hours,
            "ipv4_hours": hours,
            "egress_gb": self.egress(terms) / given(10**9, "GB", "bytes", "by definition"),
        }


@dataclass(frozen=True, kw_only=True)
class SelfHostedPolled(SelfHosted):
    """One machine with ``breathing-room serve`` behind nginx; a panel reports, and the cache answers everybody's polls."""

    name: ClassVar[str] = "self-hosted-polled"
    reports: ClassVar[str] = "a panel of a fixed size: changes, and rarely a sign of life"
    reads: ClassVar[str] = "polls, answered by nginx's cache"

    panel: int = knob(400, "people", "who report, of a large crowd", most=1_000_000)
    beat_s: Decimal = knob(Decimal(300), "s", "between two signs of life")
    poll_s: Decimal = knob(Decimal(30), "s", "between two polls")
    message_bytes: Decimal = knob(
        Decimal(735),
        "bytes",
        "of an answer with its headers, of a million people; 630 measured with curl in an empty room",
    )
    wire_bytes: Decimal = knob(
        Decimal(250), "bytes", "of IP, TCP and TLS around an answer on an open connection; assumed", zero=True
    )

    def accuracy(self, terms: Terms) -> Accuracy:
        """That of the panel."""
        return panel_accuracy(self.set_to("panel"), terms)

    def sent(self, terms: Terms) -> Figure:
        """Count answers. That to a report says what a poll would, so the next poll is due later: by half of the time between two, on average."""
        each = terms.reports_per_stay(self.set_to("beat_s"), mood_renews=True)
        members = (panel_share(self.set_to("panel"), terms) * terms.joins).named(
            "members", "of the panel join a month"
        )
        spared = (members * (each - 1 - terms.goodbyes) / 2).named("spared", "polls a month")
        return (terms.polls(self.set_to("poll_s")) - spared + members * each).named("sent", "answers a month")

    def loads(
        self, terms: Terms, usage: Mapping[str, Figure], plan: str
    ) -> Iterable[tuple[str, Figure, str]]:
        """None is known: nginx answers, and how much it can was not measured."""
        del terms, usage, plan
        return ()


# --- The same room, bought elsewhere ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Managed(Strategy):
    """Everybody holds a connection to a service that pushes; most bill every delivery."""

    plans: ClassVar[tuple[str, ...]] = ("paid",)
    reports: ClassVar[str] = "everybody, over a connection"
    writes: ClassVar[str] = "the service knows who is connected"
    reads: ClassVar[str] = "pushed by the service"

    push_s: Decimal = knob(Decimal(30), "s", "between two pushes to everybody")

    def pushes(self, terms: Terms) -> Figure:
        """Count pushes."""
        return (terms.month / self.set_to("push_s")).named("pushes", "a month")

    def deliveries(self, terms: Terms) -> Figure:
        """Count messages to people."""
        return (terms.people * self.pushes(terms)).named("deliveries", "a month")

    def minutes(self, terms: Terms) -> Figure:
        """Count minutes of connections; a stay's last minute counts whole, half of it on average too much."""
        return (terms.people * terms.month / 60 + terms.joins / 2).named("minutes", "a month")

    def accuracy(self, terms: Terms) -> Accuracy:
        """Connections are counted."""
        del terms
        return COUNTED


@dataclass(frozen=True, kw_only=True)
class ApiGateway(Managed):
    """Sockets of API Gateway, Lambda to answer, DynamoDB to remember."""

    name: ClassVar[str] = "aws-api-gateway"
    provider: ClassVar[str] = "aws"

    function_ms: Decimal = knob(Decimal(10), "ms", "of a function that handles a message; assumed", zero=True)
    call_ms: Decimal = knob(
        Decimal(1), "ms", "of a function for each recipient of a push; assumed", zero=True
    )
    function_gb: Decimal = knob(Decimal("0.128"), "GB", "of memory of a function; the least there is")

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says."""
        deliveries = self.deliveries(terms)
        told = (terms.joins * (2 + terms.moods)).named("told", "joins, ends and moods a month")
        calls = (told + self.pushes(terms)).named("calls", "of functions a month")
        busy_ms = calls * self.set_to("function_ms") + deliveries * self.set_to("call_ms")
        return {
            "websocket_messages": deliveries + terms.joins * terms.moods,
            "websocket_minutes": self.minutes(terms),
            "lambda_requests": calls,
            "lambda_gb_s": busy_ms / 1_000 * self.set_to("function_gb"),
            "dynamodb_writes": told,
        }

    def loads(
        self, terms: Terms, usage: Mapping[str, Figure], plan: str
    ) -> Iterable[tuple[str, Figure, str]]:
        """There is no multicast: each recipient is a call."""
        del usage, plan
        yield (
            "websocket_connects",
            (terms.joins / terms.month).named("connects", "a second"),
            "further connects are refused",
        )
        yield (
            "account_calls",
            (self.deliveries(terms) / terms.month).named("calls", "a second"),
            "pushes are throttled",
        )


@dataclass(frozen=True, kw_only=True)
class AppSync(Managed):
    """Channels of AppSync Events."""

    name: ClassVar[str] = "aws-appsync"
    provider: ClassVar[str] = "aws"

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says: a join is two operations, connect and subscribe."""
        return {
            "appsync_operations": self.deliveries(terms)
            + self.pushes(terms)
            + terms.joins * (2 + terms.moods),
            "appsync_minutes": self.minutes(terms),
        }

    def loads(
        self, terms: Terms, usage: Mapping[str, Figure], plan: str
    ) -> Iterable[tuple[str, Figure, str]]:
        """Quotas of an API."""
        del usage, plan
        yield (
            "appsync_connects",
            (terms.joins / terms.month).named("connects", "a second"),
            "further connects are refused",
        )
        yield (
            "appsync_deliveries",
            (self.deliveries(terms) / terms.month).named("deliveries", "a second"),
            "deliveries are throttled",
        )


@dataclass(frozen=True, kw_only=True)
class Ably(Managed):
    """Channels of Ably, at the prices of accounts that have them still."""

    name: ClassVar[str] = "ably"
    provider: ClassVar[str] = "ably"
    plans: ClassVar[tuple[str, ...]] = ("standard", "pro")

    def plan_of(self, terms: Terms, plan: str) -> str:
        """Take the smaller package as long as it does."""
        fits = terms.people.value <= 10_000 and self.deliveries(terms).value / terms.month.value <= 2_500
        return plan if plan in self.plans else "standard" if fits else "pro"

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says."""
        return {
            "messages": self.deliveries(terms) + self.pushes(terms) + terms.joins * terms.moods,
            "connection_minutes": self.minutes(terms),
        }

    def loads(
        self, terms: Terms, usage: Mapping[str, Figure], plan: str
    ) -> Iterable[tuple[str, Figure, str]]:
        """Those of the package."""
        of_plan = "" if plan == "standard" else "_pro"
        yield f"connections{of_plan}", terms.people, "further connections are refused"
        yield (
            f"messages{of_plan}",
            (usage["messages"] / terms.month).named("messages", "a second"),
            "messages are refused",
        )


@dataclass(frozen=True, kw_only=True)
class Supabase(Managed):
    """Channels of Supabase Realtime."""

    name: ClassVar[str] = "supabase"
    provider: ClassVar[str] = "supabase"
    plans: ClassVar[tuple[str, ...]] = ("pro",)

    message_bytes: Decimal = knob(
        Decimal(346), "bytes", f"of a message on the wire; 272 measured ({BENCH}), and 74 around it"
    )

    def usage(self, terms: Terms) -> Mapping[str, Figure]:
        """As the protocol says."""
        deliveries = self.deliveries(terms)
        return {
            "peak_connections": terms.people,
            "messages": deliveries + self.pushes(terms) + terms.joins * terms.moods,
            "egress_gb": deliveries
            * self.set_to("message_bytes")
            / given(10**9, "GB", "bytes", "by definition"),
        }

    def loads(
        self, terms: Terms, usage: Mapping[str, Figure], plan: str
    ) -> Iterable[tuple[str, Figure, str]]:
        """More can be had on request."""
        del plan
        yield "connections", terms.people, "further connections are refused"
        yield (
            "messages",
            (usage["messages"] / terms.month).named("messages", "a second"),
            "clients are disconnected",
        )


# --- All of them --------------------------------------------------------------------------------------------------

STRATEGIES: Final[Mapping[str, type[Strategy]]] = {
    strategy.name: strategy
    for strategy in (
        Naive, Sampled, SampledCached, Bucketed, Lazy, WriteMinimal, ClientOnly, DurableObject, Awake, Fixed,
        SelfHosted, SelfHostedPolled, SelfHostedEc2, ApiGateway, AppSync, Ably, Supabase,
    )
}  # fmt: skip
"""Every strategy, by name."""


def strategy(name: str, plan: str = "paid", **settings: object) -> Strategy:
    """Make a strategy with the settings that make sense for it.

    On the free plan, which allows 1,000 KV writes a day, a snapshot is taken every 300 s, and ``fixed`` has a panel of 150 and publishes on
    reports, so that its daily limits leave room for a surge.

    Args:
        name: Which.
        plan: The provider's plan.
        **settings: What to set, by the names of its fields; what it does not have is passed over.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in STRATEGIES:
        raise ConfigError(f"there is no strategy {name!r}; there are {', '.join(STRATEGIES)}")
    kind = STRATEGIES[name]
    known = kind.__dataclass_fields__
    free = {"panel": 150, "by_alarm": False, "snapshot_s": Decimal(300)}
    defaults = {key: free[key] for key in free.keys() & known.keys()} if plan == FREE else {}
    return kind(**defaults | {key: value for key, value in settings.items() if key in known})
