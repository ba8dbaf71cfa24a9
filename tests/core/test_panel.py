"""The panel: its seats, the estimate from them, and the cost of a report."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.config import RoomConfig
from breathing_room.core.estimate import EMPTY, Estimate
from breathing_room.core.identity import VisitorKey
from breathing_room.core.panel import Panel, Seat
from breathing_room.core.tickets import ticket

CONFIG = RoomConfig(panel_size=100)
MINUTE_MS = 60_000


def key(index: int) -> VisitorKey:
    """Make a key."""
    return VisitorKey(index.to_bytes(16, "big"))


def crowd(people: int, *, epoch: int = 7) -> list[tuple[VisitorKey, float]]:
    """Make visitors with their tickets."""
    return [(key(index), ticket(f"visitor-{index:08}", room="lobby", epoch=epoch)) for index in range(people)]


def heartbeat(panel: Panel, people: list[tuple[VisitorKey, float]], at_ms: int) -> int:
    """Report for every visitor who is in the sample; return how many were."""
    panel.expire(at_ms)
    return sum(panel.report(visitor, held, None, at_ms) for visitor, held in people if held < panel.rate)


def settled(people: int, config: RoomConfig = CONFIG) -> tuple[Panel, int]:
    """Return the panel of a crowd whose rate has settled, and the time."""
    panel, visitors = Panel(config, 2, now_ms=0), crowd(people)
    for at_ms in range(0, 30 * MINUTE_MS, 5 * MINUTE_MS):
        heartbeat(panel, visitors, at_ms)
    return panel, at_ms


def test_one_seat_at_rate_1_is_one_visitor() -> None:
    """At rate 1 a seat is exactly one visitor, and its leave makes the count 0."""
    panel = Panel(CONFIG, 2, now_ms=0)

    assert panel.report(key(1), 0.999, 1, 0)
    estimate, moods = panel.estimate(0)
    assert estimate == Estimate(1.0, 1.0, 1.0)
    assert moods == [EMPTY, estimate]
    assert panel.remove(key(1))
    assert not panel.remove(key(1))
    assert panel.estimate(0)[0].high == 0.0


def test_the_estimate_is_empty_after_every_seat_expired() -> None:
    """Without seats the upper end of the estimate is 0: ghosts are some of the seats."""
    panel = Panel(CONFIG, 2, now_ms=0)
    panel.report(key(1), 0.5, 0, 0)
    panel.expire(CONFIG.heartbeat_lease_ms)

    assert panel.seat_count == 0
    assert panel.estimate(CONFIG.heartbeat_lease_ms)[0].high == 0.0


@pytest.mark.parametrize("people", [50, 140, 1_000, 20_000])
def test_a_crowd_is_estimated_within_its_interval(people: int) -> None:
    """About panel_size seats are kept for any crowd, and the estimate is within four standard errors."""
    panel, now_ms = settled(people)
    estimate, _ = panel.estimate(now_ms)

    assert panel.seat_count <= 140
    assert abs(estimate.count - people) <= 4 * panel.standard_error(people, now_ms)
    assert estimate.low <= estimate.count <= estimate.high
    assert panel.seat_count >= min(people, 60)


def test_panels_are_nested() -> None:
    """When the rate falls, the seats that stay are a subset of those before."""
    panel, visitors = Panel(CONFIG, 2, now_ms=0), crowd(5_000)
    held: set[VisitorKey] = set()
    rate = 1.0
    for index, (visitor, drawn) in enumerate(visitors):
        was_in = panel.report(visitor, drawn, None, index)
        now_held = (
            {key for key, _ in visitors[: index + 1] if panel.holds(key)} if panel.rate != rate else None
        )
        held |= {visitor} if was_in else set()
        if now_held is not None:
            assert now_held <= held
            assert all(drawn < panel.rate for key, drawn in visitors[: index + 1] if key in now_held)
            held, rate = now_held, panel.rate

    assert rate < 0.05


def test_a_report_outside_the_sample_leaves_no_state() -> None:
    """A report whose ticket is not below the rate leaves no state."""
    panel, now_ms = settled(5_000)
    before = panel.snapshot(now_ms)

    assert not panel.report(key(10**9), panel.rate, 1, now_ms)
    assert panel.snapshot(now_ms) == before


class CountedSeats(dict[VisitorKey, Seat]):
    """Seats that count the scans over all of them."""

    scans = 0

    def values(self):  # type: ignore[no-untyped-def]
        self.scans += 1
        return super().values()


def test_a_report_costs_the_same_for_any_panel() -> None:
    """Ten thousand reports, moods and leaves within one rate never scan all seats."""
    panel = Panel(replace(CONFIG, panel_size=5_000), 2, now_ms=0)
    seats = panel._seats = CountedSeats()
    for index in range(10_000):
        panel.report(key(index % 4_000), 0.5, index % 2, index)
        panel.estimate(index)
        if index % 10 == 0:
            panel.remove(key(index % 4_000))

    assert (panel.rate, seats.scans) == (1.0, 0)


def test_a_visitor_who_reports_after_expiry_was_no_ghost() -> None:
    """An expired seat makes ghosts more likely only until its visitor reports again."""
    panel = Panel(CONFIG, 2, now_ms=0)
    for index in range(10):
        panel.report(key(index), 0.5, None, 0)
    for at_ms in (300_000, 600_000):
        for index in range(9):
            panel.report(key(index), 0.5, None, at_ms)
        panel.expire(at_ms)

    assert panel.seat_count == 9
    assert panel.estimate(600_000)[0].count < 9
    panel.report(key(9), 0.5, None, 600_000)
    assert panel.estimate(600_000)[0].count == panel.estimate(600_000)[0].high == 10


def test_seats_above_theta_wait_until_the_lower_rate_is_out_of_use() -> None:
    """Seats that a raised rate admits are kept, and counted only once
    the lower rate is not in use any more.
    """
    panel, now_ms = settled(20_000)
    low_rate = panel.rate
    while panel.rate == low_rate:  # all seats expire, and after a while the rate rises
        assert panel.next_at_ms is not None
        now_ms = panel.next_at_ms
        panel.expire(now_ms)
    between = (low_rate + panel.rate) / 2

    assert panel.theta == low_rate
    assert panel.report(key(10**9), between, 1, now_ms)
    assert panel.tally[1] == 0
    panel.expire(now_ms + CONFIG.rate_propagation_ms)
    assert panel.theta > between
    assert panel.tally[1] == 1


reports = st.lists(
    st.tuples(st.integers(0, 100_000), st.integers(0, 30), st.integers(0, 15), st.sampled_from([None, 0, 1])),
    max_size=60,
)


@given(reports)
def test_a_panel_is_resumed_unchanged(reports: list[tuple[int, int, int, int | None]]) -> None:
    """A panel resumed from its snapshot has the same estimate, rate and interval."""
    config = replace(CONFIG, panel_size=2, rate_propagation_ms=10_000)
    panel, now_ms = Panel(config, 2, now_ms=0), 0
    for pause_ms, index, sixteenth, mood in reports:
        now_ms += pause_ms
        panel.expire(now_ms)
        panel.report(key(index), sixteenth / 16, mood, now_ms)
    other = Panel(config, 2, now_ms=now_ms)
    other.resume(panel.snapshot(now_ms), now_ms=now_ms)

    assert other.snapshot(now_ms) == panel.snapshot(now_ms)
    assert (other.rate, other.theta) == (panel.rate, panel.theta)
    assert other.estimate(now_ms) == panel.estimate(now_ms)


# --- Prefixes ---------------------------------------------------------------------------------------------

WITH_QUOTA = replace(CONFIG, prefix_seats_max=3)


def report_from(panel: Panel, prefix: bytes | None, people: range, now_ms: int = 0) -> int:
    """Report for some visitors from one prefix; return how many seats were kept."""
    return sum(panel.report(key(index), 0.5, 0, now_ms, prefix) for index in people)


def test_a_prefix_fills_no_more_than_its_seats() -> None:
    """Of ten reports from one prefix three are counted, and the raw estimate has all ten."""
    panel = Panel(WITH_QUOTA, 2, now_ms=0)
    report_from(panel, None, range(100, 105))

    assert report_from(panel, b"one", range(10)) == 10
    assert (panel.seat_count, panel.over_quota_count, panel.largest_prefix_seats) == (8, 7, 10)
    assert panel.estimate(0)[0].count == 8.0
    assert panel.raw_estimate(0).count == 15.0
    assert panel.tally == [8, 0]


def test_prefixes_do_not_share_their_seats() -> None:
    """Each prefix has a quota of its own; a report without a prefix has none."""
    panel = Panel(WITH_QUOTA, 2, now_ms=0)
    report_from(panel, b"one", range(5))
    report_from(panel, b"two", range(10, 15))
    report_from(panel, None, range(20, 30))

    assert panel.seat_count == 3 + 3 + 10
    assert panel.over_quota_count == 4


def test_a_seat_over_quota_takes_the_place_of_one_that_ends() -> None:
    """The oldest seat over quota takes the place of a seat that ends, with its latest mood."""
    panel = Panel(WITH_QUOTA, 2, now_ms=0)
    report_from(panel, b"one", range(5))
    panel.report(key(3), 0.5, 1, 10, b"one")

    assert panel.tally == [3, 0]
    assert panel.remove(key(0))
    assert (panel.tally, panel.over_quota_count) == ([2, 1], 1)
    assert panel.remove(key(4))
    assert (panel.seat_count, panel.over_quota_count) == (3, 0)


def test_a_seat_that_moves_to_another_prefix_counts_against_its_quota() -> None:
    """A report from another prefix frees the seat in the quota of the first."""
    panel = Panel(WITH_QUOTA, 2, now_ms=0)
    report_from(panel, b"one", range(4))

    panel.report(key(0), 0.5, None, 10, b"two")
    assert (panel.seat_count, panel.over_quota_count) == (4, 0)
    panel.report(key(0), 0.5, None, 20, b"one")
    assert (panel.seat_count, panel.over_quota_count) == (3, 1)
    panel.report(key(0), 0.5, None, 30)
    assert (panel.seat_count, panel.over_quota_count) == (4, 0)


def test_seats_over_quota_are_bounded_and_leave_no_ghosts() -> None:
    """Reports beyond panel_size seats over quota are rejected; seats over quota leave no ghosts and do not
    move the rate.
    """
    panel = Panel(WITH_QUOTA, 2, now_ms=0)

    assert report_from(panel, b"one", range(1_000)) == 3 + WITH_QUOTA.panel_size
    assert panel.rejected_count == 1_000 - 3 - WITH_QUOTA.panel_size
    assert panel.rate == 1.0
    assert len(panel.snapshot(0).seats) == 3
    panel.expire(WITH_QUOTA.heartbeat_lease_ms)
    assert (panel.seat_count, panel.over_quota_count, panel.largest_prefix_seats) == (0, 0, 0)
    assert len(panel.snapshot(WITH_QUOTA.heartbeat_lease_ms).expired) == 3


def keep(panel: Panel) -> Panel:
    """Return the panel."""
    return panel


def hibernate(panel: Panel) -> Panel:
    """Resume a panel from its snapshot, which has no prefixes."""
    other = Panel(panel._config, 2, now_ms=0)
    other.resume(panel.snapshot(0), now_ms=0)
    return other


def restart(panel: Panel) -> Panel:
    """Restore a panel with a smaller panel_size, as after a change of the config."""
    other = Panel(replace(panel._config, panel_size=panel._config.panel_size - 20), 2, now_ms=0)
    other.restore(panel.snapshot(0), (0, 1), elapsed_ms=0, now_ms=0)
    return other


def transfer(panel: Panel) -> Panel:
    """Transfer the seats to another replica."""
    other = Panel(panel._config, 2, now_ms=0)
    other.add_seats(panel.snapshot(0).seats, (), 0)
    return other


@pytest.mark.parametrize("prefixes", [[None], range(100)], ids=["without a prefix", "from other prefixes"])
@pytest.mark.parametrize("between", [keep, hibernate, restart, transfer])
def test_seats_that_move_to_a_full_prefix_are_over_quota(
    prefixes: Sequence[int | None], between: Callable[[Panel], Panel]
) -> None:
    """A seat that moves to a full prefix counts against the bound on seats over quota, from any prefix.

    The bound was checked for new seats only. A hundred seats that moved to a full prefix with a hundred seats
    over quota made two hundred over quota.
    """
    panel = Panel(replace(CONFIG, prefix_seats_max=10), 2, now_ms=0)
    for index, prefix in zip(range(100), cycle(prefixes)):
        report_from(panel, None if prefix is None else bytes([prefix]), range(index, index + 1))
    panel = between(panel)
    most = panel._config.panel_size
    assert report_from(panel, b"full", range(100, 110 + most)) == 10 + most

    assert (panel.seat_count, panel.over_quota_count, panel.rejected_count) == (110, most, 0)
    report_from(panel, b"full", range(100))

    assert (panel.seat_count, panel.over_quota_count, panel.rejected_count) == (10, most, 100)
    assert not any(panel.holds(key(index)) for index in range(100))
    assert panel.tally == [10, 0]
    assert len(panel.snapshot(0).expired) == 0


def test_a_day_that_ends_gives_each_address_another_prefix_and_no_more_seats() -> None:
    """The hashes of prefixes change once a day; the seats of one address move to the new hash within its
    quota.
    """
    panel = Panel(WITH_QUOTA, 2, now_ms=0)
    report_from(panel, b"today", range(200))
    assert (panel.seat_count, panel.over_quota_count) == (3, 100)

    for index in range(200):
        report_from(panel, b"tomorrow", range(index, index + 1))
        assert panel.over_quota_count <= WITH_QUOTA.panel_size
        assert panel.seat_count <= 6
    assert (panel.seat_count, panel.over_quota_count) == (3, 100)
    assert panel.largest_prefixes(2) == [(b"tomorrow", 103)]


moves = st.tuples(
    st.sampled_from([*["report"] * 8, "withdraw", "hibernate", "restart", "transfer"]),
    st.integers(0, 9),
    st.sampled_from([None, b"here", b"there"]),
)


@given(st.lists(moves, min_size=20, max_size=40), st.integers(1, 3), st.integers(1, 3))
def test_seats_over_quota_are_bounded_in_any_sequence(
    moves: list[tuple[str, int, bytes | None]], panel_size: int, share: int
) -> None:
    """Reports, leaves, hibernation, restarts and transferred seats never make more than panel_size seats over
    quota.
    """
    config = replace(CONFIG, panel_size=panel_size, prefix_seats_max=share)
    panel = Panel(config, 2, now_ms=0)
    other = Panel(config, 2, now_ms=0)
    other.report(key(20), 0.0, 0, 0)
    for what, index, prefix in moves:
        match what:
            case "report":
                panel.report(key(index), 0.0, 0, 0, prefix)
            case "withdraw":
                panel.remove(key(index))
            case "transfer":
                panel.add_seats(other.snapshot(0).seats, (), 0)
            case "hibernate":
                panel = hibernate(panel)
            case _:
                later = Panel(replace(config, panel_size=1), 2, now_ms=0)
                later.restore(panel.snapshot(0), (0, 1), elapsed_ms=0, now_ms=0)
                panel = later
        assert panel.over_quota_count == sum(seat.over_quota for seat in panel._seats.values())
        assert panel.over_quota_count <= panel._config.panel_size
        for seats in panel._prefixes.values():
            held = [seat for seat in panel._seats.values() if seat.prefix is seats]
            assert seats.counted == sum(not seat.over_quota for seat in held) <= share
            assert set(seats.over_quota) == {seat for seat in held if seat.over_quota}


def test_the_quota_is_a_tenth_of_a_large_panel() -> None:
    """By default a prefix has 64 seats, or a tenth of panel_size if that is more."""
    assert Panel(CONFIG, 2, now_ms=0).prefix_seats_max == 64
    assert Panel(replace(CONFIG, panel_size=5_000), 2, now_ms=0).prefix_seats_max == 500
