"""People of whose polls it is known that they change nothing: rows, and what is sought in them."""

from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np

from breathing_room.core.deadlines import NO_DEADLINE
from breathing_room.lab.sim.idle_pool import IdlePool


def a_few(*people: tuple[float, int, int, int]) -> tuple[IdlePool[object], list[int]]:
    """People by ticket, first poll, period and departure; their numbers are 100, 101, …"""
    idle_pool: IdlePool[object] = IdlePool()
    ticket, comes, period, departs = (np.array(column) for column in zip(*people, strict=True))
    new: Any = SimpleNamespace(arrives_ms=comes.astype(np.int64), departs_ms=departs.astype(np.int64))
    numbers = np.arange(100, 100 + len(people), dtype=np.int64)
    return idle_pool, idle_pool.add(numbers, ticket.astype(np.float64), new, period.astype(np.int64), 0)


def test_a_row_is_used_again_and_never_twice_at_once() -> None:
    """However many come and go, no two share a row, and rows of those who went are taken before new ones are
    made.
    """
    idle_pool, rows = a_few(*[(0.5, 0, 10, 100)] * 1_500)
    assert len(set(rows)) == 1_500
    held = len(idle_pool.persons)
    for row in rows[:1_000]:
        idle_pool.free(row)
    new: Any = SimpleNamespace(arrives_ms=np.zeros(1_000, np.int64), departs_ms=np.full(1_000, 9, np.int64))
    again = idle_pool.add(np.arange(1_000), np.zeros(1_000), new, np.ones(1_000, np.int64), 0)
    assert not set(again) & set(rows[1_000:])
    assert len(idle_pool.persons) == held


def test_polls_that_passed_are_counted() -> None:
    """Polls before an instant are counted, the one at it is not, and before the first there is none."""
    idle_pool, [row] = a_few((0.5, 1_000, 300, 10_000))
    assert [idle_pool.passed(row, at_ms) for at_ms in (0, 1_000, 1_001, 1_300, 1_301, 1_600)] == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]


def test_a_new_rate_concerns_those_between_the_two() -> None:
    """A rate that rises activates those below it who were not sampled, one that falls those above it who
    were; active visitors are not returned.
    """
    idle_pool, rows = a_few(*[(ticket / 10, 0, 10, 100) for ticket in range(10)])
    idle_pool.sampled[[rows[1], rows[3], rows[5]]] = True
    assert set(idle_pool.concerned(0.2, 0.6)) == {rows[2], rows[4]}
    assert set(idle_pool.concerned(0.6, 0.2)) == {rows[3], rows[5]}
    idle_pool.poll_at_ms[rows[4]] = NO_DEADLINE
    assert set(idle_pool.concerned(0.2, 0.6)) == {rows[2]}
    assert set(idle_pool.concerned(0.4, 0.4)) == set()


def test_the_earliest_poll_is_found_as_a_search_would() -> None:
    """Of all polls from an instant on, before each one's departure, the earliest is found, and of two at one
    time the lower number.
    """
    rng = Random(4)
    people = [(0.5, rng.randrange(500), rng.randrange(1, 60), rng.randrange(400, 900)) for _ in range(50)]
    idle_pool, _ = a_few(*people)
    for from_ms in range(0, 1_000, 37):
        polls = [
            (at_ms, number)
            for number, (_, first_ms, period_ms, departs_ms) in enumerate(people, start=100)
            for at_ms in range(first_ms, departs_ms, period_ms)
            if at_ms >= from_ms
        ]
        assert idle_pool.first_poll(from_ms) == min(polls, default=None)
    assert IdlePool().first_poll(0) is None
    alone, _ = a_few((0.5, 0, 10, 20))
    assert [alone.first_poll(from_ms) for from_ms in (0, 5, 11)] == [(0, 100), (10, 100), None]


def test_who_went_without_a_poller_is_found() -> None:
    """Those whose departure has passed and who never needed a poller of their own are named; the others are
    for it to end.
    """
    idle_pool, rows = a_few((0.5, 0, 10, 100), (0.5, 0, 10, 100), (0.5, 0, 10, 101))
    person: Any = object()
    idle_pool.persons[rows[1]] = person
    assert list(idle_pool.departed(100)) == [rows[0]]
    idle_pool.free(rows[0])
    assert list(idle_pool.departed(100)) == []
