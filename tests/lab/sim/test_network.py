"""The cache at the edge."""

from dataclasses import replace

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.core.presence import Presence
from breathing_room.core.room import Room
from breathing_room.lab.sim.meter import Meter
from breathing_room.lab.sim.network import Edge, Network

EMPTY = Room("lobby", RoomConfig(), now_ms=0).presence(now_ms=0)


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def edge(meter: Meter) -> Edge:
    def fetch(now_ms: int) -> Presence:
        return replace(EMPTY, as_of_ms=now_ms)

    return Edge(fetch, lambda _new: None, meter, max_age_ms=5_000, stale_ms=5_000, config_max_age_ms=300_000)


@pytest.mark.parametrize(
    ("polls", "answers", "reads"),
    [
        ([0, 1, 4_999], [0, 0, 0], 1),
        ([0, 5_000, 5_001], [0, 0, 5_000], 2),
        ([0, 9_999, 10_000], [0, 0, 9_999], 2),
        ([0, 10_000], [0, 10_000], 2),
        ([0, 60_000, 60_000], [0, 60_000, 60_000], 2),
    ],
)
def test_a_copy_answers_then_is_renewed_behind_the_answer_then_waited_for(
    edge: Edge, meter: Meter, polls: list[int], answers: list[int], reads: int
) -> None:
    """Up to max-age a copy answers; up to as long again it does while another is fetched; then a request
    waits.
    """
    assert [edge.presence(at_ms).as_of_ms for at_ms in polls] == answers
    assert (meter.polls, meter.presence_reads) == (len(polls), reads)


def test_a_change_sees_both_copies() -> None:
    """While a new copy is announced the former one is still in place."""
    seen: list[tuple[int | None, int]] = []

    def watch(new: Presence) -> None:
        seen.append((None if watched.copy is None else watched.copy.as_of_ms, new.as_of_ms))

    watched = Edge(
        lambda now_ms: replace(EMPTY, as_of_ms=now_ms),
        watch,
        Meter(),
        max_age_ms=10,
        stale_ms=10,
        config_max_age_ms=1,
    )
    watched.presence(0)
    watched.presence(15)

    assert seen == [(None, 0), (0, 15)]


def test_configs_are_fetched_once_a_lifetime(edge: Edge, meter: Meter) -> None:
    """The first request after the lifetime of a copy causes a fetch, and no other."""
    edge.configs(3, [10, 20, 30])
    edge.configs(0, [])
    edge.configs(2, [300_009, 300_010])
    edge.configs(1, [300_011])

    assert (meter.config_fetches, meter.config_reads) == (6, 2)


def test_a_network_is_perfect_or_not() -> None:
    """Loss or delay makes it imperfect."""
    assert Network().is_perfect
    assert not Network(loss_share=0.01).is_perfect
    assert not Network(delay_ms=1).is_perfect
