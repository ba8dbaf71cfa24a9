"""The sums of one room, and the counts of several combined."""

from dataclasses import replace
from typing import Any

from breathing_room.core.config import RoomConfig
from breathing_room.core.estimate.legacy_sampling import LegacySums
from breathing_room.core.estimate.panel import PanelSums
from breathing_room.core.summary import NO_PEERS, Summary, add_up, as_suspect, combine, without_members

CONFIG = RoomConfig(moods=("calm", "glad"))
NO_LEGACY = LegacySums(repeats=(0, 0, 0), weights=(0, 0, 0))
NO_SEATS = PanelSums(tally=(0, 0, 0), restored_tally=(0, 0, 0))


def a_summary(people: tuple[int, ...], suspect: tuple[int, ...] = (0, 0, 0), **more: Any) -> Summary:
    defaults: dict[str, Any] = {"panel": NO_SEATS, "legacy": NO_LEGACY}
    return Summary(members=people, suspect=suspect, **(defaults | more))


def seats(*tally: int, theta: float = 1.0) -> PanelSums:
    """Return the sums of a panel with a fresh report and no expired seats."""
    return PanelSums(
        tally=tally, restored_tally=(0, 0, 0), seats=sum(tally), fresh=True, theta=theta, rate=theta
    )


def test_suspects_are_counted_and_only_the_lower_end_is_without_them() -> None:
    """Suspects are in the count and in the upper end and not in the lower end, by mood."""
    found = combine([a_summary((4, 3, 2), (1, 0, 2))], CONFIG)
    assert (found.count, found.low, found.high, found.method) == (9, 6, 9, "counted")
    assert found.cells == ((4, 3, 4), (3, 3, 3), (2, 0, 2))


def test_replicas_add_up_as_one_with_all_their_visitors() -> None:
    """The counts of two replicas with half of the connections and seats each are those of one with all of
    them.
    """
    one = a_summary((4, 3, 2), (1, 0, 1), panel=seats(30, 10, 4, theta=0.5))
    other = a_summary((1, 0, 5), (0, 0, 2), panel=seats(10, 20, 6, theta=0.5))
    both = a_summary((5, 3, 7), (1, 0, 3), panel=seats(40, 30, 10, theta=0.5))
    together, alone = combine([one, other], CONFIG), combine([both], CONFIG)
    assert together == alone
    assert (together.count, together.method) == (15 + 160, "sampled")


def test_seats_are_weighed_by_the_rate_under_which_they_were_drawn() -> None:
    """While a new rate spreads, the seats of each replica are weighted by its own rate."""
    slow, fast = (
        a_summary((0, 0, 0), panel=seats(10, 0, 0)),
        a_summary((0, 0, 0), panel=seats(0, 10, 0, theta=0.1)),
    )
    found = combine([slow, fast], CONFIG)
    assert (found.count, found.method) == (110, "sampled")
    calm, glad, unspoken = found.cells
    assert calm is not None
    assert glad is not None
    assert unspoken is not None
    assert (calm[0], glad[0], unspoken[0]) == (10, 100, 0)
    assert found.low < 110 < (found.high or 0)


def test_a_suspect_replica_makes_all_of_its_visitors_suspect() -> None:
    """The visitors of a suspect replica are in the count and not in the
    lower end, and the method is stale.
    """
    own, other = a_summary((3, 0, 0)), a_summary((0, 5, 0), panel=seats(0, 2, 0))
    before, after = combine([own, other], CONFIG), combine([own, as_suspect(other)], CONFIG)
    assert (before.count, before.low, before.method) == (10, 10, "counted")
    assert (after.count, after.low, after.high, after.method) == (10, 3, 10, "stale")


def test_a_removed_replica_leaves_its_seats_only() -> None:
    """Without its connections a replica has its seats only, suspects and arrivals removed."""
    gone = without_members(
        a_summary((3, 1, 0), (1, 1, 0), restored=2, unknown=True, arrivals_per_s=7.0, panel=seats(2, 0, 0))
    )
    assert gone == a_summary((0, 0, 0), panel=seats(2, 0, 0))
    assert gone.leases == 2


def test_an_unknown_replica_makes_the_whole_unknown() -> None:
    """If one replica is unknown, the count is unknown, and the lower end is what the others know."""
    found = combine([a_summary((3, 0, 0)), a_summary((1, 0, 0), unknown=True)], CONFIG)
    assert (found.count, found.low, found.high, found.method) == (None, 4, None, "unknown")


