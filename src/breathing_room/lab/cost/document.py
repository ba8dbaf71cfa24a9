"""The planning document's claims, each beside what it should be, and why.

The right figures are computed from the price book and the strategies; nothing here is typed but what the
document says.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from breathing_room.lab.cost.book import Book
from breathing_room.lab.cost.crowd import MONTH_DAYS, CrowdFigures, CrowdProfile
from breathing_room.lab.cost.formula import figure, money, number
from breathing_room.lab.cost.model import Bill, bill
from breathing_room.lab.cost.strategies.fixed import fixed
from breathing_room.lab.cost.strategies.objects import durable_object
from breathing_room.lab.cost.strategies.polled import lazy, sampled, sampled_cached, write_minimal
from breathing_room.lab.cost.strategy import Strategy

PEOPLE: Final = 10_000
DAY_S: Final = 86_400
MONTH_S: Final = MONTH_DAYS * DAY_S
VISIT_S: Final = Decimal(900)

SUMMARY: Final = (
    (100, "~$3", "~$2"),
    (1_000, "~$30", "~$3"),
    (10_000, "~$300", "~$8"),
    (100_000, "not feasible", "~$50"),
)
"""The document's last table: people, what it says of KV, and of Durable Objects."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the document.

    Attributes:
        about: What it is about.
        said: The document's figure.
        right: The right one.
        holds: Whether the document is right.
        why: The reason for the difference.
    """

    about: str
    said: str
    right: str
    holds: bool
    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the summary table: a crowd, what the document says, and the bills.

    Attributes:
        people: How many.
        kv_said: What the document says of KV.
        kv: The right bill of its final architecture.
        object_said: What it says of Durable Objects.
        object: The right bill of them.
        fixed: Ours.
        why: The reason for the differences.
    """

    people: int
    kv_said: str
    kv: Bill
    object_said: str
    object: Bill
    fixed: Bill
    why: str


def summary(book: Book, *, rounding: str = "believed") -> tuple[Row, ...]:
    """Reproduce the document's summary table with right prices and right arithmetic, and go on to a million
    people.
    """

    def priced(strategy: Strategy, people: int) -> Bill:
        return bill(strategy, CrowdProfile(people=people), book, plan="paid", rounding=rounding)

    rows = []
    for people, kv_said, object_said in (*SUMMARY, (1_000_000, "-", "-")):
        kv, sockets = priced(sampled_cached(), people), priced(durable_object(), people)
        rows.append(
            Row(people, kv_said, kv, object_said, sockets, priced(fixed(), people), _why(kv, sockets))
        )
    return tuple(rows)


def _why(kv: Bill, sockets: Bill) -> str:
    """Return what makes up the bills, and what the document did not count."""
    return f"KV: {_parts(kv, 'each poll is a Worker request, which the document left out')}; DO: " + _parts(
        sockets, "each connect is a Worker request and one of the object's, and messages are requests, too"
    )


def _parts(made: Bill, left_out: str) -> str:
    dear = sorted(
        (line for line in made.lines if line.charge.value >= Decimal("0.005")),
        key=lambda line: -line.charge.value,
    )
    if not dear:
        return f"all is within what the plan includes, and {money(made.base)} is the least"
    parts = ", ".join(f"{money(line.charge.value)} {line.item.title}" for line in dear)
    broken = f"; breaks {made.broken[0].title}" if made.broken else ""
    return f"{left_out}: {parts} over the plan{broken}"


