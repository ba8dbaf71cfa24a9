"""One room over several nodes: what they tell each other, and what each says of the whole."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.cluster import (
    BEGINNING,
    MAGIC,
    EntryId,
    Message,
    Nodes,
    Order,
    Part,
    Whole,
    decode,
    decode_pace,
    encode_message,
    encode_order,
    encode_pace,
    propose,
)
from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import HostError
from breathing_room.core.estimate.coin import WINDOW_MS
from breathing_room.core.events import Broke, Event, Inherited, Joined, Moved, Paced, Reported, Tossed, Woken
from breathing_room.core.room import Room
from breathing_room.core.summary import Summary, doubted, facts, without_people
from core.playing import ANN, BOB, damages, visitor

MOODS = ("calm", "glad")
CONFIG = RoomConfig(moods=MOODS, lease_ms=1_000, grace_ms=300, push_ms=100, panel_size=4, spread_ms=1_000)
HERE, THERE, ELSEWHERE = ("here", 1), ("there", 2), ("elsewhere", 3)
LATE_MS, LEASE_MS, SEAT_LEASE_MS = 100, 500, 2_000


def moods_of(room: str) -> tuple[str, ...]:
    del room
    return MOODS


def a_room(*, now_ms: int = 0, paced: bool = True) -> Room:
    return Room("lobby", CONFIG, now_ms=now_ms, rate_is_shared=paced)


def a_summary(count: int, *, arrivals_per_s: float = 0.0) -> Summary:
    """So many people who are calm."""
    room = a_room()
    for index in range(count):
        room.step(Joined(index, visitor(f"{index}"), "calm"), now_ms=0)
    return replace(room.summary(0), arrivals_per_s=arrivals_per_s)


def a_message(
    node: tuple[str, int], summary: Summary, *, read: EntryId = BEGINNING, **keys: tuple[object, ...]
) -> Message:
    part = Part(summary=summary, **keys)  # type: ignore[arg-type]
    return Message(node=node, lease_ms=LEASE_MS, read=read, parts={"lobby": part})


def some_nodes() -> Nodes:
    return Nodes(HERE, late_ms=LATE_MS, seat_lease_ms=SEAT_LEASE_MS, now_ms=0)


class Looker:
    """A node that hears others, and says what it knows of the whole room. Who does not say otherwise has read all before."""

    def __init__(self, own: int = 0) -> None:
        self.nodes = some_nodes()
        self.whole = Whole("lobby", CONFIG, now_ms=0)
        self.own = a_summary(own)
        self.claims = 0
        self.heard_itself_at_ms = 0
        self.entry = (1, 0)

    def hear(self, *messages: Message, now_ms: int, hears_itself: bool = True) -> None:
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
        self.nodes.lapse(now_ms)
        self.whole.others = self.nodes.others("lobby", now_ms)
        presence = self.whole.presence(self.own, self.claims, now_ms=now_ms)
        return presence.count, presence.low, presence.high, presence.method


# --- Adding up --------------------------------------------------------------------------------------------------------

# Who comes to which node, and how; then whose socket breaks.
people = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([None, *MOODS]), st.booleans()), max_size=60, unique_by=id
)


def played(events: Sequence[Event], *, paced: Paced | None) -> Room:
    room = a_room()
    if paced is not None:
        room.step(paced, now_ms=0)
    for event in events:
        room.step(event, now_ms=10)
    room.step(Woken(), now_ms=200)
    return room


@given(people)
def test_sockets_on_several_nodes_are_as_on_one(crowd: list[tuple[int, str | None, bool]]) -> None:
    """
    People on sockets, some of them silent, say the same together as they would in one room.
    """
    events: list[tuple[int, list[Event]]] = []
    for index, (node, mood, breaks) in enumerate(crowd):
        events.append((node, [Joined(index, visitor(f"{index}"), mood), *([Broke(index)] if breaks else [])]))
    one = played([event for _, happened in events for event in happened], paced=None)
    several = [
        played([event for at, happened in events if at == node for event in happened], paced=None)
        for node in range(4)
    ]

    assert facts([room.summary(200) for room in several], CONFIG) == facts([one.summary(200)], CONFIG)


@given(people, st.sampled_from([1.0, 0.5, 0.3, 0.04]), st.integers(1, 200))
def test_a_panel_on_several_nodes_is_as_on_one(
    crowd: list[tuple[int, str | None, bool]], rate: float, later_s: int
) -> None:
    """
    Seats, some of which lapse in silence, make the same estimate and the same interval on four nodes as on one.
    """
    pace = Paced(((0, rate),), 0)
    events: list[tuple[int, Event]] = [
        (node, Reported(visitor(f"{index}"), index % 16 / 16 * rate, mood))
        for index, (node, mood, _) in enumerate(crowd)
    ]
    renewed: list[tuple[int, Event]] = [
        event for event, (_, _, again) in zip(events, crowd, strict=True) if again
    ]
    at_ms = CONFIG.beat_lease_ms - 1

    def last(node: int | None) -> Room:
        room = played([event for at, event in events if node in {None, at}], paced=pace)
        for at, event in renewed:
            if node in {None, at}:
                room.step(event, now_ms=at_ms)
        room.step(Woken(), now_ms=at_ms + 1_000 * later_s)
        return room

    now_ms = at_ms + 1_000 * later_s
    together = facts([last(node).summary(now_ms) for node in range(4)], CONFIG)
    assert together == facts([last(None).summary(now_ms)], CONFIG)


def test_coins_on_several_nodes_are_as_on_one() -> None:
    """
    Coins that were watched for a whole window on each of two nodes say what they would in one room.
    """
    rooms = one, here, there = a_room(), a_room(), a_room()
    for second in range(10):
        for index in range(40):
            for room in (one, here if index % 2 else there):
                room.step(Tossed(visitor(f"{index}"), MOODS[index % 2]), now_ms=20_000 * second)
    for room in rooms:
        room.step(Woken(), now_ms=WINDOW_MS + 20_000)

    together = facts([room.summary(WINDOW_MS + 20_000) for room in (here, there)], CONFIG)
    assert together == facts([one.summary(WINDOW_MS + 20_000)], CONFIG)
    assert together.count is not None
    assert together.count > 20


def test_nodes_under_different_rates_are_added_as_estimates() -> None:
    """
    While a rate spreads, a node that asks everybody and one that asks half each count for what they are.
    """
    here, there = a_room(), a_room()
    there.step(Paced(((0, 0.5),), 0), now_ms=0)
    for index in range(4):
        here.step(Reported(visitor(f"h{index}"), 0.9, "calm"), now_ms=0)
        there.step(Reported(visitor(f"t{index}"), 0.25, "glad"), now_ms=0)

    together = facts([here.summary(0), there.summary(0)], CONFIG)
    assert together.count == 4 + 8
    assert together.method == "sampled"
    assert together.low < 12 < (together.high or 0)
    assert [cell and cell[0] for cell in together.cells] == [4, 8, 0]


def test_a_doubted_node_is_left_out_below_and_counted_in_above() -> None:
    """
    Doubt puts everybody on sockets and every seat between the ends of the interval, and the method says stale.
    """
    room = a_room()
    room.step(Joined(1, ANN, "calm"), now_ms=0)
    room.step(Reported(BOB, 0.5, "glad"), now_ms=0)
    doubt = doubted(room.summary(0))

    known = facts([a_summary(3), doubt], CONFIG)
    assert (known.count, known.low, known.high, known.method) == (5, 3, 5, "stale")
    assert known.cells == ((4, 3, 4), (1, 0, 1), (0, 0, 0))

    seats = facts([a_summary(3), without_people(doubt)], CONFIG)
    assert (seats.count, seats.low, seats.high, seats.method) == (4, 3, 4, "stale")


def test_coins_of_a_doubted_node_are_left_out_below() -> None:
    """
    People who flip coins on a doubted node do not raise the lower end.
    """
    room = a_room()
    for second in range(10):
        room.step(Tossed(ANN, "calm"), now_ms=20_000 * second)
    sure = facts([a_summary(3), room.summary(180_000)], CONFIG)
    known = facts([a_summary(3), doubted(room.summary(180_000))], CONFIG)

    assert (known.count, known.high) == (sure.count, sure.high)
    assert known.low == 3 < sure.low


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
    room.step(Reported(BOB, 0.5), now_ms=0)
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
    looker.hear(
        a_message(THERE, a_summary(2)), Message(node=THERE, lease_ms=LEASE_MS, leaving=True), now_ms=0
    )

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

    assert looker.nodes.forget("nobody") == []
    assert sorted(looker.nodes.forget("there")) == [("there", 2), ("there", 9)]
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
    until_ms = looker.nodes.others("lobby", 40).until_ms
    assert until_ms == 10 + LATE_MS
    assert looker.says(int(until_ms)) == (5, 5, 5, "counted")
    assert looker.says(int(until_ms) + 1) == (5, 3, 5, "stale")


def with_silent(count: int, silent: int) -> Summary:
    """So many people who are calm, of whom the sockets of some broke."""
    summary = a_summary(count)
    return replace(summary, silent=(silent, 0, 0))


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


def test_a_room_lets_go_of_a_visitor_who_moved() -> None:
    """
    A visitor who is counted elsewhere has neither lease nor seat nor connection here any more.
    """
    room = a_room()
    room.step(Joined(1, ANN, "calm"), now_ms=0)
    room.step(Joined(2, ANN), now_ms=0)
    room.step(Reported(BOB, 0.5), now_ms=0)
    for key in (ANN, BOB, visitor("nobody")):
        room.step(Moved(key), now_ms=10)

    assert room.count == room.connection_count == 0
    assert room.summary(10).people == (0, 0, 0)
    room.step(Broke(1), now_ms=20)
    room.step(Joined(1, ANN, "glad"), now_ms=30)
    assert room.summary(30).people == (0, 1, 0)


def test_seats_are_inherited() -> None:
    """
    An heir counts the seats that it took over for what was left of their leases, once, and not those whom it counts already.
    """
    old, heir = a_room(), a_room()
    for name, mood in (("ann", "calm"), ("bob", "glad"), ("cat", "glad")):
        old.step(Reported(visitor(name), 0.5, mood), now_ms=0)
    heir.step(Joined(1, visitor("cat"), "glad"), now_ms=0)
    seats = old.panel.snapshot(0).seats
    for _ in range(2):
        heir.step(Inherited(seats), now_ms=0)

    assert heir.count == 3
    assert heir.presence(now_ms=0).moods == {"calm": 1, "glad": 2}
    heir.step(Woken(), now_ms=CONFIG.beat_lease_ms)
    assert heir.panel.seat_count == 0


def test_an_heir_is_somebody_who_is_there() -> None:
    """
    All that leave at once have the same heir, who is in no doubt.
    """
    looker = Looker()
    assert looker.nodes.heir(0) is None
    looker.hear(a_message(THERE, a_summary(0)), a_message(ELSEWHERE, a_summary(0)), now_ms=0)
    assert looker.nodes.heir(0) == ELSEWHERE
    looker.hear(a_message(THERE, a_summary(0)), now_ms=LATE_MS + 1)
    assert looker.nodes.heir(LATE_MS + 1) == THERE


# --- What is announced ------------------------------------------------------------------------------------------------


def test_announcements_are_coalesced() -> None:
    """
    What changed is told once ``push_ms`` have passed, and what did not is not told.
    """
    looker = Looker(own=1)
    looker.says(0)
    first = looker.whole.announce(looker.own, 0, push_ms=100, now_ms=0)
    assert first is not None
    assert first.label == "1"
    assert looker.whole.announce(looker.own, 0, push_ms=100, now_ms=100) is None

    looker.own = a_summary(2)
    assert looker.whole.announce(looker.own, 0, push_ms=200, now_ms=150) is None
    second = looker.whole.announce(looker.own, 0, push_ms=200, now_ms=200)
    assert second is not None
    assert (second.count, second.as_of_ms) == (2, 200)


# --- On the wire ------------------------------------------------------------------------------------------------------


def test_a_message_is_read_as_it_was_written() -> None:
    """
    Sums, seats, coins and keys come back as they were.
    """
    room = a_room()
    room.step(Joined(1, ANN, "calm"), now_ms=0)
    room.step(Joined(2, BOB), now_ms=0)
    room.step(Broke(2), now_ms=0)
    room.step(Reported(visitor("cat"), 0.5, "glad"), now_ms=0)
    room.step(Tossed(visitor("dan"), "glad"), now_ms=0)
    busy = Part(
        summary=replace(room.summary(0), arrivals_per_s=1.5),
        came=(ANN,),
        reported=(visitor("cat"),),
        gone=(BOB,),
        seats=room.panel.snapshot(0).seats,
    )
    quiet = Part(summary=a_summary(0))
    message = Message(node=THERE, lease_ms=LEASE_MS, parts={"lobby": busy, "attic": quiet})

    message = replace(message, heir=ELSEWHERE, read=(1_767_268_800_000, 7))
    read = decode(encode_message(message, moods_of), moods_of)
    assert isinstance(read, Message)
    assert (read.node, read.lease_ms, read.heir, read.read) == (THERE, LEASE_MS, ELSEWHERE, message.read)
    assert read.parts["lobby"] == busy
    assert read.parts["attic"].summary.leases == 0
    assert read.parts["attic"].summary.panel.is_idle


def test_a_room_costs_a_few_hundred_bytes_whatever_is_in_it() -> None:
    """
    A message about 10,000 people is hardly longer than one about nobody.
    """
    few = len(encode_message(a_message(THERE, a_summary(0)), moods_of))
    many = len(encode_message(a_message(THERE, a_summary(10_000)), moods_of))

    assert many - few < 20
    assert many < 300


def test_moods_that_are_not_declared_here_are_unspoken() -> None:
    """
    Nodes that are set otherwise, as while a new version is rolled out, are added all the same.
    """
    message = a_message(THERE, a_summary(3))
    read = decode(encode_message(message, moods_of), lambda room: ("glad",) if room == "lobby" else ())

    assert isinstance(read, Message)
    assert read.parts["lobby"].summary.people == (0, 3)


def test_orders() -> None:
    """
    What an operator says comes back as it was said.
    """
    for verb in ("forget", "drain"):
        assert decode(encode_order(Order(verb, "there")), moods_of) == Order(verb, "there")


@pytest.mark.soak
def test_damage_is_found_or_harmless() -> None:
    """
    Whatever happens to a byte of a message, reading it ends in a message or in a HostError.
    """
    value = encode_message(a_message(THERE, a_summary(2), came=(ANN,)), moods_of)
    refused = 0
    for damaged in damages(value):
        try:
            decode(damaged, moods_of)
        except HostError:
            refused += 1
    assert refused > len(value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "not a message"),
        (b"hello, is this redis?", "not a message"),
        (b"BRN2" + bytes(20), "of a later version"),
        (MAGIC + b"\2\0\0\0{}", "damaged"),
        (MAGIC + b"\x12\0\0\0" + b'{"forget":"a b c"}', "damaged"),
        (MAGIC + b"\xff\xff\xff\x7f{}", "damaged"),
    ],
)
def test_what_is_no_message(value: bytes, why: str) -> None:
    """
    What another program wrote, or a later version of us, is refused by what it is.
    """
    with pytest.raises(HostError, match=why):
        decode(value, moods_of)


def test_sums_that_cannot_be_are_refused() -> None:
    """
    More silent people than people, and rates outside (0, 1], are damage.
    """
    summary = a_summary(1)
    for wrong in (
        replace(summary, silent=(2, 0, 0)),
        replace(summary, people=(-1, 0, 0)),
        replace(summary, arrivals_per_s=float("inf")),
        replace(summary, panel=replace(summary.panel, seats=1, theta=0.0)),
        replace(summary, panel=replace(summary.panel, seats=1, rate=2.0)),
        replace(summary, panel=replace(summary.panel, seats=1, restored_tally=(1, 0, 0))),
    ):
        with pytest.raises(HostError, match="damaged"):
            decode(encode_message(a_message(THERE, wrong), moods_of), moods_of)


# --- The rate ---------------------------------------------------------------------------------------------------------

EVERYBODY = Paced(((0, 1.0),), 0)


def test_the_rate_follows_the_seats_of_all_nodes() -> None:
    """
    A rate is proposed for the seats of all nodes together, though none of them has too many; and what it replaces
    is acted on for its time, and for as long as the news may take.
    """
    rooms = [a_room(), a_room()]
    for index in range(16):
        rooms[index % 2].step(Reported(visitor(f"{index}"), index / 16), now_ms=0)
    summaries = [room.summary(0) for room in rooms]

    pace = propose(EVERYBODY, summaries, CONFIG, late_ms=LATE_MS, now_ms=10)
    assert pace == Paced(((0, 0.25), (10 + CONFIG.spread_ms + LATE_MS, 1.0)), 10)
    assert propose(EVERYBODY, summaries[:1], CONFIG, late_ms=LATE_MS, now_ms=10) is None
    for room in rooms:
        room.step(pace, now_ms=10)
    assert sum(room.panel.seat_count for room in rooms) == 4
    assert {room.panel.theta for room in rooms} == {0.25}


def test_a_paced_room_leaves_the_rate_alone() -> None:
    """
    However many report and however long it waits, one of several rooms does not move the rate by itself.
    """
    room = a_room()
    for index in range(16):
        room.step(Reported(visitor(f"{index}"), index / 16), now_ms=0)
    assert room.panel.rate == 1.0

    step = room.step(Paced(((0, 0.25), (1_000, 1.0)), 0), now_ms=0)
    while step.wake_at_ms is not None:
        step = room.step(Woken(), now_ms=step.wake_at_ms)
    assert room.panel.rate == 0.25


def test_a_rate_is_read_as_it_was_written() -> None:
    """
    A rate comes back as it was; what is none is refused.
    """
    pace = Paced(((0, 0.25), (1_100, 1.0)), 10)
    assert decode_pace(encode_pace(pace)) == pace
    for damaged in (b"", b"[]", b'{"rates":[],"changed_at_ms":0}', b'{"rates":[[0,2]],"changed_at_ms":0}'):
        with pytest.raises(HostError):
            decode_pace(damaged)
