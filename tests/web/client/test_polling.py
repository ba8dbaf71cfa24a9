"""The browser's poller, ticket and interpolator, in Node: the same as Python's for any sequence of events."""

from random import Random
from typing import Any

import pytest

from breathing_room.core.client_rules.interpolation import Interpolator
from breathing_room.core.client_rules.polling import POLL, Poller, ReportRequest
from breathing_room.core.deadlines import NO_DEADLINE
from breathing_room.core.presence import Presence
from breathing_room.core.tickets import ticket
from node import node

ROOM = "lobby"
# As in tests/core/test_tickets.py, and a long id, a signed one, and what UTF-8 writes in two and in four
# bytes.
TICKETS = [
    ("", "", 0),
    ("0123456789abcdef", "lobby", 20_454),
    ("0123456789abcdef", "lobby", 20_455),
    ("käse", "a", -1),
    ("🫁" * 16, "lobby", 20_454),
    ("x" * 64, "a-very-long-name_of_a-room", 2**31),
    *((f"visitor-{index:08}", "lobby", 20_454) for index in range(200)),
]


def test_tickets_are_pythons() -> None:
    """A browser draws the ticket that Python draws, to the last bit."""
    drawn = node("polling.js", "given.map((of) => it.ticket(...of))", *TICKETS)
    assert drawn == [ticket(visitor, room=room, epoch=epoch) for visitor, room, epoch in TICKETS]


