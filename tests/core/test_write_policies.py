"""The write policies: what each writes to a store, and what a crash loses."""

import asyncio
import contextlib
import heapq
import random
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breathing_room.core.identity import VisitorKey
from breathing_room.core.write_policies import POLICIES
from breathing_room.core.write_policies.on_change import OnChangePolicy
from breathing_room.core.write_policies.policy import WritePolicy
from breathing_room.core.write_policies.records import (
    KEY_REST_MS,
    Delete,
    Kind,
    Put,
    Record,
    SeatReport,
    Traffic,
    Writes,
    live_seats,
)
from breathing_room.ports import Clock, Store, check_put
from breathing_room.stores import MemoryStore, RedisStore, SqliteStore
from core.write_policies.reporting import ANN, BOB, CEM, LEASE_MS, MOODS, PREFIX, START_MS, TICKETS
from redis_process import RedisProcess, redis_process


def a_policy(name: str, seats: dict[VisitorKey, Record] | None = None) -> WritePolicy:
    if name == "on_change":  # Renewals within the length of a trace.
        return OnChangePolicy(PREFIX, lease_ms=LEASE_MS, seats=seats, renew_ms=200_000)
    return POLICIES[name](PREFIX, lease_ms=LEASE_MS, seats=seats)


@dataclass
class Truth:
    """The truth: who is present, by a scan of all reports."""

    reports: list[tuple[int, SeatReport]] = field(default_factory=list)

    def after(self, reports_count: int, visitor: VisitorKey) -> tuple[str, int] | None:
        """Return the mood and the last report of a visitor after so many reports; None: not present."""
        state: tuple[str, int] | None = None
        for at_ms, report in self.reports[:reports_count]:
            if report.visitor == visitor:
                assert report.mood is not None
                state = None if report.kind == "leave" else (report.mood, at_ms)
        return state


Arrival = tuple[int, VisitorKey, Kind | None, str]
"""A pause in ms, a visitor, the kind of report (None for none), and a mood."""


class Crash(Exception):  # noqa: N818 - the simulated crash is no error
    """The process crashes."""


@dataclass
class Run:
    """A process with a policy and a store on a virtual clock, until it crashes."""

    policy: WritePolicy
    store: Store
    truth: Truth
    now_ms: int
    operations_left: int
    acknowledged: int = 0
    next_timer_ms: int | None = None
    written_at_ms: dict[str, int] = field(default_factory=dict)

    async def live(self, trace: list[Arrival], clock: list[int]) -> None:
        for after_ms, visitor, kind, mood in trace:
            at_ms = self.now_ms + after_ms
            while self.next_timer_ms is not None and self.next_timer_ms <= at_ms:
                self.now_ms = clock[0] = max(self.now_ms, self.next_timer_ms)
                await self.carry_out(self.policy.on_timer(now_ms=self.now_ms))
            self.now_ms = clock[0] = at_ms
            self.tick()
            if kind is None:
                continue  # Only time passes.
            known = self.truth.after(len(self.truth.reports), visitor)
            # A heartbeat names the current mood.
            said = known[0] if kind in {"heartbeat", "leave"} and known else mood
            report = SeatReport(visitor, TICKETS[visitor], said, kind)
            self.truth.reports.append((at_ms, report))
            await self.carry_out(self.policy.report(report, now_ms=at_ms))
            self.acknowledged = len(self.truth.reports)

    def tick(self) -> None:
        if not self.operations_left:
            raise Crash
        self.operations_left -= 1

    async def carry_out(self, writes: Writes) -> None:
        self.next_timer_ms = writes.next_timer_ms
        assert writes.next_timer_ms is None or writes.next_timer_ms > self.now_ms
        for order in writes.writes:
            self.tick()
            last_ms = self.written_at_ms.get(order.key, 0)
            assert self.now_ms - last_ms >= KEY_REST_MS, (
                f"{order.key} was written {self.now_ms - last_ms} ms ago"
            )
            self.written_at_ms[order.key] = self.now_ms
            match order:
                case Put(key, value, ttl_ms):
                    check_put(key, value, ttl_ms)
                    await self.store.put(key, value, ttl_ms=ttl_ms)
                case Delete(key):
                    await self.store.delete(key)


async def read_back(store: Store, policy: WritePolicy, now_ms: int) -> dict[VisitorKey, Record]:
    values = [await store.get(key) for key in await store.list(PREFIX)]
    return live_seats(
        [value for value in values if value is not None],
        now_ms=now_ms,
        lease_ms=LEASE_MS,
        heartbeat_lag_ms=policy.heartbeat_lag_ms,
    )


