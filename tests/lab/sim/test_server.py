"""The simulated server: a real room, one write policy, a store that counts."""

from typing import Any

import pytest

from breathing_room.core.presence import Presence
from breathing_room.lab.sim.clock import VirtualClock
from breathing_room.lab.sim.meter import Meter
from breathing_room.lab.sim.scenario import parse
from breathing_room.lab.sim.server import Outdated, Shed, SimulatedServer, key_of, ticket_of

DAY_MS = 86_400_000


def a_server(
    rate: float = 1.0, policy: str = "every", **room: Any
) -> tuple[SimulatedServer, Meter, VirtualClock]:
    settings = "".join(f"{name} = {value}\n" for name, value in room.items())
    scenario = parse(f'[run]\npolicy = "{policy}"\n[room]\n{settings}')
    clock, meter = VirtualClock(0), Meter()
    return SimulatedServer(scenario, clock, meter, rate=rate), meter, clock


def test_a_report_is_counted_and_written() -> None:
    """A report at rate 1 is in the room and in the store, once for each report, and in the second in which it
    came.
    """
    server, meter, _ = a_server()
    for visitor in ("a", "b", "a"):
        seen = server.report(visitor, None, 0, 1_500)
    assert isinstance(seen, Presence)
    assert (seen.count, meter.reports, meter.reports_kept, meter.store.puts) == (2, 3, 3, 3)
    assert server.reports_by_s == {1: 3}


def test_a_report_outside_the_sample_changes_nothing() -> None:
    """At a rate that a run begins with, visitors above it are answered and forgotten, and those below it
    stand for others.
    """
    server, meter, _ = a_server(rate=0.25)
    visitors = [f"visitor-{number}" for number in range(100)]
    for visitor in visitors:
        server.report(visitor, None, 0, 0)
    asked = sum(ticket_of(visitor, 0) < 0.25 for visitor in visitors)
    assert (meter.reports_kept, meter.reports_outside) == (asked, 100 - asked)
    assert server.room.panel.holds(key_of(visitors[0])) == (ticket_of(visitors[0], 0) < 0.25)


def test_a_leave_of_who_holds_a_seat_is_a_write() -> None:
    """A leave ends the seat and is written; one of a visitor without a seat is a request and nothing else."""
    server, meter, _ = a_server()
    server.report("a", None, 0, 0)
    server.leave("a", 10)
    server.leave("b", 20)
    assert (meter.leaves, meter.store.puts, server.presence(20).count) == (2, 2, 0)


@pytest.mark.parametrize(("epoch", "outdated"), [(7, True), (8, False), (9, False), (10, True)])
def test_a_visit_of_another_epoch_begins_again(epoch: int, outdated: bool) -> None:  # noqa: FBT001
    """Reports of this epoch and the one before are taken; those of an older or a later one are answered that
    the epoch is over.
    """
    server, meter, _ = a_server(epoch_ms=DAY_MS)
    answer = server.report("a", None, epoch, 9 * DAY_MS)
    assert (isinstance(answer, Outdated), meter.reports_outdated) == (outdated, int(outdated))


def test_reports_over_the_budget_are_shed() -> None:
    """When the room has taken as many reports as it may, the next is refused with a wait, and is not kept."""
    server, meter, _ = a_server()
    answer: Any = None
    for number in range(5_000):
        answer = server.report(f"visitor-{number}", None, 0, 0)
        if isinstance(answer, Shed):
            break
    assert isinstance(answer, Shed)
    assert answer.retry_ms > 0
    assert meter.reports_kept + meter.reports_outside + meter.reports_shed == meter.reports
    assert meter.reports_shed == 1


def test_the_room_is_woken_when_it_asked_for_that() -> None:
    """A lease that ends in silence is counted out by a wake of the clock, and each wake is counted."""
    server, meter, clock = a_server()
    server.report("a", None, 0, 0)
    lease_ms = server.room.config.heartbeat_lease_ms
    clock.run(lease_ms + 2_000)
    assert meter.timers > 0
    assert server.presence(lease_ms + 2_000).count == 0
