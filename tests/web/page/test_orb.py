"""The orb, run in Node over elements that note their animations."""

from typing import Any

from breathing_room.core.breath import PATTERNS, moment
from node import node

STAGE = """
    globalThis.performance = {now: () => 0};
    const made = (id) => ({id, textContent: '', animations: [], animate(keyframes, options) {
      const animation = {keyframes, options, startTime: null, runs: true, cancel() { this.runs = false; },
        effect: {getTiming: () => options}};
      this.animations.push(animation);
      return animation;
    }});
    const elements = {};
    globalThis.document = {getElementById: (id) => (elements[id] ??= made(id))};
    const orb = new it.Orb((phase) => phase.toUpperCase());
    const kinds = (id) => elements[id].animations.filter(({runs}) => runs).map(({keyframes}) => Object.keys(keyframes.at(-1)).at(-1));
    const word = () => [elements.phase.textContent, elements.phase.animations.length];
"""

PHASES = [list(phase) for phase in PATTERNS["box"].phases]
LENGTH_MS = sum(length_ms for _, length_ms in PATTERNS["box"].phases)


def run(steps: str, *given: Any) -> Any:
    return node("orb.js", f"await (async () => {{ {STAGE} {steps} }})()", *given)


def test_the_word_is_that_of_the_phase() -> None:
    """
    The orb shows the word of the phase that the core is in, returns what is left of it, and fades in only a
    new word.
    """
    instants = [0, 100, 4_200, 12_345, 16_050]
    seen = run(
        "const [phases, at] = given; return at.map((ms) => [orb.syncTo(ms, phases, {still: false}), ...word()]);",
        PHASES,
        instants,
    )
    moments = [moment(PATTERNS["box"], at_ms) for at_ms in instants]
    assert [(left, word) for left, word, _ in seen] == [
        (one.remaining_ms, one.phase.upper()) for one in moments
    ]
    assert [shown for *_, shown in seen] == [1, 1, 2, 3, 4]


def test_without_motion_the_light_only_dims_and_brightens() -> None:
    """A visitor who asked for less motion sees no growing, shrinking or turning; the light still breathes."""
    still, moving = run(
        """
        const ids = ['sky', 'halo', 'veil', 'shell', 'body', 'hand'];
        orb.syncTo(0, given[0], {still: true});
        const still = ids.map(kinds);
        orb.syncTo(0, given[0], {still: false});
        return [still, ids.map(kinds)];
        """,
        PHASES,
    )
    assert still == [["opacity"]] * 5 + [[]]
    assert moving == [["opacity", "transform"]] * 5 + [["transform"]]


def test_one_breath_is_one_turn_of_every_animation() -> None:
    """
    Each animation takes a whole breath; the same phases make none again, other phases replace them, and a
    rest ends all.
    """
    assert run(
        """
        const [phases] = given, all = () => Object.values(elements).flatMap(({animations}) => animations);
        const lasting = () => all().filter(({options}) => options.iterations === Infinity);
        orb.syncTo(0, phases, {still: false});
        const lengths = [...new Set(lasting().map(({options}) => options.duration))], first = lasting().length;
        orb.syncTo(50, phases, {still: false});
        const again = lasting().length;
        orb.syncTo(90, phases.slice(0, 2), {still: false});
        const other = lasting().filter(({runs}) => runs).map(({options}) => options.duration);
        orb.pause();
        return [lengths, first, again, [...new Set(other)], lasting().filter(({runs}) => runs).length];
        """,
        PHASES,
    ) == [[LENGTH_MS], 11, 11, [sum(length_ms for _, length_ms in PATTERNS["box"].phases[:2])], 0]
