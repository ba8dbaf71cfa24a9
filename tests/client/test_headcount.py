"""The number of our own people that a room may rightly count."""

from random import Random

from breathing_room.client.headcount import BUCKET_S, KEPT_S, Headcount


def test_a_range_is_that_of_the_last_seconds() -> None:
    """What was the number when the range begins belongs to it, and what was before does not."""
    own = Headcount()
    own.note(10.0, fewest=0, most=100)
    own.note(11.0, fewest=100, most=100)
    own.note(20.0, fewest=99, most=101)
    own.note(20.5, fewest=100, most=100)

    assert own.since(9.0) == (0, 101)
    assert own.since(10.5) == (0, 101)
    assert own.since(12.0) == (99, 101)
    assert own.since(20.3) == (99, 101)
    assert own.since(21.0) == own.since(500.0) == (100, 100)


def test_before_anything_was_noted_there_is_no_one() -> None:
    """The range is 0 to 0."""
    assert Headcount().since(0.0) == (0, 0)


def test_a_range_is_that_of_a_list_of_all_changes() -> None:
    """Random changes: what is kept in buckets gives what all changes give, but for one bucket more, and is not kept for ever."""
    rng, own = Random(5), Headcount()
    changes = [(0.0, 0, 0)]
    for step in range(1, 4_000):
        fewest = rng.randrange(100)
        changes.append((step * 0.031, fewest, fewest + rng.randrange(5)))
        own.note(changes[-1][0], fewest=changes[-1][1], most=changes[-1][2])
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
