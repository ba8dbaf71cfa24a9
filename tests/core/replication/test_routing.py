"""The routing of visitors to shards."""

from collections import Counter

from breathing_room.core.replication.routing import rank_shards

SEEDS = [f"visitor-{index}".encode() for index in range(2_000)]


def test_every_shard_is_ranked_once_and_always_in_the_same_place() -> None:
    """The ranking of a visitor has every shard once, and is the same each time."""
    orders = [tuple(rank_shards(seed, 8)) for seed in SEEDS]
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(8))}
    assert orders == [tuple(rank_shards(seed, 8)) for seed in SEEDS]
    assert len(set(orders)) > 1_900


def test_visitors_are_spread_evenly() -> None:
    """Each of eight shards is the first one of 250 of 2,000 visitors, within four standard errors."""
    first = Counter(rank_shards(seed, 8)[0] for seed in SEEDS)
    assert set(first) == set(range(8))
    assert all(abs(count - 250) < 4 * (2_000 * 1 / 8 * 7 / 8) ** 0.5 for count in first.values())


def test_a_visitor_stays_or_goes_to_a_new_shard() -> None:
    """With more shards the first one of a visitor stays, or is a new one."""
    for seed in SEEDS:
        before, after = rank_shards(seed, 4)[0], rank_shards(seed, 8)[0]
        assert after == before or after >= 4
