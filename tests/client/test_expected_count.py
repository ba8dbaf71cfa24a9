"""The range of counts that a room may show for connections of our own."""

from random import Random

from breathing_room.client.expected_count import BUCKET_S, KEPT_S, ExpectedCount


def test_a_range_is_that_of_the_last_seconds() -> None:
    """What was the number when the range begins belongs to it, and what was before does not."""
    own = ExpectedCount()
    own.record(10.0, low=0, high=100)
    own.record(11.0, low=100, high=100)
    own.record(20.0, low=99, high=101)
    own.record(20.5, low=100, high=100)

    assert own.since(9.0) == (0, 101)
    assert own.since(10.5) == (0, 101)
    assert own.since(12.0) == (99, 101)
    assert own.since(20.3) == (99, 101)
    assert own.since(21.0) == own.since(500.0) == (100, 100)


def test_before_the_first_record_the_range_is_zero() -> None:
    """It is 0 to 0."""
    assert ExpectedCount().since(0.0) == (0, 0)


def test_a_range_is_that_of_a_list_of_all_changes() -> None:
    """Random changes: what is kept in buckets gives what all changes give, but for one bucket more, and is
    not kept for ever.
    """
    rng, own = Random(5), ExpectedCount()
    changes = [(0.0, 0, 0)]
    for step in range(1, 4_000):
        least = rng.randrange(100)
        changes.append((step * 0.031, least, least + rng.randrange(5)))
        own.record(changes[-1][0], low=changes[-1][1], high=changes[-1][2])
        if step % 37:
            continue
        since_s = changes[-1][0] - rng.uniform(0, KEPT_S / 4)

        def exact(since_s: float) -> tuple[int, int]:
            after = [change for change in changes if change[0] > since_s]
            within = [*[change for change in changes if change[0] <= since_s][-1:], *after]
            return min(change[1] for change in within), max(change[2] for change in within)

        narrow, wide = exact(since_s), exact(since_s - BUCKET_S)
        low, high = own.since(since_s)
        assert wide[0] <= low <= narrow[0]
        assert narrow[1] <= high <= wide[1]
    assert len(own._buckets) <= KEPT_S / BUCKET_S + 3
