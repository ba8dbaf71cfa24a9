"""Tickets by the million."""

import re

import numpy as np
import pytest

from breathing_room.core.tickets import ticket
from breathing_room.core.wire import VISITOR_ID
from breathing_room.lab.sim.tickets import Ids


def make_ids(*, below: float = 1.0, room: str = "lobby") -> Ids:
    return Ids(room, np.random.Generator(np.random.PCG64(5)), below=below)


@pytest.mark.parametrize("room", ["lobby", "über"])
def test_an_array_of_tickets_is_what_the_core_computes(room: str) -> None:
    """For any numbers and epochs, tickets are equal to those of ``core/tickets.py``."""
    ids = make_ids(room=room)
    numbers = np.array([0, 1, 63, 64, 4_095, 4_096, 262_143, 262_144, 10**9, 2**36 - 1])
    for epoch in (0, 20_454, 2**40):
        expected = [ticket(ids.visitor(number), room=room, epoch=epoch) for number in numbers.tolist()]
        assert ids.tickets(numbers, epoch).tolist() == expected


def test_ids_are_what_a_server_takes() -> None:
    """Every id has the form that is asked of clients, and no two are the same."""
    ids = make_ids()
    visitors = {ids.visitor(number) for number in (0, 1, 64, 2**36 - 1)}

    assert len(visitors) == 4
    assert all(re.fullmatch(VISITOR_ID, visitor) for visitor in visitors)


def test_a_bound_leaves_out_exactly_those_above_it() -> None:
    """Handed out under a bound are, in their order, those of all ids whose ticket lies below it."""
    all_numbers, tickets = make_ids().draw(600_000, 7)
    few = make_ids(below=0.01)
    parts = [few.draw(count, 7) for count in (0, 1, 1_000, 500)]
    numbers = np.concatenate([numbers for numbers, _ in parts])

    assert numbers.tolist() == all_numbers[tickets < 0.01][:1_501].tolist()
    assert np.concatenate([drawn for _, drawn in parts]).tolist() == tickets[numbers].tolist()


def test_tickets_in_a_row_are_uniform() -> None:
    """Of a million neighbouring ids, as many lie below a rate as chance has it: within five standard
    deviations.
    """
    _, tickets = make_ids().draw(1_000_000, 20_454)
    for rate in (0.0004, 0.03, 0.5):
        assert abs(int((tickets < rate).sum()) - rate * 1e6) < 5 * (1e6 * rate * (1 - rate)) ** 0.5


def test_another_epoch_draws_other_tickets() -> None:
    """A visitor who has not arrived keeps the id and gets another ticket; under a bound another visitor with
    a ticket below it is drawn.
    """
    ids = make_ids()
    numbers, tickets = ids.draw(10, 1)
    again, others = ids.redraw(numbers, 2)
    assert again.tolist() == numbers.tolist()
    assert not set(tickets.tolist()) & set(others.tolist())

    few = make_ids(below=0.1)
    numbers, _ = few.draw(10, 1)
    _, drawn = few.redraw(numbers, 2)
    assert len(drawn) == 10
    assert (drawn < 0.1).all()
