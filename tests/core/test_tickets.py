"""Tickets: uniform, the same in every client, and of one visit."""

from math import sqrt

import pytest

from breathing_room.core.tickets import TICKETS, ticket


def by_hand(text: bytes) -> float:
    """Mix with the finalizer of MurmurHash3, implemented a second time
    with multiplications modulo 2^32 only.
    """
    state = 2654435769
    for byte in text:
        state ^= byte
        for shift, factor in ((16, 2246822507), (13, 3266489909), (16, 1)):
            state = (state ^ state // 2**shift) * factor % 2**32
    return state / 2**32


@pytest.mark.parametrize(
    ("visitor", "room", "epoch"),
    [
        ("", "", 0),
        ("0123456789abcdef", "lobby", 20_454),
        ("0123456789abcdef", "lobby", 20_455),
        ("käse", "a", -1),
    ],
)
def test_a_ticket_is_that_of_the_formula(visitor: str, room: str, epoch: int) -> None:
    """A ticket is the mix of room, epoch and id."""
    assert ticket(visitor, room=room, epoch=epoch) == by_hand(f"{room}\0{epoch}\0{visitor}".encode())


@pytest.mark.slow
def test_tickets_are_uniform() -> None:
    """The tickets of 100,000 consecutive ids are uniform in [0, 1) (chi-squared, 99 degrees)."""
    people = 100_000
    cells = [0] * 100
    for index in range(people):
        drawn = ticket(f"visitor-{index:08}", room="lobby", epoch=20_000)
        assert 0 <= drawn < 1
        assert (drawn * TICKETS).is_integer()
        cells[int(drawn * 100)] += 1
    mean = people / 100
    chi_squared = sum((cell - mean) ** 2 / mean for cell in cells)

    assert abs(chi_squared - 99) < 4 * sqrt(2 * 99)


@pytest.mark.parametrize("other", [{"room": "lobbz", "epoch": 7}, {"room": "lobby", "epoch": 8}])
def test_another_room_or_epoch_has_an_independent_ticket(other: dict[str, object]) -> None:
    """The tickets of one visitor in two rooms or two epochs are uncorrelated, within four standard errors."""
    people = 20_000
    products = 0.0
    for index in range(people):
        first = ticket(f"visitor-{index:08}", room="lobby", epoch=7)
        second = ticket(f"visitor-{index:08}", **other)  # type: ignore[arg-type]
        products += (first - 0.5) * (second - 0.5) * 12

    assert abs(products / people) < 4 / sqrt(people)