def check_loss(run: Run, rebuilt: dict[VisitorKey, Record]) -> None:
    """Check that every seat is as it was at some instant of the last ``loss_ms``, and no older than
    ``heartbeat_lag_ms``.
    """
    policy, truth, now_ms = run.policy, run.truth, run.now_ms
    surely = sum(at_ms < now_ms - policy.loss_ms for at_ms, _ in truth.reports[: run.acknowledged])
    if policy.loss_ms == 0:
        surely = run.acknowledged
    for visitor, ticket in TICKETS.items():
        possible = [truth.after(count, visitor) for count in range(surely, len(truth.reports) + 1)]
        record = rebuilt.get(visitor)
        if record is None:
            assert any(state is None or state[1] + LEASE_MS <= now_ms for state in possible)
            continue
        assert record.ticket == ticket
        assert any(
            state is not None
            and state[0] == record.mood
            and record.reported_at_ms >= min(state[1], now_ms) - policy.heartbeat_lag_ms
            and state[1] + LEASE_MS + policy.heartbeat_lag_ms > now_ms
            for state in possible
        )
        before = truth.after(surely, visitor)
        if before is not None and all(possible):
            assert record.reported_at_ms >= before[1] - policy.heartbeat_lag_ms


trace_of_reports = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 300, 999, 1_000, 10_001, 30_000, 61_000, 75_000, 140_000])
        | st.integers(0, 99_999),
        st.sampled_from([ANN, ANN, BOB, CEM]),
        st.sampled_from(["join", "heartbeat", "heartbeat", "mood", "leave", None]),
        st.sampled_from(MOODS),
    ),
    max_size=25,
)

Open = Callable[[Clock], Awaitable[Store]]


async def two_runs(
    name: str,
    traces: list[list[Arrival]],
    crashes: list[int],
    open_store: Open,
    *,
    lasts: bool,
) -> None:
    """Run until the crash, read back, check; then run again with the seats that were read back."""
    clock = [START_MS]
    store = await open_store(lambda: clock[0])
    seats: dict[VisitorKey, Record] = {}
    for trace, operations in zip(traces, crashes, strict=True):
        policy = a_policy(name, seats)
        truth = Truth(
            [
                (seat.reported_at_ms, SeatReport(seat.visitor, seat.ticket, seat.mood, "join"))
                for seat in seats.values()
            ]
        )
        run = Run(policy, store, truth, clock[0], operations, acknowledged=len(seats))
        with contextlib.suppress(Crash):
            await run.live(trace, clock)
        if lasts:
            # The next process opens the store as the crash left it, not closed.
            found = await open_store(lambda: clock[0])
            await store.close()
            store = found
        seats = await read_back(store, policy, clock[0])
        check_loss(run, seats)
        clock[0] += KEY_REST_MS  # No process starts within a second of the last.
    await store.close()


two_traces = st.tuples(trace_of_reports, trace_of_reports).map(list)
two_crashes = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(list)


@pytest.mark.soak
@pytest.mark.parametrize("name", POLICIES)
def test_a_crash_in_memory_loses_what_is_documented(name: str) -> None:
    """After a crash at any time, the memory store has every seat as of the last ``loss_ms``."""

    @given(two_traces, two_crashes)
    def check(traces: list[list[Arrival]], crashes: list[int]) -> None:
        async def open_store(clock: Clock) -> Store:
            return MemoryStore(clock=clock)

        asyncio.run(two_runs(name, traces, crashes, open_store, lasts=False))

    check()


