"""The latest presence of the browser client and its freshness, in Node, by a clock that a test plays."""

from typing import Any

import pytest

from node import TIME, node

STAGE = """
    const freshness = new it.Freshness(), log = [];
    freshness.on({
      state: (state) => log.push([nowMs, state, freshness.transport]),
      presence: ({count}) => log.push([nowMs, count]), clock: () => log.push([nowMs, freshness.clockOffsetMs]),
    });
    const presence = (changes) => ({type: 'presence', count: 7, low: 7, high: 7, method: 'counted', as_of_ms: 1,
      stale_after_ms: 1000, poll_ms: 500, ...changes});
    nowMs = 10000;
"""


def run(steps: str, *given: Any) -> Any:
    return node("freshness.js", f"await (async () => {{ {TIME} {STAGE} {steps} }})()", *given)


def test_a_polled_presence_is_live_until_after_the_next_poll() -> None:
    """A polled presence becomes stale by itself, `poll_ms` and `stale_after_ms` after it came, and stays; its
    age is known.
    """
    assert run("""
        freshness.receive(presence(), 'polling'); pass(1499); const before = freshness.ageMs; pass(1);
        return [log, before, freshness.presence.count, 'type' in freshness.presence];
    """) == [[[10_000, "live", "polling"], [10_000, 7], [11_500, "stale", "polling"]], 1_499, 7, False]


def test_a_pushed_presence_is_live_while_it_is_connected() -> None:
    """A pushed presence has no age; when the connection is lost it is live for `stale_after_ms` since it
    came.
    """
    assert run("""
        freshness.receive(presence(), 'socket'); pass(60000); const age = freshness.ageMs;
        freshness.receive(presence(), 'socket'); pass(600); freshness.disconnect(); pass(399); const left = freshness.state; pass(1);
        return [age, left, freshness.state, timers.size];
    """) == [0, "live", "stale", 0]


@pytest.mark.parametrize(
    ("method", "state"),
    [("counted", "live"), ("sampled", "live"), ("stale", "stale"), ("estimated", "estimated"), ("unknown", "unknown")],
)  # fmt: skip
def test_the_state_follows_from_the_method(method: str, state: str) -> None:
    """A presence that the server marks as stale or estimated is not live, and an unknown one is unknown."""
    assert (
        run("freshness.receive(presence({method: given[0]}), 'socket'); return freshness.state;", method)
        == state
    )


def test_an_older_copy_is_ignored() -> None:
    """An older polled presence is ignored while a later one is live, and taken after that; pushed ones are
    always taken.
    """
    assert run("""
        const receive = (count, as_of_ms, transport) => { freshness.receive(presence({count, as_of_ms}), transport); return freshness.presence.count; };
        const first = [receive(1, 50, 'polling'), receive(2, 40, 'polling')]; pass(1500);
        return [...first, freshness.state, receive(3, 40, 'polling'), receive(4, 30, 'socket')];
    """) == [1, 1, "stale", 3, 4]


def test_a_copy_does_not_become_younger_by_being_read() -> None:
    """A static copy that is not updated any more becomes stale although it is read on."""
    assert (
        run("""
        for (let poll = 0; poll < 4; poll++) { freshness.receive(presence(), 'polling'); pass(500); }
        return freshness.state;
    """)
        == "stale"
    )


def test_a_polled_count_is_interpolated_and_a_pushed_one_is_not() -> None:
    """The displayed count takes until the next poll; over a socket it is the count at once."""
    assert run("""
        const counts = [];
        freshness.receive(presence({count: 10, low: 0, high: 100}), 'polling');
        freshness.receive(presence({count: 20, low: 0, high: 100, as_of_ms: 2}), 'polling');
        for (let step = 0; step < 3; step++) { counts.push(freshness.displayedCount); pass(250); }
        freshness.receive(presence({count: 90, low: 0, high: 100, as_of_ms: 3}), 'socket');
        return [...counts, freshness.displayedCount];
    """) == [10, 15, 20, 90]


def test_the_best_of_the_last_measurements_is_the_clock() -> None:
    """The measurement with the shortest round trip counts, as long as it is one of the last eight."""
    assert run("""
        const measure = (tripMs, offsetMs) => freshness.setClock({sentMs: nowMs - tripMs, nowMs: nowMs - tripMs / 2 + offsetMs});
        measure(100, 500); measure(10, 520); measure(200, 530);
        const best = freshness.clockOffsetMs;
        for (let sample = 0; sample < 8; sample++) measure(300, 540);
        return [best, freshness.clockOffsetMs];
    """) == [520, 540]


def test_a_clock_that_was_set_is_measured_again() -> None:
    """A measurement that the earlier ones cannot agree with replaces them."""
    assert (
        run("""
        freshness.setClock({sentMs: nowMs - 10, nowMs: nowMs - 5}); pass(1000);
        freshness.setClock({sentMs: nowMs - 100, nowMs: nowMs - 50 + 60000});
        return freshness.clockOffsetMs;
    """)
        == 60_000
    )


def test_a_snapshot_brings_another_tab_up_to_date() -> None:
    """From the snapshot of one, another has the same presence, of the same age, and the same clock; and is
    disconnected with it.
    """
    assert run("""
        freshness.setClock({sentMs: nowMs - 10, nowMs: nowMs + 95}); freshness.receive(presence(), 'polling'); pass(300);
        const other = new it.Freshness(); let clocks = 0; other.on({clock: () => clocks++});
        other.applySnapshot(freshness.snapshot); other.applySnapshot(freshness.snapshot);
        const known = [other.presence.count, other.state, other.transport, other.ageMs, other.clockOffsetMs, clocks];
        pass(1200); const later = other.state;
        freshness.disconnect(); other.applySnapshot(freshness.snapshot);
        return [known, later, other.transport];
    """) == [[7, "live", "polling", 300, 100, 1], "stale", None]


def test_a_clock_that_is_set_back_makes_nothing_live_for_longer() -> None:
    """
    A presence came at a time that the clock has yet to reach again. It was live until then: for hours,
    although no poll succeeded any more.
    """
    assert run("""
        nowMs = 7 * 3600000; freshness.receive(presence(), 'polling'); freshness.disconnect();
        const away = [...timers.values()]; timers.clear(); nowMs = 3600000; freshness.updateState();
        pass(1499); const before = freshness.state; pass(1);
        return [away.length, before, freshness.state];
    """) == [1, "live", "stale"]
