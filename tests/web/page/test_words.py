"""The page's sentences in every language, asked directly in Node."""

import json
from typing import Any

import pytest

from node import CLIENT, node

LANGUAGES = sorted(file.name.split(".")[1] for file in CLIENT.glob("words.*.js"))


def presence(
    count: int | None, low: int, high: int | None, method: str = "counted", label: str = ""
) -> dict[str, Any]:
    return {"count": count, "low": low, "high": high, "method": method, "label": label or f"{count:,}"}


def say(sentence: str, *given: Any, lang: str = "en") -> Any:
    """Let the page say something: ``sentence`` is an expression over ``words`` and ``given``."""
    return node(
        "words.js", f"await (async (words) => {sentence})(await it.loadWords([given.pop()]))", *given, lang
    )


ONE, CROWD = presence(1, 1, 1), presence(1001, 1001, 1001)
SAMPLED = presence(10_240, 9_270, 11_310, "sampled", "about 10,000")
UNKNOWN = presence(None, 3, None, "unknown", "unknown")


@pytest.mark.parametrize(
    ("given", "state", "sentence"),
    [
        (None, "unknown", "looking for the others"),
        (UNKNOWN, "unknown", "counting who is here"),
        (ONE, "live", "you are the first one here"),
        (ONE, "stale", "you are here"),
        (presence(1, 0, 1), "live", "you are the first one here"),
        (presence(1, 1, 3), "live", "you are here"),
        (presence(0, 0, 0), "live", "you are here"),
        (presence(2, 2, 2), "stale", "1 person breathing with you"),
        (presence(3, 3, 3), "live", "2 people breathing with you"),
        (presence(20, 0, 20, "stale", "about 20"), "stale", "about 19 people breathing with you"),
        (CROWD, "live", "1,000 people breathing with you"),
        (SAMPLED, "live", "about 10,000 people breathing with you"),
        (presence(240, 130, 420, "estimated", "about 200"), "live", "usually 200 people at this hour"),
        (presence(1, 0, 1, "estimated"), "live", "you are here"),
    ],
)
def test_the_sentence(given: dict[str, Any] | None, state: str, sentence: str) -> None:
    """
    U3: the sentence counts the others, never says 0, never takes a doubtful 1 for being alone, nor what is
    usual for who is here.
    """
    assert say("words.people(...given)", given, state, given and given["count"]) == sentence


def test_a_line_that_is_down() -> None:
    """While there is no connection the quiet line says that, too."""
    assert say("words.source(...given)", CROWD, "live", 9_000, True) == "counted · a moment ago · connecting"
    assert (
        say("words.source(...given)", CROWD, "stale", 60_000, True)
        == "last known · a minute ago · connecting"
    )


def test_a_count_on_its_way() -> None:
    """
    An exact count is said as far as it has come between two polls; a rounded one moves by its own steps.
    """
    assert say("words.people(...given)", CROWD, "live", 990) == "989 people breathing with you"
    assert say("words.people(...given)", SAMPLED, "live", 9_800) == "about 10,000 people breathing with you"


@pytest.mark.parametrize(
    ("given", "state", "age_ms", "line"),
    [
        (None, "unknown", 0, "not known yet · connecting"),
        (UNKNOWN, "unknown", 0, "not known yet · counting"),
        (UNKNOWN, "unknown", 500, "not known yet · connecting"),
        (CROWD, "live", 0, "counted · now"),
        (CROWD, "live", 500, "counted · a moment ago"),
        (CROWD, "stale", 29_000, "last known · a moment ago"),
        (CROWD, "stale", 60_000, "last known · a minute ago"),
        (CROWD, "stale", 300_000, "last known · 5 minutes ago"),
        (CROWD, "stale", 3_600_000, "last known · 1 hour ago"),
        (CROWD, "stale", 10_800_000, "last known · 3 hours ago"),
        (presence(12, 9, 12), "live", 0, "counted · 3 fell silent · now"),
        (presence(100, 97, 103), "live", 0, "counted · 97 to 103 · now"),
        (presence(12, 4, 12, "stale"), "stale", 0, "last known · 4 to 12 · counting again"),
        (presence(12, 12, 12, "stale"), "stale", 0, "last known · counting again"),
        (SAMPLED, "live", 0, "estimated from a sample · ±11% at 95% · now"),
        (presence(240, 130, 420, "estimated"), "live", 0, "estimated from what is usual · 130 to 420"),
    ],
)
def test_the_quiet_line(given: dict[str, Any] | None, state: str, age_ms: int, line: str) -> None:
    """The quiet line says how the number was obtained, how far it may be off, and when it was true."""
    assert say("words.source(...given)", given, state, age_ms) == line


