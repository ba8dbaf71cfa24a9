"""A polling client: its requests as a ledger, and properties of any sequence of events."""

from random import Random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.client_rules.polling import (
    BACKOFF_MAX_MS,
    POLL,
    STRIDE_MAX,
    STRIDE_MIN,
    LeaveRequest,
    Poller,
    PollRequest,
    ReportRequest,
    Request,
)
from breathing_room.core.config import DAY_MS, RoomConfig
from breathing_room.core.deadlines import NO_DEADLINE
from breathing_room.core.presence import Presence
from breathing_room.core.tickets import ticket

ANN: Final = "ann-0123456789abcdef"
HEARTBEAT_MS: Final = 300_000
POLL_MS: Final = 30_000
ANNS_TICKET: Final = ticket(ANN, room="lobby", epoch=7)


class Middle:
    """A source of chance that always draws the middle."""

    def uniform(self, a: float, b: float, /) -> float:
        return (a + b) / 2


def presence(rate: float = 1.0, *, epoch: int = 7, as_of_ms: int = 0) -> Presence:
    values: dict[str, Any] = {"moods": {}, "unspoken": 9, "mood_intervals": {}, "label": "9"}
    return Presence(
        room="lobby", count=9, low=9, high=9, method="counted", sample_rate=rate, epoch=epoch, as_of_ms=as_of_ms,
        stale_after_ms=30_000, poll_ms=POLL_MS, **values,
    )  # fmt: skip


def poller(visitor: str = ANN, *, mood: str | None = None) -> Poller:
    return Poller(visitor, room="lobby", heartbeat_ms=HEARTBEAT_MS, mood=mood, rng=Middle(), now_ms=0)


def counted(mood: str | None = None) -> Poller:
    """Return a poller that polled at 0, and whose report was acknowledged at 1,000."""
    ann = poller(mood=mood)
    ann.due(0)
    ann.polled(presence(), 0)
    ann.due(0)
    ann.acknowledged(presence(as_of_ms=1), 1_000)
    return ann


def report(mood: str | None = None, epoch: int = 7) -> ReportRequest:
    return ReportRequest(ANN, mood, epoch)


# --- The ledger -------------------------------------------------------------------------------------------


def test_a_client_in_the_sample_polls_and_reports() -> None:
    """A client in the sample polls at once, reports as soon as it knows the rate, and repeats both after
    poll_ms and heartbeat_ms.
    """
    ann = poller(mood="release")
    assert ann.next_at_ms == 0
    assert ann.due(0) == [POLL]
    assert (ann.due(0), ann.next_at_ms) == ([], NO_DEADLINE)
    ann.polled(presence(), 200)
    assert ann.due(200) == [report("release")]
    assert ann.next_at_ms == 200 + POLL_MS
    ann.acknowledged(presence(as_of_ms=1), 300)
    assert ann.is_acknowledged
    assert ann.next_at_ms == 300 + POLL_MS, "the answer says what a poll would"
    for at_ms in range(300 + POLL_MS, 300 + HEARTBEAT_MS, POLL_MS):
        assert ann.due(at_ms) == [POLL]
        ann.polled(presence(as_of_ms=at_ms), at_ms)
    assert ann.due(300 + HEARTBEAT_MS) == [report("release"), POLL]


def test_a_client_outside_the_sample_only_polls() -> None:
    """A client outside the sample never reports, and has no leave to send."""
    ann = poller()
    ann.due(0)
    ann.polled(presence(ANNS_TICKET), 0)
    ann.set_mood("release", 1)
    assert not ann.is_sampled
    assert ann.is_up_to_date
    for at_ms in range(POLL_MS, 2 * HEARTBEAT_MS, POLL_MS):
        assert ann.due(at_ms) == [POLL]
        ann.polled(presence(ANNS_TICKET), at_ms)
    assert ann.leave() is None


def test_a_change_of_mood_is_reported_at_once() -> None:
    """A change of mood is reported at once, and the next heartbeat is due heartbeat_ms later; the same mood
    is no change.
    """
    ann = counted("release")
    ann.set_mood("release", 5_000)
    assert ann.due(5_000) == []
    ann.set_mood("gratitude", 5_000)
    assert not ann.is_up_to_date
    assert ann.due(5_000) == [report("gratitude")]
    ann.acknowledged(presence(as_of_ms=2), 5_100)
    assert ann.is_up_to_date
    assert report("gratitude") not in ann.due(5_099 + HEARTBEAT_MS)
    assert report("gratitude") in ann.due(5_100 + HEARTBEAT_MS)