def test_unread_claims_widen_the_interval_but_never_below_our_own() -> None:
    """Visitors who may be counted twice lower the lower end, not below our own; new ones at a suspect peer
    raise the upper end only.
    """
    summaries = [a_summary((5, 0, 0), (1, 0, 0)), a_summary((3, 0, 0))]
    found = combine(summaries, CONFIG, moving=2, unseen_joins=4)
    assert (found.count, found.low, found.high) == (8, 5, 12)
    assert combine(summaries, CONFIG, moving=100).low == 4


def test_returned_visitors_are_subtracted_from_the_moods_of_suspects() -> None:
    """Visitors who returned to us are subtracted from the count, in the moods of the suspects of others."""
    summaries = [a_summary((5, 0, 0)), a_summary((0, 6, 2), (0, 3, 1))]
    found = combine(summaries, CONFIG, returned=4, suspect=(0, 3, 1))
    assert (found.count, found.high) == (9, 13)
    assert [cell and cell[0] for cell in found.cells] == [5, 3, 1]


def test_seats_left_from_before_a_restart_are_stale() -> None:
    """A count with restored leases has the method stale."""
    restored = replace(seats(4, 0, 0), restored=1, restored_tally=(1, 0, 0))
    assert combine([a_summary((2, 0, 0), panel=restored)], CONFIG).method == "stale"
    assert combine([a_summary((2, 0, 0))], CONFIG, stale=True).method == "stale"


def test_small_moods_are_merged() -> None:
    """Moods smaller than min_cell_size are merged, and the count is the same."""
    people = [a_summary((20, 6, 1))]
    shown, merged = combine(people, CONFIG), combine(people, replace(CONFIG, min_cell_size=5))
    assert shown.cells == ((20, 20, 20), (6, 6, 6), (1, 1, 1))
    assert merged.cells == ((20, 20, 20), None, None)
    assert shown.count == merged.count == 27


def test_summaries_of_peers_give_the_same_counts_when_added_up() -> None:
    """The summaries of peers give the same counts added up or one by one; one is left for each rate of their
    panels.
    """
    own = a_summary((1, 0, 1), panel=seats(6, 2, 0, theta=0.5))
    peers = [
        a_summary((4, 3, 2), (1, 0, 1), panel=seats(30, 10, 4, theta=0.5), arrivals_per_s=0.5),
        a_summary((0, 2, 0), panel=seats(3, 0, 1, theta=0.25)),
        a_summary((1, 0, 5), (0, 0, 2), restored=2, panel=seats(10, 20, 6, theta=0.5), arrivals_per_s=0.25),
    ]
    added = add_up(peers)

    assert combine([own, *added], CONFIG) == combine([own, *peers], CONFIG)
    assert [summary.panel.theta for summary in added] == [0.5, 0.25]
    assert (added[0].members, added[0].suspect, added[0].restored) == ((5, 3, 7), (1, 0, 3), 2)
    assert added[0].arrivals_per_s == 0.75


def test_summaries_with_legacy_reports_are_not_added_up() -> None:
    """A summary with legacy reports is not added: the times of observation do not add."""
    legacy = LegacySums(repeats=(3, 0, 0), weights=(1, 0, 0), observed_ms=600_000, is_recent=True)
    with_legacy = a_summary((1, 0, 0), legacy=legacy)
    plain, other = a_summary((2, 0, 0)), a_summary((0, 3, 0))

    assert add_up([plain, with_legacy, other]) == (with_legacy, a_summary((2, 3, 0)))


def test_an_unknown_peer_is_not_lost_among_others() -> None:
    """The sum of summaries is unknown if one of them is."""
    (added,) = add_up([a_summary((2, 0, 0)), a_summary((0, 0, 0), unknown=True)])

    assert added.unknown


def test_no_peers_change_nothing() -> None:
    """The state without peers has no summaries, no unread claims, and holds for ever."""
    assert (NO_PEERS.summaries, NO_PEERS.unread, NO_PEERS.suspect_unread, NO_PEERS.unseen_joins) == (
        (),
        None,
        0,
        0,
    )
    assert not NO_PEERS.stale
    assert NO_PEERS.until_ms == float("inf")
