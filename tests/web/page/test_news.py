"""What a screen reader is told, asked directly in Node."""

from typing import Any

from node import node


def told(*seen: tuple[int, str, str, int | None]) -> list[str]:
    """What is said, of ``(at_s, sentence, state, count)`` one after another."""
    expression = """(() => {
      const news = new it.News();
      return given.map(([at, sentence, state, count]) => news.next({sentence, state, count}, at * 1_000));
    })()"""
    said: list[str] = node("news.js", expression, *seen)
    return said


def live(at_s: int, count: int) -> tuple[int, str, str, int | None]:
    return at_s, f"{count} people", "live", count


def test_the_first_number_is_told_at_once() -> None:
    """
    That nothing is known yet is no news; the first number is.
    """
    assert told((0, "looking", "unknown", None), live(1, 250)) == ["", "250 people"]


def test_at_most_every_half_minute() -> None:
    """
    However much a crowd changes, 30 s pass between two tellings.
    """
    seen = [live(second, 100 + 20 * second) for second in range(100)]
    said: list[Any] = [second for second, words in enumerate(told(*seen)) if words]
    assert said == [0, 30, 60, 90]


def test_only_what_matters() -> None:
    """
    A crowd that grows by less than a tenth is the same crowd; a tenth, and each one of a few, are news.
    """
    assert told(live(0, 250), live(40, 270), live(80, 275)) == ["250 people", "", "275 people"]
    assert told(live(0, 2), live(40, 3), live(80, 3)) == ["2 people", "3 people", ""]


def test_a_state_that_turned() -> None:
    """
    A connection that was lost is news; one that was back before anybody was told is none.
    """
    gone: tuple[int, str, str, int | None] = (10, "250 people, last known", "stale", 250)
    assert told(live(0, 250), gone, live(40, 250)) == ["250 people", "", ""]
    assert told(live(0, 250), (40, *gone[1:]), live(80, 250)) == ["250 people", gone[1], "250 people"]