@pytest.mark.parametrize(
    ("lang", "others", "sentence"),
    [
        ("en", 0, "you are the first one here"),
        ("en", 1, "1 person breathing with you"),
        ("en", 2, "2 people breathing with you"),
        ("en", 12_345, "12,345 people breathing with you"),
        ("de", 0, "du bist als Erstes hier"),
        ("de", 1, "1 Mensch atmet mit dir"),
        ("de", 2, "2 Menschen atmen mit dir"),
        ("de", 12_345, "12.345 Menschen atmen mit dir"),
        ("de", 20_000, "20.000 Menschen atmen mit dir"),
        ("es-MX", 20_000, "20,000 personas respiran contigo"),
        ("fr", 0, "la première présence ici, c\u2019est vous"),
        ("fr", 1, "1 personne respire avec vous"),
        ("fr", 2, "2 personnes respirent avec vous"),
        ("fr", 250, "250 personnes respirent avec vous"),
        ("fr", 12_345, "12 345 personnes respirent avec vous"),
        ("fr", 1_000_000, "1 000 000 de personnes respirent avec vous"),
        ("es", 1, "1 persona respira contigo"),
        ("es", 250, "250 personas respiran contigo"),
        ("es", 1_000_000, "1.000.000 de personas respiran contigo"),
        ("pl", 0, "na razie nie ma tu nikogo poza tobą"),
        ("pl", 1, "1 osoba oddycha z tobą"),
        ("pl", 2, "2 osoby oddychają z tobą"),
        ("pl", 5, "5 osób oddycha z tobą"),
        ("pl", 12, "12 osób oddycha z tobą"),
        ("pl", 22, "22 osoby oddychają z tobą"),
        ("pl", 12_345, "12 345 osób oddycha z tobą"),
    ],
)
def test_plurals(lang: str, others: int, sentence: str) -> None:
    """
    U3, U4: each language has its own plurals for the number of others, and writes numbers as the visitor's
    country does.
    """
    count = others + 1
    said = say("words.people(...given)", presence(count, count, count), "live", count, lang=lang)
    assert said.replace("\u202f", " ").replace("\u00a0", " ") == sentence


def test_a_page_that_is_not_counted() -> None:
    """U3: a page that only observes says how many are here, and not how many others."""
    assert say("words.people(...given)", ONE, "live", 1, False) == "1 person is here"
    assert say("words.people(...given)", SAMPLED, "live", 10_240, False) == "about 10,000 people are here"


def test_around_a_number_poles_have_one_plural() -> None:
    """A rounded number takes the plural of "about", not of the number."""
    given = presence(22, 20, 24, "sampled", "about 22")
    assert say("words.people(...given)", given, "live", 22, lang="pl") == "około 22 osób oddycha z tobą"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_says_everything(lang: str) -> None:
    """
    U3, U4: a language has the phrases of English, each with the same places for numbers, and its sentences
    about people have every form that a number of them takes, 1 as well.
    """

    def shape(phrases: Any) -> Any:
        if isinstance(phrases, str):
            return sorted(place for place in ("{n}", "{high}", "{level}") if place in phrases)
        if "other" in phrases:
            assert len({json.dumps(shape(form)) for form in phrases.values()}) == 1, phrases
            return shape(phrases["other"])
        return {key: shape(phrase) for key, phrase in phrases.items()}

    here, phrases = node(f"words.{lang}.js", "[it.here, it.default]")
    assert phrases["dir"] in {"ltr", "rtl"}
    expected = node("words.en.js", "[it.here, it.default]")
    assert [shape(here), shape(phrases)] == [shape(part) for part in expected]
    rules = f"new Intl.PluralRules({json.dumps(lang)})"
    forms = node(
        "words.js", f"[...Array(300).keys(), 1e3, 1e6].slice(1).map((count) => {rules}.select(count))"
    )
    for sentence in (phrases["people"], here["with_you"], here["here"], here["usual_people"]):
        assert set(forms) <= sentence.keys()


def test_languages_are_found_by_their_file() -> None:
    """
    The first wished language of which there is a file is spoken; what is no language, or a path, is passed
    over.
    """
    find = "await Promise.all(given.map(async (tags) => (await it.loadWords(tags)).lang))"
    wishes = [
        ["fi", "de-AT", "fr"],
        [None, "pl"],
        ["../words", "e", "x_y", ""],
        [],
        ["fr-CA", "en"],
        ["sv", "en-GB"],
    ]
    assert node("words.js", find, *wishes) == ["de-AT", "pl", "en", "en", "fr-CA", "en-GB"]


@pytest.mark.parametrize(
    ("people", "low", "high", "tally"),
    [
        (31, 31, 31, "31"),
        (7_204, 7_204, 7_204, "7,204"),
        (12_345, 12_345, 12_345, "12K"),
        (3_072, 2_700, 3_480, "~3,000"),
        (3, 0, 9, "~4"),
        (1, 0, 25, "~1"),
    ],
)
def test_a_tally_is_no_finer_than_it_is_known(people: int, low: int, high: int, tally: str) -> None:
    """The number on a mood's button is rounded to its own interval, and never to 0."""
    assert say("words.tally(...given)", {"people": people, "low": low, "high": high}) == tally


def test_what_a_button_is_called() -> None:
    """
    A mood's button says its name and its people to those who hear it, and of a merged mood only that few or
    none share it.
    """
    name = "given.map((part) => words.button(part))"
    parts = [
        {"mood": "release", "people": 31, "low": 31, "high": 31},
        {"mood": "release", "people": 3_072, "low": 2_700, "high": 3_480},
        {"mood": "release", "people": 0, "low": 0, "high": 0},
        {"mood": "deep-calm", "people": None, "low": None, "high": None},
    ]
    assert say(name, *parts) == ["release, 31", "release, about 3,000", "release", "deep calm, few or none"]


def test_the_breath_in_words() -> None:
    """The label of the orb has its phases for a screen reader."""
    phases = [["inhale", 5_500], ["exhale", 5_500]]
    said = say("words.breath(given)", *phases)
    assert said == "an orb that breathes with everyone: inhale 5.5 seconds, exhale 5.5 seconds"