class Tape:
    """A random source that is recorded, to be played again elsewhere."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.drawn: list[float] = []

    def uniform(self, a: float, b: float, /) -> float:
        self.drawn.append(self._random.random())
        return a + (b - a) * self.drawn[-1]


def presence(rng: Random, epoch: int, now_ms: int) -> dict[str, Any]:
    """A presence as a cache may return it: late, with any rate."""
    rate = rng.choice([1.0, 0.5, 0.04, 0.003])
    return {
        "sample_rate": rate,
        "epoch": epoch,
        "as_of_ms": now_ms - rng.randrange(20_000),
        "poll_ms": 30_000,
    }


def as_presence(body: dict[str, Any]) -> Presence:
    return Presence(
        room=ROOM, count=1, low=1, high=1, method="counted", moods={}, unspoken=1, mood_intervals={}, label="1",
        stale_after_ms=30_000, **body,
    )  # fmt: skip


def play(visitor: str | None, seed: int) -> tuple[list[float], list[list[Any]], list[Any]]:
    """Send random events to a Python poller; return what it drew, the calls, and what it answered to each."""
    rng, tape = Random(seed), Tape(seed)
    now_ms = epoch = 0
    poller = Poller(visitor, room=ROOM, heartbeat_ms=60_000, mood=None, rng=tape, now_ms=now_ms)
    calls: list[list[Any]] = []
    answers: list[Any] = []
    in_flight: list[str] = []

    def call(name: str, *given: Any) -> None:
        calls.append([name, *given])
        returned: Any = None
        match name:
            case "due":
                requests = poller.due(now_ms)
                in_flight.extend("poll" if request is POLL else "report" for request in requests)
                returned = [
                    [r.visitor, r.mood, r.epoch] if isinstance(r, ReportRequest) else "poll" for r in requests
                ]
            case "polled":
                poller.polled(as_presence(given[0]), now_ms)
            case "acknowledged":
                poller.acknowledged(as_presence(given[0]), now_ms)
            case "failed":
                request = POLL if given[0] == "poll" else ReportRequest("", None, epoch)
                poller.failed(request, now_ms, retry_ms=given[2])
            case "epochExpired":
                poller.epoch_expired(now_ms)
            case "setMood":
                poller.set_mood(given[0], now_ms)
            case "leave":
                returned = poller.leave() is not None
        next_at_ms = None if poller.next_at_ms == NO_DEADLINE else poller.next_at_ms
        answers.append([returned, next_at_ms, poller.is_sampled, poller.is_acknowledged])

    for _ in range(300):
        now_ms = min(poller.next_at_ms, now_ms + rng.randrange(8_000))
        epoch += rng.random() < 0.02
        call("due", now_ms)
        if in_flight and rng.random() < 0.8:
            request = in_flight.pop(rng.randrange(len(in_flight)))
            match rng.choice(["answered"] * 5 + ["lost", "shed", "outdated"]):
                case "answered":
                    name = "polled" if request == "poll" else "acknowledged"
                    call(name, presence(rng, epoch, now_ms), now_ms)
                case "outdated" if request == "report":
                    call("epochExpired", now_ms)
                case fate:
                    call("failed", request, now_ms, 5_000 if fate == "shed" else None)
        if rng.random() < 0.1:
            call("setMood", rng.choice([None, "release", "unspoken"]), now_ms)
        if rng.random() < 0.05:
            call("leave")
    return tape.drawn, calls, answers


REPLAY = """given.map(([visitor, drawn, calls]) => {
    const random = () => drawn.shift();
    const poller = new it.Poller({visitor, room: 'lobby', heartbeatMs: 60_000, mood: null, nowMs: 0, random});
    return calls.map(([name, ...with_]) => {
        if (name === 'failed') with_[0] = with_[0] === 'poll' ? it.POLL : {type: 'report'};
        let returned = poller[name](...with_) ?? null;
        if (name === 'due') returned = returned.map((of) => (of === it.POLL ? 'poll' : [of.visitor, of.mood, of.epoch]));
        const nextAtMs = poller.nextAtMs === Infinity ? null : poller.nextAtMs;
        return [returned, nextAtMs, poller.isSampled, poller.isAcknowledged];
    });
})"""


def test_the_poller_is_pythons() -> None:
    """
    Through late and early responses, failures, load shedding, new epochs and moods, both do the same at the
    same time.
    """
    plays = [(f"visitor-{seed:08}" if seed else None, seed) for seed in range(40)]
    played = [play(visitor, seed) for visitor, seed in plays]
    replayed = node(
        "polling.js", REPLAY, *([visitor, *run[:2]] for (visitor, _), run in zip(plays, played, strict=True))
    )
    for (_, calls, answers), again in zip(played, replayed, strict=True):
        for call, answer, other in zip(calls, answers, again, strict=True):
            assert other == answer, call
    reports = [
        answer for _, _, answers in played for answer in answers if answer[0] and answer[0] != ["poll"]
    ]
    assert len(reports) > 100, "the test tests something"


@pytest.mark.parametrize("seed", range(5))
def test_the_interpolator_is_pythons(seed: int) -> None:
    """From presence to presence, known or not, both display the same at every instant."""
    rng = Random(seed)
    interpolator, now_ms = Interpolator(), 0
    steps: list[list[Any]] = []
    displayed: list[int | None] = []
    for _ in range(300):
        # A prime: no count is ever exactly between two, where the languages round differently.
        length_ms = 30_011
        now_ms += rng.randrange(20_000)
        if rng.random() < 0.4:
            count = None if rng.random() < 0.1 else rng.randrange(20_000)
            low = (count or 0) - rng.randrange(0, (count or 0) // 5 + 1)
            high = None if count is None else count + rng.randrange(0, 2_000)
            interpolator = interpolator.retarget(count, low, high, now_ms=now_ms, length_ms=length_ms)
            steps.append([{"count": count, "low": low, "high": high}, now_ms, length_ms])
        else:
            steps.append([now_ms])
        displayed.append(interpolator.at(now_ms))
    replay = """(() => { let now = new it.Interpolator(); return given.map(([first, ...rest]) => {
        if (rest.length) now = now.retarget(first, ...rest);
        return now.at(rest.length ? rest[0] : first); }); })()"""
    assert node("interpolation.js", replay, *steps) == displayed
