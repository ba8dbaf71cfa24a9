"""The text of the live region for screen readers, asked directly in Node."""

from typing import Any

from node import node


def texts(*seen: tuple[int, str, str, int | None]) -> list[str]:
    """The texts of the live region, for ``(at_s, sentence, state, count)`` one after another."""
    expression = """(() => {
      const region = new it.LiveRegion();
      return given.map(([at, sentence, state, count]) => region.next({sentence, state, count}, at * 1_000));
    })()"""
    found: list[str] = node("live_region.js", expression, *seen)
    return found


def live(at_s: int, count: int) -> tuple[int, str, str, int | None]:
    return at_s, f"{count} people", "live", count


def test_the_first_number_is_set_at_once() -> None:
    """An unknown count sets no text; the first number does."""
    assert texts((0, "looking", "unknown", None), live(1, 250)) == ["", "250 people"]


def test_at_most_every_half_minute() -> None:
    """However much a crowd changes, 30 s pass between two texts."""
    seen = [live(second, 100 + 20 * second) for second in range(100)]
    changed: list[Any] = [second for second, words in enumerate(texts(*seen)) if words]
    assert changed == [0, 30, 60, 90]


def test_only_what_matters() -> None:
    """A crowd that grows by less than a tenth keeps the text; a tenth, and each one of a few, change it."""
    assert texts(live(0, 250), live(40, 270), live(80, 275)) == ["250 people", "", "275 people"]
    assert texts(live(0, 2), live(40, 3), live(80, 3)) == ["2 people", "3 people", ""]


def test_a_state_that_turned() -> None:
    """A lost connection changes the text; one that is back within the 30 s does not."""
    gone: tuple[int, str, str, int | None] = (10, "250 people, last known", "stale", 250)
    assert texts(live(0, 250), gone, live(40, 250)) == ["250 people", "", ""]
    assert texts(live(0, 250), (40, *gone[1:]), live(80, 250)) == ["250 people", gone[1], "250 people"]
