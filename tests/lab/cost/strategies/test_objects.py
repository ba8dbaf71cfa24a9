"""Durable Objects with sockets."""

from decimal import Decimal

import pytest

from breathing_room.lab.cost.crowd import CrowdFigures, CrowdProfile
from breathing_room.lab.cost.formula import figure
from breathing_room.lab.cost.strategies.objects import (
    OBJECTS_MAX,
    durable_object,
    durable_object_awake,
    object_count,
    sums_interval,
)


@pytest.mark.parametrize(
    ("people", "objects"), [(1, 1), (10_000, 1), (10_001, 2), (20_001, 4), (80_000, 8), (10**8, OBJECTS_MAX)]
)
def test_there_are_twice_as_many_objects_each_time_that_they_are_full(people: int, objects: int) -> None:
    """Objects are a power of two, as few as hold the crowd, up to the most that a room may have; a number
    that is set is that.
    """
    full = figure(10_000)
    assert object_count(figure(people), objects=figure(0), sockets=full).value == objects
    assert object_count(figure(people), objects=figure(3), sockets=full).value == 3


def test_sums_are_sent_as_often_as_is_pushed_at_most() -> None:
    """Sums are sent with each push if that is more often, and by their own time where nothing is pushed."""
    assert [sums_interval(figure(5), figure(push_s)).value for push_s in (2, 30, 0)] == [2, 5, 5]


def test_an_object_that_never_sleeps_is_billed_for_the_whole_month() -> None:
    """Awake, each object takes its memory all month; asleep between messages it takes a part of that, and
    says what that rests on.
    """
    crowd = CrowdFigures(CrowdProfile(people=1_000))
    asleep, awake = durable_object(), durable_object_awake()
    month = Decimal("0.128") * crowd.month.value
    assert asleep.usage(crowd)["object_gb_s"].value < month / 10
    assert awake.usage(crowd)["object_gb_s"].value == month
    assert awake.settings == {**asleep.settings, "hibernating": False}
    sleeping = {entry.text for entry in asleep.assumptions} - {entry.text for entry in awake.assumptions}
    assert sleeping == {"a pending alarm does not keep an object awake"}


def test_the_end_of_a_socket_can_be_a_request() -> None:
    """Where it is, each join has a second request of the object."""
    crowd = CrowdFigures(CrowdProfile())
    plain, billed = (durable_object(closes_billed=closes).usage(crowd) for closes in (False, True))
    assert billed["object_requests"].value - plain["object_requests"].value == crowd.joins.value
