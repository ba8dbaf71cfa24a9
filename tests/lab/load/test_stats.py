"""What a crowd did and saw, added up."""

from breathing_room.lab.load.stats import HttpLoadStats, LoadStats, SocketLoadStats


def test_times_count_from_the_beginning() -> None:
    """How long the crowd took to gather is counted from its beginning, and None before it had gathered."""
    stats = LoadStats(joined=3, began_at_s=100.0)
    assert (stats.summary(3)["gathered_ms"], stats.summary(3)["joins_per_s"]) == (None, None)
    stats.gathered_at_s = 101.5
    assert (stats.summary(3)["gathered_ms"], stats.summary(3)["joins_per_s"]) == (1_500, 2)
    stats.gathered_at_s = 100.0
    assert (stats.summary(3)["gathered_ms"], stats.summary(3)["joins_per_s"]) == (0, None)


def test_ends_and_errors_come_most_frequent_first() -> None:
    """Reasons are listed by how often they were seen, so that the first one is the one to look at."""
    stats = LoadStats()
    stats.ends.update(["1006", "1012", "1012"])
    stats.errors.update(["bad_mood"])
    summary = stats.summary(1)
    assert list(summary["ends"].items()) == [("1012", 2), ("1006", 1)]
    assert summary["errors"] == {"bad_mood": 1}


def test_a_full_count_is_timed_from_the_last_join() -> None:
    """Connections that saw the full count before the last join waited for nothing, and one that never did is
    not in the median.
    """
    stats = SocketLoadStats(messages=7, bytes=1_001, last_join_at_s=10.0, full_at_s=[9.5, 10.2, 10.4])
    summary = stats.summary(4)
    assert summary["full_count_heard_by"] == 3
    assert (summary["full_count_ms_median"], summary["full_count_ms_worst"]) == (200, 400)
    assert (summary["messages_per_person"], summary["bytes_per_person"]) == (1.75, 250.2)
    assert SocketLoadStats().summary(1)["full_count_ms_worst"] is None


def test_leaves_after_the_end_are_no_part_of_the_traffic() -> None:
    """What is sent per second is a mean until the crowd begins to leave; leaving itself is counted, and not
    averaged.
    """
    stats = HttpLoadStats(reads=30, reports=10, leaves=2, began_at_s=100.0)
    stats.end(110.0, present_at_end=5)
    stats.leaves += 5
    summary = stats.summary(5)
    assert (summary["reads_per_s"], summary["reports_per_s"]) == (3.0, 1.2)
    assert (summary["leaves"], stats.present_at_end, stats.sent()) == (7, 5, {"reads": 30, "reports": 17})


def test_a_crowd_that_still_runs_has_no_rates() -> None:
    """A summary before the end says what was sent so far, and no mean per second."""
    summary = HttpLoadStats(reads=3, began_at_s=100.0).summary(1)
    assert summary["reads"] == 3
    assert "reads_per_s" not in summary