def test_a_mood_that_changes_during_a_report_is_reported_after_it() -> None:
    """A second report is sent when the first is acknowledged: there is one in flight at a time."""
    ann = counted()
    ann.set_mood("release", 5_000)
    assert ann.due(5_000) == [report("release")]
    ann.set_mood("gratitude", 5_001)
    assert (ann.due(5_001), ann.is_reporting) == ([], True)
    ann.acknowledged(presence(as_of_ms=2), 5_100)
    assert ann.due(5_100) == [report("gratitude")]


def test_a_failed_report_is_repeated() -> None:
    """A failed report is repeated after waits that double, and a poll meanwhile does not cut them short."""
    ann = poller()
    ann.due(0)
    ann.polled(presence(), 0)
    at_ms = 0
    for wait_ms in (500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000):
        assert ann.due(at_ms) == [report()]
        ann.failed(report(), at_ms)
        ann.polled(presence(), at_ms)
        assert ann.due(at_ms + wait_ms - 1) == []
        at_ms += wait_ms


def test_a_report_that_was_shed_is_preceded_by_a_poll() -> None:
    """A report that was shed is followed by a poll after the server's wait, and by a report if the rate still
    asks for it.
    """
    for rate, reports in ((1.0, [report()]), (ANNS_TICKET, [])):
        ann = poller()
        ann.due(0)
        ann.polled(presence(), 0)
        ann.due(0)
        ann.failed(report(), 0, retry_ms=2_000)
        assert ann.due(2_499) == []
        assert ann.due(2_500) == [POLL]
        ann.polled(presence(rate), 2_600)
        assert ann.due(2_600) == reports


def test_a_poll_on_its_way_does_not_cut_the_wait_of_a_shed_report_short() -> None:
    """A poll in flight stands for the one after a shed report; the report itself waits for its time."""
    ann = counted()
    assert ann.due(1_000 + POLL_MS) == [POLL]
    ann.set_mood("release", 40_000)
    ann.due(40_000)
    ann.failed(report("release"), 40_000, retry_ms=10_000)
    ann.polled(presence(as_of_ms=2), 40_100)
    assert ann.due(50_499) == []
    assert ann.due(50_500) == [report("release")]


def test_a_failed_poll_is_repeated() -> None:
    """A failed poll is repeated after its own wait, and not before the server's retry_ms."""
    ann = poller()
    ann.due(0)
    ann.failed(POLL, 0)
    assert ann.next_at_ms == 500
    ann.due(500)
    ann.failed(POLL, 500, retry_ms=7_000)
    assert ann.next_at_ms == 500 + 7_000 + 1_000
    ann.due(8_500)
    ann.polled(presence(), 8_500)
    ann.due(8_500)
    ann.due(8_500 + POLL_MS)
    ann.failed(POLL, 50_000)
    assert ann.next_at_ms == 50_500, "a poll that was answered starts the waits over"


def test_a_rate_that_falls_frees_from_reporting() -> None:
    """A fallen rate ends the seat on both sides, without a heartbeat or a leave; a raised one causes a new
    report.
    """
    ann = counted()
    assert ann.leave() == LeaveRequest(ANN)
    ann.due(31_000)
    ann.polled(presence(ANNS_TICKET, as_of_ms=2), 31_000)
    assert not ann.is_acknowledged
    assert ann.leave() is None
    ann.due(61_000)
    ann.polled(presence(1.0, as_of_ms=3), 61_000)
    assert ann.due(61_000) == [report()]
    assert ann.leave() == LeaveRequest(ANN), "the report may have arrived, even if its answer does not"


def test_a_report_outside_the_sample_is_not_repeated() -> None:
    """A failed report is not repeated if the rate fell meanwhile."""
    for retry_ms in (None, 2_000):
        ann = counted()
        ann.due(31_000)
        ann.set_mood("release", 32_000)
        assert ann.due(32_000) == [report("release")]
        ann.polled(presence(ANNS_TICKET, as_of_ms=2), 32_100)
        ann.failed(report("release"), 32_200, retry_ms=retry_ms)
        assert report("release") not in ann.due(60_000)
        assert ann.leave() is None


def test_an_answer_may_say_that_the_report_was_not_wanted() -> None:
    """An answer with a rate below the ticket ends the seat: no report is repeated, and no leave is sent."""
    ann = poller()
    ann.due(0)
    ann.polled(presence(), 0)
    ann.due(0)
    ann.acknowledged(presence(ANNS_TICKET, as_of_ms=1), 100)
    assert not ann.is_acknowledged
    assert ann.leave() is None
    assert ann.due(29_000) == []


