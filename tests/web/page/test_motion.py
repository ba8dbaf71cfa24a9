"""Endless animations in step with the server's time, run in Node over elements that only note what they are
given.
"""

from typing import Any

from node import node

STAGE = """
    let nowMs = 0;
    globalThis.performance = {now: () => nowMs};
    const animations = [];
    const element = {animate(keyframes, {duration, iterations}) {
      const animation = {duration, iterations, startTime: null, runs: true, cancel() { this.runs = false; },
        effect: {getTiming: () => ({duration})}};
      animations.push(animation);
      return animation;
    }};
    const running = () => animations.filter((animation) => animation.runs).length;
    const motion = new it.Motion();
    const make = (name, ...lengths) => motion.define(name, (run) => lengths.forEach((length) => run(element, [], length)));
"""


def run(steps: str) -> Any:
    return node("motion.js", f"await (async () => {{ {STAGE} {steps} }})()")


def test_animations_are_made_once_for_a_name() -> None:
    """
    The same name makes nothing again; another one ends what ran before; and after a rest the same name is
    made again.
    """
    assert run("""
        make('turning', 1000, 2000); make('turning', 1000, 2000);
        const seen = [[animations.length, running()]];
        make('still', 1000); seen.push([animations.length, running()]);
        motion.cancel(); seen.push([animations.length, running()]);
        make('still', 1000); seen.push([animations.length, running()]);
        return seen;
    """) == [[2, 2], [3, 1], [3, 0], [4, 1]]


def test_an_animation_is_where_the_server_time_puts_it() -> None:
    """
    Each is given the start that makes its place the time's remainder, on every page alike, however long the
    page is open.
    """
    places = run("""
        make('turning', 1000, 7000);
        nowMs = 40;
        motion.syncTo(1767225603456);
        return animations.map(({startTime, duration, iterations}) => [(nowMs - startTime) % duration, iterations === Infinity]);
    """)
    assert places == [[1_767_225_603_456 % 1_000, True], [1_767_225_603_456 % 7_000, True]]


def test_only_a_drift_that_is_seen_is_set_right() -> None:
    """
    A start that is off by less than 15 ms stays, also across the end of a turn; one that is off by more is
    moved.
    """
    assert run("""
        make('turning', 1000);
        motion.syncTo(5000);
        const [animation] = animations, moved = [];
        for (const server of [5010, 4990, 5999, 6980]) {
          const before = animation.startTime;
          motion.syncTo(server);
          moved.push(animation.startTime !== before);
        }
        return moved;
    """) == [False, False, False, True]
