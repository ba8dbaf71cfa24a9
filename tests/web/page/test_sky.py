"""The lights of the people: a pure function of the tallies and the time, asked directly in Node."""

import itertools
import math
from typing import Any

import pytest

from node import node

Rows = dict[str, list[float]]
"""How bright each mood's lights are."""

CROWDS: list[dict[str, int]] = [
    {"unspoken": 1},
    {"gratitude": 1, "unspoken": 1},
    {"gratitude": 62, "presence": 84, "release": 31, "connection": 49, "unspoken": 24},
    {"gratitude": 64, "presence": 90, "release": 31, "connection": 49, "unspoken": 24},
    {"gratitude": 5_120, "presence": 7_204, "release": 3_110, "connection": 4_404, "unspoken": 162},
    {"gratitude": 400_000, "presence": 600_000},
]


def brightnesses(*crowds: dict[str, int]) -> list[Rows]:
    found: list[Rows] = node("sky.js", "given.map((tallies) => it.brightnesses(tallies))", *crowds)
    return found


def change(before: Rows, after: Rows) -> float:
    """How much light came or went, in whole lights."""
    return sum(
        abs(one - other)
        for mood in before.keys() | after.keys()
        for one, other in itertools.zip_longest(before.get(mood, []), after.get(mood, []), fillvalue=0.0)
    )


def test_each_has_a_light() -> None:
    """Up to 256 people each have one whole light."""
    for crowd, rows in zip(CROWDS[:3], brightnesses(*CROWDS[:3]), strict=True):
        assert rows == {mood: [1] * people for mood, people in crowd.items()}


def test_a_large_crowd_has_a_few_hundred() -> None:
    """
    Beyond 256 people the lights become slowly more, in the moods' own shares, and a million has not 500.
    """
    for crowd, rows in zip(CROWDS[3:], brightnesses(*CROWDS[3:]), strict=True):
        people, lights = sum(crowd.values()), sum(map(sum, rows.values()))
        assert 256 < lights < 500
        for mood, row in rows.items():
            assert sum(row) / lights == pytest.approx(crowd[mood] / people)
    counts = [*range(250, 400), *(2**power for power in range(9, 31))]
    lights = node("sky.js", "given.map((people) => it.lightsOf(people))", *counts)
    assert lights == sorted(lights)
    assert len(set(lights)) == len(lights)


@pytest.mark.parametrize("crowd", CROWDS)
def test_one_person_is_at_most_one_light(crowd: dict[str, int]) -> None:
    """
    One person more in any mood brightens one light by at most its whole, and all others taken together lose
    less than that.
    """
    for mood in (*crowd, "new"):
        before, after = brightnesses(crowd, {**crowd, mood: crowd.get(mood, 0) + 1})
        gained = sum(after[mood]) - sum(before.get(mood, []))
        assert 0 < gained < 1.000001
        assert change(before, after) - gained <= gained + 1e-9


def test_a_light_stays_in_its_place() -> None:
    """A light's place follows from its mood and its number alone; so no change of the count moves one."""
    first = node("sky.js", "[...Array(300).keys()].map((index) => it.place('release', index))")
    again = node("sky.js", "[...Array(300).keys()].reverse().map((index) => it.place('release', index))")
    assert first == again[::-1]


def test_the_sky_is_spread_evenly() -> None:
    """
    The lights of a crowd lie around the orb on all sides and layers, none on it or out of sight, and hardly
    two in one place.
    """
    asked = "given.flatMap((mood) => [...Array(80).keys()].map((index) => it.place(mood, index)))"
    lights = node("sky.js", asked, "gratitude", "presence", "release", "connection")
    nearest, farthest = node("sky.js", "[it.NEAREST, it.FARTHEST]")
    eighths = [0] * 8
    for light in lights:
        assert nearest <= math.hypot(light["x"], light["y"]) <= farthest
        eighths[int((math.atan2(light["y"], light["x"]) / math.tau % 1) * 8)] += 1
    assert min(eighths) > 25, eighths
    assert {light["layer"] for light in lights} == {0, 1, 2}
    places = [(light["x"], light["y"]) for light in lights]
    close = sum(math.dist(one, other) < 0.02 for one, other in itertools.combinations(places, 2))
    assert close < 20


def fade(shown: Rows, wanted: Rows, elapsed_ms: int) -> Any:
    return node("sky.js", "it.fade(...given)", shown, wanted, elapsed_ms)


def test_lights_come_and_go_gently() -> None:
    """
    A light takes 2.5 s to appear and to vanish, in steps of the time that went by, and stops where it should
    be.
    """
    none: Rows = {}
    one: Rows = {"release": [1, 0.5]}
    assert fade(none, one, 250) == {"release": [0.1, 0.1]}
    assert fade(none, one, 2_500) == one
    assert fade(one, {"release": [1]}, 250) == {"release": [1, pytest.approx(0.4)]}
    assert fade(one, none, 2_500) == {}


def test_a_sky_that_is_as_it_should_be() -> None:
    """Where nothing is left to fade the same object comes back, so that nothing is painted."""
    assert node(
        "sky.js",
        "(() => { const sky = {release: [1]}; return it.fade(sky, {release: [1]}, 100) === sky; })()",
    )
    assert (
        node("sky.js", "(() => { const sky = {release: [1]}; return it.fade(sky, {}, 100) === sky; })()")
        is False
    )
