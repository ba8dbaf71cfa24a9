"""Peers come, fall silent and leave, and claims are read: what is known of a room on all of them."""

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


class Looker:
    """A node that hears others, and says what it knows of the whole room. Who does not say otherwise has read all before."""

    def __init__(self, own: int = 0) -> None:
        self.nodes = some_nodes()
        self.own = a_summary(own)
        self.claims = 0
        self.heard_itself_at_ms = 0
        self.entry = (1, 0)

    def hear(self, *messages: Delta, now_ms: int, hears_itself: bool = True) -> None:
        if hears_itself:
            claims = tuple(visitor(f"{index}") for index in range(self.claims))
            messages = (*messages, a_message(HERE, self.own, came=claims))
            self.claims = 0
        for message in messages:
            read = self.entry if message.read == BEGINNING else message.read
            self.entry = (1, self.entry[1] + 1)
            self.nodes.hear(replace(message, read=read), self.entry, heard_at_ms=now_ms, now_ms=now_ms)

    def goes_on_until(self, now_ms: int) -> None:
        """Hear itself at every tick."""
        for tick_ms in range(self.heard_itself_at_ms, now_ms, LATE_MS // 2):
            self.hear(now_ms=tick_ms)
        self.hear(now_ms=now_ms)
        self.heard_itself_at_ms = now_ms

    def says(self, now_ms: int) -> tuple[int | None, int, int | None, str]:
        self.nodes.expire(now_ms)
        self.nodes.trim(now_ms)
        known = counts(self.own, self.nodes.peer_state("lobby", now_ms), CONFIG, claims=self.claims)
        return known.count, known.low, known.high, known.method


# --- Nodes come and go ------------------------------------------------------------------------------------------------


def test_nodes_are_added() -> None:
    """
    Whoever is heard is counted, in the mood that was told.
    """
    looker = Looker(own=1)
    looker.hear(a_message(THERE, a_summary(2)), a_message(ELSEWHERE, a_summary(3)), now_ms=10)

    assert looker.says(10) == (6, 6, 6, "counted")


def test_a_node_that_is_late_is_in_doubt_and_then_gone() -> None:
    """
    A silent node is stale from ``late_ms`` on, and left out when its lease has ended; its sockets are, at least.
    """
    looker = Looker(own=1)
    looker.hear(a_message(THERE, a_summary(2)), now_ms=0)
    for now_ms, said in (
        (LATE_MS, (3, 3, 3, "counted")),
        (LATE_MS + 1, (3, 1, 3, "stale")),
        (LEASE_MS, (3, 1, 3, "stale")),
        (LEASE_MS + 1, (1, 1, 1, "counted")),
    ):
        looker.goes_on_until(now_ms)
        assert looker.says(now_ms) == said
    assert list(looker.nodes) == []


def test_a_node_that_is_gone_leaves_its_seats_in_doubt() -> None:
    """
    Whoever reports goes on reporting elsewhere: seats of a dead node are in doubt until their leases end.
    """
    room = a_room()
    room.step(Joined(1, ANN), now_ms=0)
    room.step(PanelReported(BOB, 0.5), now_ms=0)
    looker = Looker(own=1)
    looker.hear(a_message(THERE, room.summary(0)), now_ms=0)
    looker.goes_on_until(LEASE_MS + 1)
    assert looker.says(LEASE_MS + 1) == (2, 1, 2, "stale")

    looker.goes_on_until(SEAT_LEASE_MS + 1)
    assert looker.says(SEAT_LEASE_MS + 1) == (1, 1, 1, "counted")


def test_a_node_that_takes_its_leave_is_gone_at_once() -> None:
    """
    After a goodbye nothing is left of a node.
    """
    looker = Looker(own=1)
    looker.hear(a_message(THERE, a_summary(2)), Delta(node=THERE, lease_ms=LEASE_MS, leaving=True), now_ms=0)

    assert looker.says(0) == (1, 1, 1, "counted")


def test_a_node_that_starts_again_is_another_node() -> None:
    """
    The people of before stay in doubt while they come back: the node of now has none of them.
    """
    looker = Looker()
    looker.hear(a_message(("there", 2), a_summary(5)), now_ms=0)
    looker.hear(a_message(("there", 9), a_summary(2)), now_ms=LATE_MS + 1)

    count, low, high, method = looker.says(LATE_MS + 1)
    assert (low, method) == (2, "stale")
    assert count == high == 7


def test_an_operator_forgets_a_node() -> None:
    """
    A forgotten node is gone at once, in every epoch of its name.
    """
    looker = Looker(own=1)
    looker.hear(a_message(("there", 2), a_summary(5)), a_message(("there", 9), a_summary(2)), now_ms=0)

    assert looker.nodes.remove("nobody") == []
    assert sorted(looker.nodes.remove("there")) == [("there", 2), ("there", 9)]
    assert looker.says(0) == (1, 1, 1, "counted")


def test_whoever_is_cut_off_keeps_the_last_sums_in_doubt() -> None:
    """
    A node that does not hear itself says stale for as long as that lasts, with an interval that widens with newcomers.
    """
    looker = Looker(own=1)
    looker.hear(a_message(THERE, a_summary(2, arrivals_per_s=2.0)), now_ms=0)
    widths = []
    for now_ms in (LATE_MS + 1, LEASE_MS + 1, 10 * LEASE_MS, 20 * LEASE_MS):
        count, low, high, method = looker.says(now_ms)
        assert (count, low, method) == (3, 1, "stale")
        assert high is not None
        widths.append(high - low)
    assert widths == sorted(set(widths)), "it widens"


def test_whoever_was_cut_off_gives_the_others_time() -> None:
    """
    When a node hears itself again, the others have what a lease leaves after lateness to be heard from.
    """
    looker = Looker(own=1)
    looker.hear(a_message(THERE, a_summary(2)), now_ms=0)
    back_ms = 50 * LEASE_MS
    looker.hear(now_ms=back_ms)
    assert looker.says(back_ms) == (3, 1, 3, "stale")

    looker.hear(a_message(THERE, a_summary(4)), now_ms=back_ms + 10)
    assert looker.says(back_ms + 10) == (5, 5, 5, "counted")


def test_the_first_look_of_a_node_that_is_cut_off_from_the_start() -> None:
    """
    A node that never heard itself does not say that nobody else is there.
    """
    assert Looker(own=1).says(LATE_MS + 1) == (1, 1, 1, "stale")


# --- Nobody is counted twice ------------------------------------------------------------------------------------------


def test_claims_are_left_open_until_everybody_has_read_them() -> None:
    """
    Between a claim and the first message of others who read it, one of theirs may be the one who came: low is less by one.
    """
    looker = Looker(own=1)
    looker.hear(a_message(THERE, a_summary(2)), now_ms=0)
    looker.own, looker.claims = a_summary(2), 1
    assert looker.says(10) == (4, 3, 4, "counted")

    before = looker.entry
    looker.hear(a_message(THERE, a_summary(2)), now_ms=20)
    assert looker.says(20) == (4, 3, 4, "counted"), "it spoke before we did"
    looker.hear(a_message(THERE, a_summary(2), read=before), now_ms=30)
    assert looker.says(30) == (4, 3, 4, "counted"), "it spoke before it read"

    looker.hear(a_message(THERE, a_summary(1)), now_ms=40)
    assert looker.says(40) == (3, 3, 3, "counted")


def test_claims_of_others_are_left_open_too() -> None:
    """
    Who came to one node may be in the sums of another, of whom we heard before that.
    """
    looker = Looker(own=1)
    looker.hear(a_message(THERE, a_summary(2)), now_ms=0)
    before = looker.entry
    looker.hear(a_message(ELSEWHERE, a_summary(2), came=(ANN, BOB)), now_ms=10)
    assert looker.says(10) == (5, 3, 5, "counted")

    looker.hear(a_message(THERE, a_summary(1), read=before), a_message(ELSEWHERE, a_summary(2)), now_ms=20)
    assert looker.says(20) == (4, 2, 4, "counted")
    looker.hear(a_message(THERE, a_summary(0)), now_ms=30)
    assert looker.says(30) == (3, 3, 3, "counted")


def test_a_node_that_comes_back_has_read_nothing_lately() -> None:
    """
    A node that was gone and speaks again may hold anybody who came to others meanwhile: until it has read who did, only our own are sure.
    """
    looker = Looker(own=1)
    looker.hear(a_message(THERE, a_summary(2)), now_ms=0)
    before = looker.entry
    looker.own, looker.claims = a_summary(3), 2
    looker.goes_on_until(LEASE_MS + 1)
    assert looker.says(LEASE_MS + 1) == (3, 3, 3, "counted")
    looker.goes_on_until(LEASE_MS + LATE_MS)

    looker.hear(a_message(THERE, a_summary(2), read=before), now_ms=LEASE_MS + LATE_MS)
    assert looker.says(LEASE_MS + LATE_MS) == (5, 3, 5, "counted")
    looker.hear(a_message(THERE, a_summary(0)), now_ms=LEASE_MS + LATE_MS)
    assert looker.says(LEASE_MS + LATE_MS) == (3, 3, 3, "counted")


def test_a_place_in_a_log_that_is_lost_says_nothing() -> None:
    """
    A message that claims to have read what comes after it is from before the log began anew: its node has read nothing of this one.
    """
    looker = Looker(own=1)
    looker.hear(a_message(THERE, a_summary(2)), now_ms=0)
    looker.own, looker.claims = a_summary(2), 1
    looker.hear(now_ms=10)
    looker.hear(a_message(THERE, a_summary(2), read=(2, 0)), now_ms=10)
    assert looker.says(10) == (4, 3, 4, "counted")

    looker.entry = (0, 0)  # Another log, whose clock is behind.
    looker.hear(a_message(THERE, a_summary(1)), now_ms=20)
    assert looker.says(20) == (3, 3, 3, "counted")


def test_doubt_needs_no_tick() -> None:
    """
    What is known of the others says until when it holds: a process that was busy for long must not show it as if it were new.
    """
    looker = Looker(own=1)
    looker.hear(a_message(THERE, a_summary(2)), now_ms=10)
    looker.hear(a_message(ELSEWHERE, a_summary(2)), now_ms=30)
    until_ms = looker.nodes.peer_state("lobby", 40).until_ms
    assert until_ms == 10 + LATE_MS
    assert looker.says(int(until_ms)) == (5, 5, 5, "counted")
    assert looker.says(int(until_ms) + 1) == (5, 3, 5, "stale")


def with_silent(count: int, suspect: int) -> Summary:
    """So many people who are calm, of whom the sockets of some broke."""
    summary = a_summary(count)
    return replace(summary, suspect=(suspect, 0, 0))


def test_newcomers_are_taken_for_silent_people_of_others() -> None:
    """
    While people of another node are on their way, whoever comes is probably one of them, so the count stays; the interval
    holds both cases, and further newcomers are new.
    """
    looker = Looker(own=1)
    looker.hear(a_message(THERE, with_silent(4, 2)), now_ms=0)
    assert looker.says(0) == (5, 3, 5, "counted")

    looker.own, looker.claims = a_summary(2), 1
    assert looker.says(10) == (5, 3, 6, "counted")

    looker.own, looker.claims = a_summary(4), 3
    assert looker.says(20) == (6, 4, 8, "counted")


def test_newcomers_are_taken_for_people_of_a_dead_node() -> None:
    """
    People of a node in doubt who come back are not counted twice, though nobody knows who they are.
    """
    looker = Looker(own=1)
    looker.hear(a_message(THERE, a_summary(3)), now_ms=0)
    looker.goes_on_until(LATE_MS + 1)
    looker.own, looker.claims = a_summary(3), 2

    assert looker.says(LATE_MS + 1) == (4, 3, 6, "stale")


def test_our_own_are_in_no_doubt() -> None:
    """
    However many come, those whom we hold ourselves are there.
    """
    looker = Looker(own=3)
    looker.hear(a_message(THERE, a_summary(1)), now_ms=0)
    looker.claims = 3

    assert looker.says(10) == (4, 3, 4, "counted")


def test_an_heir_is_somebody_who_is_there() -> None:
    """
    All that leave at once have the same heir, who is in no doubt.
    """
    looker = Looker()
    assert looker.nodes.successor(0) is None
    looker.hear(a_message(THERE, a_summary(0)), a_message(ELSEWHERE, a_summary(0)), now_ms=0)
    assert looker.nodes.successor(0) == ELSEWHERE
    looker.hear(a_message(THERE, a_summary(0)), now_ms=LATE_MS + 1)
    assert looker.nodes.successor(LATE_MS + 1) == THERE


def test_a_peer_is_informed_of_all_the_others() -> None:
    """
    What one peer is to know is what is known without it.
    """
    looker = Looker()
    looker.hear(a_message(THERE, a_summary(2)), a_message(ELSEWHERE, a_summary(3)), now_ms=0)

    (others,) = looker.nodes.peer_state("lobby", 0, without=THERE).summaries
    assert others.people == (3, 0, 0)


def test_a_peer_that_is_never_silent_has_no_end() -> None:
    """
    Where silence is a call that fails, a peer that has been quiet for ever is neither suspect nor gone.
    """
    membership = Membership(HERE, late_ms=LATE_MS, seat_lease_ms=SEAT_LEASE_MS, now_ms=inf)
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
    """
    A replica that does not hear itself may hear of a peer that has read less than all it knows: those claims are counted then.
    """
    membership = some_nodes()
    membership.hear(a_message(HERE, a_summary(0)), (1, 1), heard_at_ms=0, now_ms=0)
    claim = a_message(THERE, a_summary(1), came=(ANN,), read=(1, 1))
    membership.hear(claim, (1, 2), heard_at_ms=0, now_ms=0)
    now_ms = LATE_MS + 1
    assert membership.is_cut_off(now_ms)
    membership.hear(a_message(THERE, a_summary(1), read=(1, 2)), (1, 3), heard_at_ms=now_ms, now_ms=now_ms)
    assert membership.trim(now_ms) == (1, 2)

    unheard = a_message(ELSEWHERE, a_summary(2), read=(1, 1))
    membership.hear(unheard, (1, 4), heard_at_ms=now_ms, now_ms=now_ms)
    assert membership.peer_state("lobby", now_ms).unread == 1