def test_what_a_cache_kept_too_long_says_nothing_of_the_rate() -> None:
    """A presence older than the latest does not change the rate."""
    ann = counted()
    ann.due(31_000)
    ann.polled(presence(ANNS_TICKET, as_of_ms=0), 31_000)
    assert ann.is_sampled
    assert ann.is_acknowledged


def test_a_visit_keeps_its_epoch_for_as_long_as_the_server_accepts_it() -> None:
    """A visit keeps its epoch through the next one; with the one after that a new visit begins, with a new
    ticket.
    """
    ann = counted()
    ann.set_mood("release", 2_000)
    ann.polled(presence(epoch=8, as_of_ms=2), 2_000)
    assert ann.due(2_000) == [report("release", epoch=7)]
    ann.acknowledged(presence(epoch=8, as_of_ms=3), 2_000)
    ann.polled(presence(epoch=9, as_of_ms=4), 3_000)
    assert ann.due(3_000) == [report("release", epoch=9)]


def test_a_visit_that_the_server_rejects_as_outdated_is_replaced() -> None:
    """A visit that the server rejects as outdated polls, and reports with the current epoch."""
    ann = counted()
    ann.set_mood("release", 5_000)
    ann.due(5_000)
    ann.epoch_expired(5_000)
    assert ann.due(5_499) == []
    assert ann.due(5_500) == [POLL]
    ann.polled(presence(epoch=9, as_of_ms=2), 5_600)
    assert ann.due(5_600) == [report("release", epoch=9)]


def test_a_client_without_a_visitor_id_never_reports() -> None:
    """A client without a visitor id has no ticket, and never reports."""
    reader = Poller(None, room="lobby", heartbeat_ms=HEARTBEAT_MS, mood=None, rng=Middle(), now_ms=0)
    assert reader.due(0) == [POLL]
    reader.polled(presence(1.0), 0)
    assert reader.due(POLL_MS) == [POLL]
    assert reader.leave() is None


@given(st.integers())
def test_strides_differ_from_visitor_to_visitor(seed: int) -> None:
    """A client keeps its stride from poll to poll, within a tenth of poll_ms."""
    ann = Poller(ANN, room="lobby", heartbeat_ms=HEARTBEAT_MS, mood=None, rng=Random(seed), now_ms=0)
    lengths_ms = set()
    at_ms = 0
    for _ in range(3):
        assert ann.due(at_ms) == [POLL]
        ann.polled(presence(ANNS_TICKET), at_ms)
        lengths_ms.add(ann.next_at_ms - at_ms)
        at_ms = ann.next_at_ms
    (length_ms,) = lengths_ms
    assert STRIDE_MIN * POLL_MS <= length_ms <= STRIDE_MAX * POLL_MS


@given(st.integers(500, DAY_MS), st.integers())
def test_heartbeats_drift_apart_and_are_never_late(heartbeat_ms: int, seed: int) -> None:
    """The time between two heartbeats is stretched by a factor of the client's, and is less than fresh_ms."""
    ann = Poller(ANN, room="lobby", heartbeat_ms=heartbeat_ms, mood=None, rng=Random(seed), now_ms=0)
    ann.due(0)
    ann.polled(presence(), 0)
    ann.due(0)
    ann.acknowledged(presence(as_of_ms=1), 0)
    at_ms = 0
    while report() not in ann.due(at_ms):
        at_ms = ann._report_at_ms
    assert at_ms >= 0.9 * heartbeat_ms - 1
    assert at_ms < RoomConfig(heartbeat_ms=heartbeat_ms).fresh_ms


# --- Any sequence of events -------------------------------------------------------------------------------

MOODS: Final = ("gratitude", "release", None)


