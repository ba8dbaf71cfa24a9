"""Membership: peers that join, are suspect and leave, and their claims."""

from dataclasses import replace
from math import inf

from breathing_room.core.events import Joined, PanelReported
from breathing_room.core.replication.delta import (
    BEGINNING,
    Delta,
)
from breathing_room.core.replication.membership import Membership, Peer
from breathing_room.core.summary import Summary, counts
from core.playing import ANN, BOB, visitor
from core.replication.deltas import (
    CONFIG,
    ELSEWHERE,
    HERE,
    LATE_MS,
    LEASE_MS,
    SEAT_LEASE_MS,
    THERE,
    a_message,
    a_room,
    a_summary,
    some_nodes,
)


class Observer:
    """A node that reads deltas of peers, and counts the whole room.

    A delta without ``read`` has read all entries before it.
    """

    def __init__(self, own: int = 0) -> None:
        self.nodes = some_nodes()
        self.own = a_summary(own)
        self.claims = 0
        self.read_itself_at_ms = 0
        self.entry = (1, 0)

    def hear(self, *messages: Delta, now_ms: int, reads_itself: bool = True) -> None:
        if reads_itself:
            claims = tuple(visitor(f"{index}") for index in range(self.claims))
            messages = (*messages, a_message(HERE, self.own, connected=claims))
            self.claims = 0
        for message in messages:
            read = self.entry if message.read == BEGINNING else message.read
            self.entry = (1, self.entry[1] + 1)
            self.nodes.receive(replace(message, read=read), self.entry, received_at_ms=now_ms, now_ms=now_ms)

    def goes_on_until(self, now_ms: int) -> None:
        """Read own deltas at every tick."""
        for tick_ms in range(self.read_itself_at_ms, now_ms, LATE_MS // 2):
            self.hear(now_ms=tick_ms)
        self.hear(now_ms=now_ms)
        self.read_itself_at_ms = now_ms

    def says(self, now_ms: int) -> tuple[int | None, int, int | None, str]:
        self.nodes.expire(now_ms)
        self.nodes.trim(now_ms)
        known = counts(self.own, self.nodes.peer_state("lobby", now_ms), CONFIG, claims=self.claims)
        return known.count, known.low, known.high, known.method


# --- Nodes start and stop ---------------------------------------------------------------------------------


def test_nodes_are_added() -> None:
    """The sums of all nodes are added."""
    observer = Observer(own=1)
    observer.hear(a_message(THERE, a_summary(2)), a_message(ELSEWHERE, a_summary(3)), now_ms=10)

    assert observer.says(10) == (6, 6, 6, "counted")


def test_a_node_that_is_late_is_suspect_and_then_removed() -> None:
    """A node without deltas is suspect after ``suspect_after_ms``, which makes the count stale, and is
    removed when its lease expires.
    """
    observer = Observer(own=1)
    observer.hear(a_message(THERE, a_summary(2)), now_ms=0)
    for now_ms, said in (
        (LATE_MS, (3, 3, 3, "counted")),
        (LATE_MS + 1, (3, 1, 3, "stale")),
        (LEASE_MS, (3, 1, 3, "stale")),
        (LEASE_MS + 1, (1, 1, 1, "counted")),
    ):
        observer.goes_on_until(now_ms)
        assert observer.says(now_ms) == said
    assert list(observer.nodes) == []


def test_the_seats_of_a_removed_node_are_suspect() -> None:
    """The seats of a removed node are suspect until their leases expire."""
    room = a_room()
    room.step(Joined(1, ANN), now_ms=0)
    room.step(PanelReported(BOB, 0.5), now_ms=0)
    observer = Observer(own=1)
    observer.hear(a_message(THERE, room.summary(0)), now_ms=0)
    observer.goes_on_until(LEASE_MS + 1)
    assert observer.says(LEASE_MS + 1) == (2, 1, 2, "stale")

    observer.goes_on_until(SEAT_LEASE_MS + 1)
    assert observer.says(SEAT_LEASE_MS + 1) == (1, 1, 1, "counted")


def test_a_node_that_leaves_is_removed_at_once() -> None:
    """The last delta of a node that leaves removes it at once."""
    observer = Observer(own=1)
    observer.hear(
        a_message(THERE, a_summary(2)), Delta(sender=THERE, lease_ms=LEASE_MS, leaving=True), now_ms=0
    )

    assert observer.says(0) == (1, 1, 1, "counted")


def test_a_node_that_starts_again_is_another_node() -> None:
    """A restarted node is another peer: the visitors of its former epoch are suspect."""
    observer = Observer()
    observer.hear(a_message(("there", 2), a_summary(5)), now_ms=0)
    observer.hear(a_message(("there", 9), a_summary(2)), now_ms=LATE_MS + 1)

    count, low, high, method = observer.says(LATE_MS + 1)
    assert (low, method) == (2, "stale")
    assert count == high == 7


def test_an_operator_forgets_a_node() -> None:
    """A node that an operator forgets is removed at once, in every epoch of its name."""
    observer = Observer(own=1)
    observer.hear(a_message(("there", 2), a_summary(5)), a_message(("there", 9), a_summary(2)), now_ms=0)

    assert observer.nodes.remove("unknown") == []
    assert sorted(observer.nodes.remove("there")) == [("there", 2), ("there", 9)]
    assert observer.says(0) == (1, 1, 1, "counted")


def test_a_node_that_is_cut_off_keeps_the_last_sums_as_suspect() -> None:
    """A node that does not read its own deltas is stale, with an interval that widens with the joins that
    peers may have had.
    """
    observer = Observer(own=1)
    observer.hear(a_message(THERE, a_summary(2, arrivals_per_s=2.0)), now_ms=0)
    widths = []
    for now_ms in (LATE_MS + 1, LEASE_MS + 1, 10 * LEASE_MS, 20 * LEASE_MS):
        count, low, high, method = observer.says(now_ms)
        assert (count, low, method) == (3, 1, "stale")
        assert high is not None
        widths.append(high - low)
    assert widths == sorted(set(widths)), "it widens"


def test_a_node_that_was_cut_off_gives_its_peers_time() -> None:
    """When a node reads its own deltas again, peers have the rest of their lease to send theirs."""
    observer = Observer(own=1)
    observer.hear(a_message(THERE, a_summary(2)), now_ms=0)
    back_ms = 50 * LEASE_MS
    observer.hear(now_ms=back_ms)
    assert observer.says(back_ms) == (3, 1, 3, "stale")

    observer.hear(a_message(THERE, a_summary(4)), now_ms=back_ms + 10)
    assert observer.says(back_ms + 10) == (5, 5, 5, "counted")


def test_a_node_that_is_cut_off_from_the_start_is_stale() -> None:
    """A node that never read its own delta is stale."""
    assert Observer(own=1).says(LATE_MS + 1) == (1, 1, 1, "stale")


# --- No visitor is counted twice --------------------------------------------------------------------------


def test_claims_are_open_until_every_peer_has_read_them() -> None:
    """Until the peers have read a claim, low is less by one: its visitor may be in their sums."""
    observer = Observer(own=1)
    observer.hear(a_message(THERE, a_summary(2)), now_ms=0)
    observer.own, observer.claims = a_summary(2), 1
    assert observer.says(10) == (4, 3, 4, "counted")

    before = observer.entry
    observer.hear(a_message(THERE, a_summary(2)), now_ms=20)
    assert observer.says(20) == (4, 3, 4, "counted"), "it spoke before we did"
    observer.hear(a_message(THERE, a_summary(2), read=before), now_ms=30)
    assert observer.says(30) == (4, 3, 4, "counted"), "it spoke before it read"

    observer.hear(a_message(THERE, a_summary(1)), now_ms=40)
    assert observer.says(40) == (3, 3, 3, "counted")


def test_claims_of_peers_are_open_too() -> None:
    """A visitor whom one peer claims may be in the sums of another that has not read the claim."""
    observer = Observer(own=1)
    observer.hear(a_message(THERE, a_summary(2)), now_ms=0)
    before = observer.entry
    observer.hear(a_message(ELSEWHERE, a_summary(2), connected=(ANN, BOB)), now_ms=10)
    assert observer.says(10) == (5, 3, 5, "counted")

    observer.hear(a_message(THERE, a_summary(1), read=before), a_message(ELSEWHERE, a_summary(2)), now_ms=20)
    assert observer.says(20) == (4, 2, 4, "counted")
    observer.hear(a_message(THERE, a_summary(0)), now_ms=30)
    assert observer.says(30) == (3, 3, 3, "counted")


def test_a_node_that_comes_back_has_read_nothing_lately() -> None:
    """A node that is back may count visitors whom others claimed meanwhile: until it has read the claims, low
    has our own only.
    """
    observer = Observer(own=1)
    observer.hear(a_message(THERE, a_summary(2)), now_ms=0)
    before = observer.entry
    observer.own, observer.claims = a_summary(3), 2
    observer.goes_on_until(LEASE_MS + 1)
    assert observer.says(LEASE_MS + 1) == (3, 3, 3, "counted")
    observer.goes_on_until(LEASE_MS + LATE_MS)

    observer.hear(a_message(THERE, a_summary(2), read=before), now_ms=LEASE_MS + LATE_MS)
    assert observer.says(LEASE_MS + LATE_MS) == (5, 3, 5, "counted")
    observer.hear(a_message(THERE, a_summary(0)), now_ms=LEASE_MS + LATE_MS)
    assert observer.says(LEASE_MS + LATE_MS) == (3, 3, 3, "counted")


def test_a_position_in_a_lost_log_is_ignored() -> None:
    """A delta that has read entries after itself is from before the log was lost: its node has read nothing
    of the new log.
    """
    observer = Observer(own=1)
    observer.hear(a_message(THERE, a_summary(2)), now_ms=0)
    observer.own, observer.claims = a_summary(2), 1
    observer.hear(now_ms=10)
    observer.hear(a_message(THERE, a_summary(2), read=(2, 0)), now_ms=10)
    assert observer.says(10) == (4, 3, 4, "counted")

    observer.entry = (0, 0)  # Another log, whose clock is behind.
    observer.hear(a_message(THERE, a_summary(1)), now_ms=20)
    assert observer.says(20) == (3, 3, 3, "counted")


def test_the_state_of_peers_becomes_stale_without_a_tick() -> None:
    """The state of peers has the time until which it holds, so a
    process that was blocked shows it as stale.
    """
    observer = Observer(own=1)
    observer.hear(a_message(THERE, a_summary(2)), now_ms=10)
    observer.hear(a_message(ELSEWHERE, a_summary(2)), now_ms=30)
    until_ms = observer.nodes.peer_state("lobby", 40).until_ms
    assert until_ms == 10 + LATE_MS
    assert observer.says(int(until_ms)) == (5, 5, 5, "counted")
    assert observer.says(int(until_ms) + 1) == (5, 3, 5, "stale")


def with_suspects(count: int, suspect: int) -> Summary:
    """Return the sums of a room with ``count`` calm visitors, some of them suspect."""
    summary = a_summary(count)
    return replace(summary, suspect=(suspect, 0, 0))


def test_joins_are_taken_for_suspects_of_peers() -> None:
    """A visitor who joins while a peer has suspects is counted as one of them; the interval has both cases,
    and further joins count.
    """
    observer = Observer(own=1)
    observer.hear(a_message(THERE, with_suspects(4, 2)), now_ms=0)
    assert observer.says(0) == (5, 3, 5, "counted")

    observer.own, observer.claims = a_summary(2), 1
    assert observer.says(10) == (5, 3, 6, "counted")

    observer.own, observer.claims = a_summary(4), 3
    assert observer.says(20) == (6, 4, 8, "counted")


def test_joins_are_taken_for_visitors_of_a_suspect_node() -> None:
    """Visitors who join while a node is suspect are counted as visitors of that node, and the interval has
    both cases.
    """
    observer = Observer(own=1)
    observer.hear(a_message(THERE, a_summary(3)), now_ms=0)
    observer.goes_on_until(LATE_MS + 1)
    observer.own, observer.claims = a_summary(3), 2

    assert observer.says(LATE_MS + 1) == (4, 3, 6, "stale")


def test_own_visitors_are_not_suspect() -> None:
    """Own visitors are never less than low, however many claims are unread."""
    observer = Observer(own=3)
    observer.hear(a_message(THERE, a_summary(1)), now_ms=0)
    observer.claims = 3

    assert observer.says(10) == (4, 3, 4, "counted")


def test_a_successor_is_not_suspect() -> None:
    """All nodes that leave at once have the same successor, which is not suspect."""
    observer = Observer()
    assert observer.nodes.successor(0) is None
    observer.hear(a_message(THERE, a_summary(0)), a_message(ELSEWHERE, a_summary(0)), now_ms=0)
    assert observer.nodes.successor(0) == ELSEWHERE
    observer.hear(a_message(THERE, a_summary(0)), now_ms=LATE_MS + 1)
    assert observer.nodes.successor(LATE_MS + 1) == THERE


def test_a_peer_is_informed_of_all_the_others() -> None:
    """The state that is sent to a peer leaves out the peer's own sums."""
    observer = Observer()
    observer.hear(a_message(THERE, a_summary(2)), a_message(ELSEWHERE, a_summary(3)), now_ms=0)

    (others,) = observer.nodes.peer_state("lobby", 0, without=THERE).summaries
    assert others.members == (3, 0, 0)


def test_a_peer_that_is_never_silent_has_no_end() -> None:
    """A peer whose suspicion starts at infinity is neither suspect nor expired at any time."""
    membership = Membership(HERE, suspect_after_ms=LATE_MS, seat_lease_ms=SEAT_LEASE_MS, now_ms=inf)
    peer = Peer(THERE, LEASE_MS, BEGINNING, {"lobby": a_summary(2)}, suspect_since_ms=inf)
    membership.put(peer)
    for now_ms in (0, 10**12):
        assert membership.expire(now_ms) == membership.suspects(now_ms) == []
        assert membership.peer_state("lobby", now_ms).until_ms == inf

    peer.suspect_since_ms = 10**12
    assert membership.peer_state("lobby", 10**12).until_ms == 10**12 + LATE_MS
    assert membership.suspects(10**12 + LATE_MS + 1) == [THERE]
    assert membership.expire(10**12 + LEASE_MS + 1) == [THERE]
    assert list(membership) == []


def test_claims_are_kept_while_cut_off() -> None:
    """A node that is cut off keeps the claims that a peer may not have read, and counts them."""
    membership = some_nodes()
    membership.receive(a_message(HERE, a_summary(0)), (1, 1), received_at_ms=0, now_ms=0)
    claim = a_message(THERE, a_summary(1), connected=(ANN,), read=(1, 1))
    membership.receive(claim, (1, 2), received_at_ms=0, now_ms=0)
    now_ms = LATE_MS + 1
    assert membership.is_cut_off(now_ms)
    membership.receive(
        a_message(THERE, a_summary(1), read=(1, 2)), (1, 3), received_at_ms=now_ms, now_ms=now_ms
    )
    assert membership.trim(now_ms) == (1, 2)

    unheard = a_message(ELSEWHERE, a_summary(2), read=(1, 1))
    membership.receive(unheard, (1, 4), received_at_ms=now_ms, now_ms=now_ms)
    assert membership.peer_state("lobby", now_ms).unread == 1