@pytest.mark.soak
@pytest.mark.parametrize("name", POLICIES)
def test_a_crash_on_disk_loses_what_is_documented(name: str) -> None:
    """After a crash at any time, the files have every seat as of the last ``loss_ms``."""

    @settings(max_examples=settings().max_examples // 5)
    @given(two_traces, two_crashes)
    def check(traces: list[list[Arrival]], crashes: list[int]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            runs = [Path(folder, f"run-{number}") for number in range(len(traces) + 1)]
            runs[0].mkdir()
            opened = 0

            async def open_store(clock: Clock) -> Store:
                nonlocal opened
                if opened:
                    shutil.copytree(runs[opened - 1], runs[opened])
                opened += 1
                return await SqliteStore.open(runs[opened - 1] / "room.db", clock=clock)

            asyncio.run(two_runs(name, traces, crashes, open_store, lasts=True))

    check()


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisProcess]:
    """A Redis for all tests of the module."""
    with redis_process() as server:
        yield server


@pytest.mark.soak
@pytest.mark.parametrize("name", POLICIES)
def test_a_crash_beside_redis_loses_what_is_documented(name: str, redis: RedisProcess) -> None:
    """After a crash at any time, Redis has every seat as of the last ``loss_ms``."""
    prefixes = count()

    @settings(max_examples=settings().max_examples // 3)
    @given(two_traces, two_crashes)
    def check(traces: list[list[Arrival]], crashes: list[int]) -> None:
        address = f"{redis.url}?prefix={name}-{next(prefixes)}"

        async def open_store(_clock: Clock) -> Store:
            # Its keys expire by its own clock, so none does within a test: expired seats are recognized by
            # their time.
            return await RedisStore.open(address)

        asyncio.run(two_runs(name, traces, crashes, open_store, lasts=True))

    check()


# --- How much is written ----------------------------------------------------------------------------------


def writes_of(policy: WritePolicy, traffic: Traffic, hours: int, seed: int) -> tuple[int, int]:
    """Report for a steady crowd; return the reports and the writes of the last hours."""
    chance = random.Random(seed)
    events: list[tuple[float, int, int, Kind]] = []
    warm_ms, end_ms = 3_600_000, 3_600_000 * (hours + 1)
    number, at_ms = 0, 0.0
    while (at_ms := at_ms + chance.expovariate(traffic.seats / traffic.visit_ms)) < end_ms:
        number += 1
        visit_ms = chance.expovariate(1 / traffic.visit_ms)
        heapq.heappush(events, (at_ms, number, 0, "join"))
        for _ in range(int(traffic.moods_per_visit)):
            heapq.heappush(events, (at_ms + chance.random() * visit_ms, number, 1, "mood"))
        heartbeat_at_ms = at_ms
        while (heartbeat_at_ms := heartbeat_at_ms + traffic.heartbeat_ms) < at_ms + visit_ms:
            heapq.heappush(events, (heartbeat_at_ms, number, 2, "heartbeat"))
        if chance.random() < traffic.leaves_share:
            heapq.heappush(events, (at_ms + visit_ms, number, 3, "leave"))
    reports = writes = 0
    next_timer_ms: int | None = None
    moods: dict[int, int] = {}
    while events:
        at_ms, number, _, kind = heapq.heappop(events)
        answers = []
        while next_timer_ms is not None and next_timer_ms <= at_ms:
            answers.append((next_timer_ms, policy.on_timer(now_ms=next_timer_ms)))
            next_timer_ms = answers[-1][1].next_timer_ms
        if kind == "mood":
            moods[number] = 1 - moods.get(number, 0)
        mood = MOODS[moods.get(number, 0)]
        visitor = VisitorKey(number.to_bytes(16))
        answers.append((int(at_ms), policy.report(SeatReport(visitor, 0.1, mood, kind), now_ms=int(at_ms))))
        next_timer_ms = answers[-1][1].next_timer_ms
        reports += warm_ms <= at_ms < end_ms
        writes += sum(len(answer.writes) for when_ms, answer in answers if warm_ms <= when_ms < end_ms)
    return reports, writes


@pytest.mark.parametrize(
    ("name", "least"),
    [("every", 0.97), ("lazy", 0.8), ("bucketed", 0.97), ("on_change", 0.8), ("snapshot", 0.97)],
)
@pytest.mark.parametrize("heartbeat_ms", [30_000, 300_000])
def test_the_writes_are_those_of_the_formula(name: str, least: float, heartbeat_ms: int) -> None:
    """The writes of a policy for 40 seats are within 3 % of
    ``writes_per_day``, or below where it is a bound.
    """
    traffic = Traffic(seats=40, visit_ms=900_000, heartbeat_ms=heartbeat_ms)
    hours = 6
    policy = POLICIES[name]("p/", lease_ms=max(heartbeat_ms + 90_000, 150_000))
    reports, writes = writes_of(policy, traffic, hours, seed=7)
    # The formula for the reports that were drawn, not for those expected.
    share = reports / (traffic.reports * hours / 24)
    formula = (
        policy.writes_per_day(Traffic(seats=40 * share, visit_ms=900_000, heartbeat_ms=heartbeat_ms))
        * hours
        / 24
    )
    assert least <= writes / formula <= 1.03


def test_writes_do_not_grow_with_the_crowd() -> None:
    """Batches and snapshots have an upper bound on writes; the other policies are linear in the seats, which
    the rate bounds.
    """
    small, large = (
        Traffic(seats=seats, visit_ms=900_000, heartbeat_ms=300_000) for seats in (400, 1_000_000)
    )
    for name in ("bucketed", "snapshot"):
        policy = a_policy(name)
        assert policy.writes_per_day(small) <= policy.writes_per_day(large) <= 8_640
    for name in ("every", "lazy", "on_change"):
        policy = a_policy(name)
        assert policy.writes_per_day(large) == pytest.approx(2_500 * policy.writes_per_day(small))


def test_the_page_says_what_the_code_does() -> None:
    """The losses and writes a day in ``docs/topics/writing.md`` are those of the policies."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "topics" / "writing.md").read_text(
        encoding="utf-8"
    )
    policies = [POLICIES[name](PREFIX, lease_ms=390_000) for name in POLICIES]
    for policy in policies:
        assert re.search(
            rf"^\| `{policy.name}` \|.*\| {policy.loss_ms // 1_000:,} s \| {policy.heartbeat_lag_ms // 1_000:,} s \|$",
            page,
            re.MULTILINE,
        )
    for crowd in (10, 100, 1_000, 1_000_000):
        traffic = Traffic(seats=min(crowd, 400), visit_ms=900_000, heartbeat_ms=300_000)
        figures = [crowd, traffic.seats, *(round(policy.writes_per_day(traffic)) for policy in policies)]
        assert f"| {' | '.join(f'{figure:,}' for figure in figures)} |" in page