class Scenario:
    """A poller with a server, a network and moods that a test drives; it checks every request."""

    def __init__(self, seed: int) -> None:
        self.now_ms = 0
        self.mood: str | None = None
        self.rate = 1.0
        self.epoch = 7
        self.as_of_ms = 0
        self.poller = Poller(
            ANN, room="lobby", heartbeat_ms=HEARTBEAT_MS, mood=None, rng=Random(seed), now_ms=0
        )
        self.in_flight: list[Request] = []
        self.known_rate = 0.0
        self.known_as_of_ms = -1
        self.shed_until_ms: int | None = None
        self.polled_since_shed = True
        self.server_mood: str | None = None

    def presence(self) -> Presence:
        self.as_of_ms += 1
        return presence(self.rate, epoch=self.epoch, as_of_ms=self.as_of_ms)

    def learn(self, seen: Presence) -> Presence:
        if seen.as_of_ms >= self.known_as_of_ms:
            self.known_as_of_ms, self.known_rate = seen.as_of_ms, seen.sample_rate
        return seen

    def act(self) -> None:
        """Send the requests that are due, and check them."""
        for request in self.poller.due(self.now_ms):
            assert type(request) not in {type(other) for other in self.in_flight}, "one of a kind at a time"
            self.in_flight.append(request)
            if isinstance(request, ReportRequest):
                assert ticket(ANN, room="lobby", epoch=request.epoch) < self.known_rate, "it was asked"
                assert request.mood == self.mood
                assert self.polled_since_shed
                assert self.shed_until_ms is None or self.now_ms >= self.shed_until_ms
        assert self.poller.next_at_ms > self.now_ms

    def answer(self, fate: str) -> None:
        """Answer the oldest request in flight."""
        if not self.in_flight:
            return
        request = self.in_flight.pop(0)
        match request, fate:
            case PollRequest(), "good" | "outdated":
                self.polled_since_shed = True
                self.poller.polled(self.learn(self.presence()), self.now_ms)
            case ReportRequest(mood=mood), "good":
                self.server_mood = mood
                self.poller.acknowledged(self.learn(self.presence()), self.now_ms)
            case ReportRequest(), "outdated":
                self.epoch += 2
                self.poller.epoch_expired(self.now_ms)
            case ReportRequest(), "shed":
                self.shed_until_ms = self.now_ms + 5_000
                self.polled_since_shed = False
                self.poller.failed(request, self.now_ms, retry_ms=5_000)
            case _:
                retry_ms = 5_000 if fate == "shed" else None
                self.poller.failed(request, self.now_ms, retry_ms=retry_ms)


stories = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 2 * POLL_MS)),
        st.tuples(st.just("next"), st.just(0)),
        st.tuples(st.just("answer"), st.sampled_from(["good", "good", "good", "lost", "shed", "outdated"])),
        st.tuples(st.just("mood"), st.sampled_from(MOODS)),
        st.tuples(st.just("rate"), st.sampled_from([1.0, ANNS_TICKET, ANNS_TICKET + 1e-6, 0.01])),
    ),
    max_size=60,
)


@given(stories, st.integers())
def test_reports_are_wanted_and_in_the_end_acknowledged(story: list[tuple[str, Any]], seed: int) -> None:
    """A report is sent only in the sample, with the current mood, one at a time, and after a shed one only
    after a poll and the server's wait; in the end the server has the mood of a client in the sample.
    """
    scenario = Scenario(seed)
    for what, value in story:
        match what:
            case "wait":
                scenario.now_ms += value
            case "next":
                scenario.now_ms = max(
                    scenario.now_ms, min(scenario.poller.next_at_ms, scenario.now_ms + HEARTBEAT_MS)
                )
            case "answer":
                scenario.answer(value)
            case "mood":
                scenario.mood = value
                scenario.poller.set_mood(value, scenario.now_ms)
            case "rate":
                scenario.rate = value
        scenario.act()

    settled_at_ms = scenario.now_ms
    while scenario.now_ms < settled_at_ms + HEARTBEAT_MS + 2 * BACKOFF_MAX_MS + 2 * POLL_MS:
        while scenario.in_flight:
            scenario.answer("good")
            scenario.act()
        scenario.now_ms = scenario.poller.next_at_ms
        scenario.act()
    while scenario.in_flight:
        scenario.answer("good")
    asked = scenario.rate > ticket(ANN, room="lobby", epoch=scenario.poller._epoch or 0)
    assert (scenario.poller.is_sampled, scenario.poller.is_acknowledged) == (asked, asked)
    assert (scenario.poller.leave() is not None) == asked
    if asked:
        assert scenario.server_mood == scenario.mood


@pytest.mark.parametrize("rate", [1.0, 0.3, 0.05])
def test_a_crowd_reports_in_the_share_of_the_rate(rate: float) -> None:
    """The share of 4,000 visitors who report is the rate, within four standard errors."""
    asked = 0
    for number in range(4_000):
        client = poller(f"visitor-{number:08}-{number * 7_919 % 4_000:08}")
        client.due(0)
        client.polled(presence(rate), 0)
        asked += len(client.due(0))
    assert abs(asked - 4_000 * rate) <= 4 * (4_000 * rate * (1 - rate)) ** 0.5
