"""The ring of moods, run in Node over an SVG that notes its attributes."""

from typing import Any

import pytest

from node import node

STAGE = """
    const make = (tag) => ({tag, style: {}, children: [], attributes: {}, animate() {},
      classList: {gliding: null, toggle(_, on) { this.gliding = on; }},
      setAttribute(key, value) { this.attributes[key] = String(value); },
      append(...made) { this.children = [...this.children.filter((child) => !made.includes(child)), ...made]; },
      replaceChildren() { this.children = []; }});
    globalThis.document = {createElementNS: (_, tag) => make(tag)};
    const svg = make('svg'), layers = make('div');
    layers.append(make('i'), make('i'));
    const ring = new it.Ring(svg, layers);
    const row = (tallies) => Object.entries(tallies).map(([mood, [people, low]]) => ({mood, people, low}));
    const lengths = (part) => svg.children.filter(({attributes}) => attributes.class === part)
      .map(({attributes}) => parseFloat(attributes['stroke-dasharray']));
    const top = () => layers.children.at(-1).style.background;
    ring.setMoods(['calm', 'glad']);
"""


def run(steps: str, *given: Any) -> Any:
    return node("ring.js", f"await (async () => {{ {STAGE} {steps} }})()", *given)


MIX = {"calm": [60, 30], "glad": [30, 30], "unspoken": [10, 0], "merged": [0, 0]}


def test_arcs_are_shares_and_bright_as_far_as_they_are_certain() -> None:
    """
    An arc is as long as its share less the gap between two, its bright part as long as its certain people,
    and together they fill the ring.
    """
    arcs, certain, marks = run(
        """
        ring.show(row(given[0]));
        const marks = svg.children.filter(({attributes}) => attributes.class === 'mark').map(({style}) => style.opacity);
        return [lengths('arc'), lengths('sure arc'), marks];
        """,
        MIX,
    )
    gap = 0.6 - arcs[0]
    assert 0 < gap < 0.02
    assert arcs == pytest.approx([0.6 - gap, 0.3 - gap, 0.1 - gap, 0])
    assert certain == pytest.approx([arcs[0] / 2, arcs[1], 0, 0])
    assert marks == [1, 1]


def test_a_change_that_is_not_seen_is_not_drawn() -> None:
    """
    A mix that differs by less than 0.3 % of the ring is left as it is; by 2 % and more it glides to its new
    place.
    """
    assert run("""
        const seen = [];
        for (const calm of [500, 501, 510, 560]) {
          const before = JSON.stringify(lengths('arc'));
          ring.show(row({calm: [calm, calm], glad: [1000 - calm, 1000 - calm], unspoken: [0, 0], merged: [0, 0]}));
          seen.push([JSON.stringify(lengths('arc')) !== before, svg.classList.gliding]);
        }
        return seen;
    """) == [[True, True], [False, True], [True, False], [True, True]]


def test_the_colors_of_all_arcs_shine_into_the_orb() -> None:
    """
    The orb's gradient names every mood that has people once around, in order, and an empty room leaves it as
    it was.
    """
    gradient, after = run(
        """
        ring.show(row(given[0]));
        const gradient = top();
        ring.show(row({calm: [0, 0], glad: [0, 0], unspoken: [0, 0], merged: [0, 0]}));
        return [gradient, top()];
        """,
        MIX,
    )
    names = ["--mood-0", "--mood-1", "--moonlight", "--mood-0"]
    at = [gradient.index(name) for name in names[:3]] + [gradient.rindex(names[3])]
    assert at == sorted(at)
    assert after == gradient


def test_everyone_of_one_mood_is_a_closed_ring() -> None:
    """Where all feel alike the arc has no gap, and an empty room has no arc at all."""
    assert run("""
        const seen = () => svg.children.filter(({attributes}) => attributes.class === 'arc')
          .map(({attributes, style}) => [attributes['stroke-dasharray'], style.opacity]);
        ring.show(row({calm: [7, 7], glad: [0, 0], unspoken: [0, 0], merged: [0, 0]}));
        const alike = seen();
        ring.show(row({calm: [0, 0], glad: [0, 0], unspoken: [0, 0], merged: [0, 0]}));
        return [alike, seen()];
    """) == [
        [["none", ""], ["0 1", 0], ["0 1", 0], ["0 1", 0]],
        [["0 1", 0], ["0 1", 0], ["0 1", 0], ["0 1", 0]],
    ]