def claims(book: Book) -> tuple[Claim, ...]:
    """Check the document from top to bottom."""
    item = book.item
    crowd = CrowdProfile(people=PEOPLE, visit_s=VISIT_S)
    permanent = CrowdProfile(people=PEOPLE, visit_s=Decimal(MONTH_S), mood_changes=Decimal(0))

    def price(key: str) -> str:
        entry = item(f"cloudflare.{key}")
        return f"{money(entry.price)}/million after {number(entry.included['paid'])} a month"

    def free(key: str) -> str:
        return f"{number(item(f'cloudflare.{key}').daily['free'])}/day"

    def charge(key: str, a_day: int) -> str:
        month = Decimal(a_day) * MONTH_DAYS
        return f"{money(item(f'cloudflare.{key}').charge(figure(month), 'paid').value)}/month"

    def total(strategy: Strategy, at: CrowdProfile = crowd) -> str:
        return f"{money(bill(strategy, at, book, plan='paid').total_usd)}/month"

    samples = PEOPLE * 3 // 100
    heartbeats = samples * 2 * 60 * 24
    fast, slow = PEOPLE * 6 * 60 * 24, PEOPLE * 2 * 60 * 24
    sampling = sampled().accuracy(CrowdFigures(crowd))
    assert sampling.bias is not None
    duration = item("cloudflare.object_gb_s")
    per_gb_s = duration.price / duration.per
    object_bill = bill(durable_object(), crowd, book, plan="paid")

    def reads(cache_s: int) -> str:
        return f"{DAY_S // cache_s:,}/day and data center"

    return (
        Claim("accuracy of sampling 3 % of heartbeats", "~5-10 %", f"{1 + sampling.bias:.1f} times the truth; 8 times where joining forces a heartbeat", False,
              "a lease of four heartbeats counts each visitor who sent any of the four: 1 - 0.97^4 = 11.5 % of people, divided by 3 %"),
        Claim("accuracy of 3 % of people, had it been that", "~5-10 %", ", ".join(f"{_sample_error(people):.0%} at {people:,}" for people in (247, 1_000, 10_000)), False,
              "the error of a fixed share falls with the crowd: sqrt(0.97 / (0.03 N)); 5 to 10 % only from about 3,200 to 12,900 people"),
        Claim("Worker requests", "$0.50/million", price("workers_requests"), False, "$0.50 was a usage model that was retired; CPU time comes on top"),
        Claim("KV reads", "$0.50/million", price("kv_reads"), True, "and misses count"),
        Claim("KV writes", "$5.00/million", price("kv_writes"), True, "and deletes and lists cost as much"),
        Claim("free Worker requests", "100,000/day", free("workers_requests"), True, "then every call fails until midnight UTC"),
        Claim("free KV reads", "100,000/day", free("kv_reads"), True, ""),
        Claim("free KV writes", "1,000/day", free("kv_writes"), True, "one in 86 s; and never more than one a second to a key"),
        Claim("heartbeat writes: 300 x 2/min", "864,000/day", f"{heartbeats:,}/day", True, f"10 a second, where one key takes one; {charge('kv_writes', heartbeats)}"),
        Claim("reads: 10,000 x 6/min", "8.64 M/day", f"{fast:,}/day", False, "ten times as many: 10,000 x 6 x 60 x 24"),
        Claim("KV reads with a cache of 5 s", "288,000/day", reads(5), False, "a cache asks once in its lifetime, regardless of the number of visitors; dividing reads by 30 means nothing"),
        Claim("Worker requests in all", "9.5 M/day, ~$4.50", f"{fast + heartbeats:,}/day, {charge('workers_requests', fast + heartbeats)}", False,
              "ten times as many reads; and the sum of a day stands where that of a month should"),
        Claim("KV reads, their cost", "~$0.09", charge("kv_reads", DAY_S // 5), False, "within what is included"),
        Claim("KV writes, their cost", "~$4.30", charge("kv_writes", heartbeats), False, "that is a day; a month is 30"),
        Claim("monthly estimate, polls every 10 s", "~$270", total(sampled_cached(poll_s=Decimal(10), cache_s=Decimal(5))), False,
              "every poll is a Worker request, cached or not"),
        Claim("reads: 10,000 x 2/min", "2.88 M/day", f"{slow:,}/day", False, "ten times as many: 10,000 x 2 x 60 x 24"),
        Claim("KV reads with a cache of 5 s, 10 s, 30 s", "480,000, 240,000, 48,000/day", f"{DAY_S // 5:,}, {DAY_S // 10:,}, {DAY_S // 30:,}/day and data center", False,
              "one in a lifetime; KV itself caches no shorter than 30 s"),
        Claim("final architecture, writes alone", "~$130", charge("kv_writes", heartbeats), False, "a million writes are included"),
        Claim("final architecture, all", "~$130", total(sampled_cached()), False, "864 million Worker requests a month are missing"),
        Claim("lazy writes", "216,000/day, ~$32", f"{_writes(lazy(job_s=Decimal(MONTH_S)), permanent):,}/day, {charge('kv_writes', 216_000)}", False,
              "a million writes are included; it holds for 300 sampled people. Where heartbeats are sampled, nearly every report is another visitor's"),
        Claim("lazy writes, all", "~$32", total(lazy()), False, "joins, moods and leaves are writes too; so are deletes; and the Worker requests are missing"),
        Claim("sessions a day: 10,000 x 24 h / 15 min", "960,000", f"{PEOPLE * DAY_S // int(VISIT_S):,}", True, ""),
        Claim("write-minimal, writes", "~2 M/day, 60 M/month, $300", f"{_writes(write_minimal(), crowd):,}/day, {charge('kv_writes', _writes(write_minimal(), crowd))}", False,
              "960,000 joins and as many moods are 1.92 million; a million a month are included"),
        Claim("write-minimal, all", "$300", total(write_minimal()), False, "the polls are missing"),
        Claim("Durable Object duration", "$0.001/GB-s", f"${per_gb_s:f}/GB-s after {number(duration.included['paid'])} a month", False,
              "80 times too high: $12.50 is for a million"),
        Claim("Durable Object memory", "~100 KB per 1,000 connections", "128 MB for each object", False, "billed whole while it is awake, regardless of use; connections are not billed"),
        Claim("connection-minutes: 10,000 x 24 h x 30 days", "432 M", f"{PEOPLE * MONTH_S // 60:,}", True, "but nothing is billed by them"),
        Claim("0.0001 GB x 432 M x 60 s x $0.001", "~$2.60", money(Decimal("0.0001") * 432_000_000 * 60 * Decimal("0.001")), False,
              "a thousand times as much; and the units are wrong: 0.0001 GB is for 1,000 connections, 432 M minutes are of single ones"),
        Claim("pay per duration, not per request", "yes", "both", False, "requests, duration and rows; messages count a twentieth, and each connect a whole request and a Worker request"),
        Claim("10,000 people on Durable Objects", "~$8", f"{money(bill(_bare(), replace(crowd, mood_changes=Decimal(0)), book, plan='paid').total)}/month", False,
              f"its own visits of 15 min are 28.8 million connects a month, most of the bill; {money(bill(_bare(), permanent, book, plan='paid').total)} if no visitor ever left; "
              f"{money(object_bill.total)} with moods, pushes and snapshots"),
    )  # fmt: skip


def _bare() -> Strategy:
    """Return sockets and messages alone, as the price list's table has them."""
    none = Decimal(0)
    return durable_object(objects=1, connect_ms=none, push_s=none, snapshot_s=none, sums_s=none)


def _writes(strategy: Strategy, crowd: CrowdProfile) -> int:
    return round(strategy.usage(CrowdFigures(crowd))["kv_writes"].value / MONTH_DAYS)


def _sample_error(people: int) -> Decimal:
    return (Decimal("0.97") / (Decimal("0.03") * people)).sqrt()
