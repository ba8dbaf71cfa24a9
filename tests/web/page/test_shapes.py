"""The shapes of moods, asked directly in Node."""

import itertools

from node import node


def test_no_two_of_64_moods_look_the_same() -> None:
    """Shape and color together are different for 64 moods, and neighbors among them have different shapes."""
    shapes, colors = node("shapes.js", "[[...Array(64).keys()].map((index) => it.shapeOf(index)), it.COLORS]")
    assert len({(shape, index % colors) for index, shape in enumerate(shapes)}) == 64
    assert len(set(shapes)) == colors
    assert all(one != other for one, other in itertools.pairwise(shapes))


def test_a_glyph_is_hidden_from_screen_readers() -> None:
    """The sign beside a mood's name is an SVG with the mood's shape, which is not read out: the name is."""
    svg = node(
        "shapes.js",
        """(() => {
          globalThis.document = {createElementNS: (space, tag) => ({space, tag, children: [], attributes: {},
            setAttribute(key, value) { this.attributes[key] = value; }, append(child) { this.children.push(child); }})};
          return [it.glyph(3), it.shapeOf(3)];
        })()""",
    )
    made, shape = svg
    assert (made["space"], made["tag"]) == ("http://www.w3.org/2000/svg", "svg")
    assert made["attributes"]["aria-hidden"] == "true"
    assert [(child["tag"], child["attributes"]) for child in made["children"]] == [("path", {"d": shape})]
