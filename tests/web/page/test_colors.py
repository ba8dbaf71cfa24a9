"""The colors of the moods, as eyes see them that see two colors."""

import itertools
import math
import re

import pytest

from node import PAGE, node

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

# What linear sRGB becomes for eyes without one of the three cones. Source: Machado, Oliveira, Fernandes, "A
# Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG 15(6), 2009, table 1,
# severity 1.0.
EYES: dict[str, Matrix] = {
    "three cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
# OKLab (Ottosson, 2020): from linear sRGB to the cones, and from their cube roots to lightness and two hues.
# A distance of 0.02 is about what can just be seen.
TO_CONES: Matrix = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
TO_LAB: Matrix = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
SEEN = 0.02


def multiply(matrix: Matrix, vector: Vector) -> Vector:
    first, second, third = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return first, second, third


def linear(color: str) -> Vector:
    """``#rrggbb`` as linear light, each 0..1."""
    red, green, blue = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))

    def light(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)

    return light(red), light(green), light(blue)


def seen(color: str, eyes: Matrix) -> Vector:
    """A color as such eyes see it, in OKLab."""
    red, green, blue = (min(1.0, max(0.0, value)) for value in multiply(eyes, linear(color)))
    cones = multiply(TO_CONES, (red, green, blue))
    return multiply(TO_LAB, (math.cbrt(cones[0]), math.cbrt(cones[1]), math.cbrt(cones[2])))


def luminance(color: str) -> float:
    red, green, blue = linear(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


STYLE = "".join((PAGE / name).read_text(encoding="utf-8") for name in ("tokens.css", "style.css"))


def colors() -> list[str]:
    """The colors of the moods in their order, and that of the unspoken."""
    found = dict(re.findall(r"--(mood-\d|moonshine): (#[0-9a-f]{6});", STYLE))
    return [*(found[f"mood-{index}"] for index in range(8)), found["moonshine"]]


def distance(of: list[str], eyes: str) -> float:
    return min(
        math.dist(seen(one, EYES[eyes]), seen(other, EYES[eyes]))
        for one, other in itertools.combinations(of, 2)
    )


@pytest.mark.parametrize("eyes", EYES)
def test_colors_stay_apart(eyes: str) -> None:
    """
    Any two of the nine colors differ by more than four times what can just be seen, and those of the first
    four moods and the unspoken by more than six times.
    """
    every = colors()
    assert distance(every, eyes) > 4 * SEEN
    assert distance([*every[:4], every[-1]], eyes) > 6 * SEEN


def test_the_measure_can_fail() -> None:
    """A red and a green that are one to eyes without the middle cone are so to this measure, too."""
    pair = ["#c05a5a", "#8a7a5a"]
    assert distance(pair, "three cones") > 4 * SEEN > distance(pair, "deuteranopia")


def test_colors_are_light_enough() -> None:
    """
    Each stands out from the brightest of the night by more than the 3:1 that graphics need (WCAG 1.4.11).
    """
    nights = [luminance(color) for color in re.findall(r"#172140|#0d1325|#0a0e1a", STYLE)]
    assert len(nights) >= 3
    for color in colors():
        assert (luminance(color) + 0.05) / (max(nights) + 0.05) > 3


def test_color_is_never_the_only_sign() -> None:
    """
    Each of the moods that a room can have has a shape of its own beside its color: no two have both in
    common.
    """
    marks = node("shapes.js", "[...Array(32).keys()].map((index) => [index % it.COLORS, it.shapeOf(index)])")
    assert len({tuple(mark) for mark in marks}) == 32
    assert len({shape for _, shape in marks[:8]}) == 8
