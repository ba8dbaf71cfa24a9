"""One machine of one's own."""

import pytest

from breathing_room.lab.cost.crowd import CrowdFigures, CrowdProfile
from breathing_room.lab.cost.strategies.self_hosted import (
    broadcasts,
    changes,
    self_hosted,
    self_hosted_ec2,
    self_hosted_polled,
)


def test_the_same_bytes_are_billed_in_the_units_of_the_provider() -> None:
    """What one provider bills by the terabyte another bills by the gigabyte; the room is the same."""
    crowd = CrowdFigures(CrowdProfile(people=1_000))
    here, there = self_hosted(), self_hosted_ec2()
    assert 1_000 * here.usage(crowd)["egress_tb"].value == there.usage(crowd)["egress_gb"].value
    assert (here.provider, there.provider) == ("hetzner", "aws")
    assert there.usage(crowd)["machine_hours"].value == 730


@pytest.mark.parametrize("people", [2, 1_000, 1_000_000])
def test_broadcasts_are_as_many_as_changes_or_as_the_machine_sends(people: int) -> None:
    """Few changes are broadcast each; many are put together, so that no more messages a second are sent than
    was set.
    """
    crowd = CrowdFigures(CrowdProfile(people=people))
    push_s, per_s = self_hosted.figure("push_s"), self_hosted.figure("pushes_per_s")
    made = broadcasts(crowd, changes(crowd), push_s, per_s)
    assert made.value <= changes(crowd).value
    assert made.value * people <= max(crowd.people.value, per_s.value) * crowd.month.value


def test_limits_of_the_machine_are_its_memory_and_its_core() -> None:
    """Memory grows with the people, the core with what is sent; behind nginx no limit is known."""
    small, large = (CrowdFigures(CrowdProfile(people=people)) for people in (1_000, 100_000))
    memory, core = (
        {key: load.value for key, load, _ in self_hosted().loads(crowd, {}, "paid")}
        for crowd in (small, large)
    )
    assert core["memory"] == 100 * memory["memory"]
    assert core["core"] > memory["core"]
    assert self_hosted_polled().loads(small, {}, "paid") == ()


def test_an_answer_to_a_report_spares_half_a_poll() -> None:
    """A larger panel reports more and polls less: a heartbeat's answer says what half a poll would."""
    crowd = CrowdFigures(CrowdProfile(people=1_000))
    small, large = (
        self_hosted_polled(panel=panel, heartbeat_s=900).usage(crowd)["egress_tb"].value
        for panel in (1, 1_000)
    )
    assert small < large
