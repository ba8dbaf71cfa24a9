"""The sentence of a page about who is here: in Node, and as the element says it in Chromium."""

import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from harness import ServerProcess
from node import CLIENT, node

OTHERS = (0, 1, 2, 12_345)
SENTENCES = {
    "en": [
        "you are the first one here",
        "1 person is here with you",
        "2 people are here with you",
        "12,345 people are here with you",
    ],
    "de": [
        "du bist als Erstes hier",
        "1 Mensch ist mit dir hier",
        "2 Menschen sind mit dir hier",
        "12.345 Menschen sind mit dir hier",
    ],
    "pl": [
        "na razie nie ma tu nikogo poza tobą",
        "1 osoba jest tu z tobą",
        "2 osoby są tu z tobą",
        "12 345 osób jest tu z tobą",
    ],
    "fr": [
        "la première présence ici, c\u2019est vous",
        "1 personne est ici avec vous",
        "2 personnes sont ici avec vous",
        "12 345 personnes sont ici avec vous",
    ],
}
SAMPLED = {"count": 10_240, "low": 9_270, "high": 11_310, "method": "sampled", "label": "about 10,000"}


def plain(text: str) -> str:
    """With every kind of space that languages put into numbers written as one."""
    return text.replace("\u202f", " ").replace("\xa0", " ")


def exactly(count: int) -> dict[str, Any]:
    """A presence that is exact."""
    return {"count": count, "low": count, "high": count, "method": "counted", "label": f"{count:,}"}


def seen(presence: dict[str, Any] | None, *, state: str = "live", counted: bool = True) -> dict[str, Any]:
    """A room, as far as a sentence looks at it."""
    return {"presence": presence, "state": state, "counted": counted}


def say(*cases: tuple[dict[str, Any], dict[str, Any]]) -> list[str]:
    """Say something of each room, with each its options."""
    english = [(room, {"lang": "en"} | options) for room, options in cases]
    return [
        plain(said) for said in node("sentence.js", "given.map((case_) => it.sentence(...case_))", *english)
    ]


def test_it_counts_the_others() -> None:
    """
    U3, U4: with 0, 1, 2 and 12,345 others it says so in the language's words, digits and plurals, and does
    not count the reader.
    """
    for lang, sentences in SENTENCES.items():
        assert say(*((seen(exactly(others + 1)), {"lang": lang}) for others in OTHERS)) == sentences


def test_it_says_what_is_known() -> None:
    """U3: nothing is said until a number is known, and being the first is said only when it is certain."""
    unknown = {"count": None, "low": 3, "high": None, "method": "unknown", "label": "unknown"}
    expected = [
        (seen(None, state="unknown"), ""),
        (seen(unknown, state="unknown"), ""),
        (seen(exactly(1), state="stale"), "you are here"),
        (seen(exactly(1) | {"high": 3}), "you are here"),
        (seen(exactly(0)), "you are here"),
        (seen(exactly(3), state="stale"), "2 people are here with you"),
        (seen(SAMPLED), "about 10,000 people are here with you"),
    ]
    assert say(*((room, {}) for room, _ in expected)) == [sentence for _, sentence in expected]


def test_it_needs_no_room() -> None:
    """Before there is a room, as in a component that is rendered on a server, nothing is said."""
    assert node("sentence.js", "it.sentence(null)") == ""


def test_a_reader_who_is_not_counted_sees_everyone() -> None:
    """
    For an observer the sentence counts all who are here; and what is usual is not said of those who are here
    now.
    """
    expected = [
        (seen(exactly(0), counted=False), {}, "0 people are here"),
        (seen(exactly(1), counted=False), {}, "1 person is here"),
        (seen(SAMPLED, counted=False), {"lang": "pl"}, "około 10 000 osób tu jest"),
        (
            seen(SAMPLED | {"method": "estimated"}, state="estimated", counted=False),
            {},
            "usually 10,000 people at this hour",
        ),
    ]
    assert say(*((room, options) for room, options, _ in expected)) == [sentence for *_, sentence in expected]


def test_a_rounded_number() -> None:
    """
    U4: "about 10,000" is said in the page's language; without words for that, or in what is no language, all
    of it is English.
    """
    english = "about 10,000 people are here with you"
    expected = {
        "de": "etwa 10.000 Menschen sind mit dir hier",
        "es": "cerca de 10.000 personas están aquí contigo",
        "es-MX": "cerca de 10,000 personas están aquí contigo",
        "fr": "environ 10 000 personnes sont ici avec vous",
        "pl": "około 10 000 osób jest tu z tobą",
    } | dict.fromkeys(("en-GB", "ja", "de_DE", ""), english)
    assert say(*((seen(SAMPLED), {"lang": lang}) for lang in expected)) == list(expected.values())


POLISH = "{others} {one=osoba ogląda|few=osoby oglądają|many=osób ogląda} to z tobą"
ARABIC = "{label} {zero=أشخاص|one=شخص|two=شخصان|few=أشخاص|many=شخصًا|other=شخص}"
NUMBERED = "{0=alone|1=one other|other={others} others}"
ALONE_OF_ALL = "{you are the first one here|{label} people}"


def test_a_label_of_ones_own() -> None:
    """U3, U4: a label speaks of the others with `{others}`, in the plural forms of its language."""
    expected = [
        ("{others} {one=person|other=people} with you", "en", 2, "1 person with you"),
        ("{others} {person is|people are} with you", "en", 2, "1 person is with you"),
        ("{others} {person is|people are} with you", "en", 3, "2 people are with you"),
        (POLISH, "pl", 2, "1 osoba ogląda to z tobą"),
        (POLISH, "pl", 3, "2 osoby oglądają to z tobą"),
        (POLISH, "pl", 13, "12 osób ogląda to z tobą"),
        (POLISH, "pl", 23, "22 osoby oglądają to z tobą"),
        (POLISH, "pl", 12_346, "12 345 osób ogląda to z tobą"),
        ("{label} {Mensch ist|Menschen sind} gerade hier", "de", 1_234, "1.234 Menschen sind gerade hier"),
        ("{count} von {label}", "de", 1_234, "1.234 von 1.234"),
        (ARABIC, "ar", 2, "2 شخصان"),
        # A form for one number alone goes before its category; where none fits, nothing stands there.
        (NUMBERED, "en", 1, "alone"),
        (NUMBERED, "en", 2, "one other"),
        (NUMBERED, "en", 3, "2 others"),
        ("{one=1=1|few=x}", "en", 2, "1=1"),
        ("{one=1=1|few=x}", "en", 3, ""),
        # Where it does not speak of others, everyone counts.
        (ALONE_OF_ALL, "en", 1, "you are the first one here"),
        (ALONE_OF_ALL, "en", 2, "2 people"),
        ("{label} {one=person|other=people}", "en", 1, "1 person"),
        ("{0=none|one=one|other=some} of {count}", "en", 1, "one of 1"),
        # Where it speaks of others and there are none, it takes a form for that, or our own words, where we
        # have them.
        ("{others} {person is|people are} with you", "en", 1, "you are the first one here"),
        (POLISH, "pl", 1, "na razie nie ma tu nikogo poza tobą"),
        ("{others} others", "ar", 1, ""),
        ("we are live", "en", 1, "we are live"),
        ("{nothing} a|b", "en", 1, "{nothing} a|b"),
    ]
    said = say(
        *((seen(exactly(count)), {"label": label, "lang": lang}) for label, lang, count, _ in expected)
    )
    assert said == [sentence for *_, sentence in expected]


def test_a_label_around_a_rounded_number() -> None:
    """
    U4: after the Polish word for "about" the form is that of many; a language whose word we do not have has a
    sign for it.
    """
    about_22 = seen({"count": 22, "low": 18, "high": 25, "method": "sampled", "label": "about 22"})
    expected = [
        (POLISH, "pl", "około 22 osób ogląda to z tobą"),
        ("{label} ~ {count}", "ja", "約22 ~ 22"),
        ("{count} {one=osoba|few=osoby|many=osób}", "pl", "22 osoby"),
    ]
    said = say(*((about_22, {"label": label, "lang": lang}) for label, lang, _ in expected))
    assert said == [sentence for *_, sentence in expected]


def test_a_label_that_is_not_certain() -> None:
    """A label's form for no others is said only when it is certain that there are none."""
    rooms = [seen(exactly(1)), seen(exactly(1), state="stale"), seen(exactly(1) | {"high": 2})]
    said = say(*((room, {"label": NUMBERED}) for room in rooms))
    assert said == ["alone", "you are here", "you are here"]


def test_few_and_many() -> None:
    """
    Both bounds are about the people that the sentence counts: the others, or with `{label}` and `{count}`
    all.
    """
    expected: list[tuple[int, dict[str, Any], str]] = [
        (5, {"hideBelow": 5}, ""),
        (6, {"hideBelow": 5}, "5 people are here with you"),
        (1, {"hideBelow": 1}, ""),
        (4, {"hideBelow": 5, "label": "{label} here"}, ""),
        (5, {"hideBelow": 5, "label": "{label} here"}, "5 here"),
        (501, {"capAbove": 500}, "500 people are here with you"),
        (502, {"capAbove": 500}, "500+ people are here with you"),
        (5_002, {"capAbove": 5_000, "lang": "de"}, "5.000+ Menschen sind mit dir hier"),
        (9, {"capAbove": 1, "label": "{others} {person|people}"}, "1+ people"),
        (9, {"capAbove": 1, "label": "{others} {1=x|one=person|other=people}"}, "1+ people"),
        (9, {"capAbove": 5, "label": "{others}, {label}, {count}"}, "5+, 5+, 5+"),
    ]
    said = say(*((seen(exactly(count)), options) for count, options, _ in expected))
    assert said == [sentence for *_, sentence in expected]


def test_every_language_of_the_page_is_here() -> None:
    """A language that the page speaks is one that the sentence speaks."""
    languages = [file.name.split(".")[1] for file in CLIENT.glob("words.*.js")]
    first = [node(f"words.{lang}.js", "it.here.first") for lang in languages]
    assert say(*((seen(exactly(1)), {"lang": lang}) for lang in languages)) == first
    assert len(set(first)) == len(languages)


# --- in a page ---


async def show(
    browser: Browser,
    server: ServerProcess,
    html: str,
    presences: dict[str, dict[str, Any]],
    *,
    locale: str = "en",
) -> Page:
    """Show HTML with elements in it, which are in rooms with these presences."""
    page = await browser.new_page(locale=locale)
    rest = {
        "sample_rate": 1e-6, "epoch": 1, "moods": {}, "unspoken": 0, "mood_intervals": {}, "as_of_ms": 1, "stale_after_ms": 30_000,
        "poll_ms": 30_000,
    }  # fmt: skip

    async def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        await route.fulfill(json={"room": name} | rest | presences[name])

    await page.route(re.compile(r"/v1/rooms/[^/]*$"), answer)
    await page.goto(f"{server.url}/healthz")
    await page.evaluate(
        """([html]) => {
          const page = new DOMParser().parseFromString(html, 'text/html');
          document.replaceChild(document.adoptNode(page.documentElement), document.documentElement);
          return import('/element.js');
        }""",
        [html],
    )
    return page


def written(sentence: str) -> re.Pattern[str]:
    """A sentence with any kind of space in it."""
    return re.compile(f"^{re.escape(sentence)}$".replace(r"\ ", r"\s"))


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("lang", SENTENCES)
async def test_the_element_in_a_page(server: ServerProcess, browser: Browser, lang: str) -> None:
    """
    U3, U4: an element with no words of its own counts the others, in the words, digits and plurals of the
    page's language.
    """
    rooms = {f"with-{others}": exactly(others + 1) for others in OTHERS}
    elements = "".join(f'<p><breathing-room mode="poll" room="{room}"></breathing-room>' for room in rooms)
    page = await show(browser, server, f'<html lang="{lang}">{elements}', rooms)
    for index, sentence in enumerate(SENTENCES[lang]):
        await expect(page.locator("breathing-room").nth(index)).to_have_text(written(sentence))
    await page.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_the_nearest_language(server: ServerProcess, browser: Browser) -> None:
    """
    U4: the language is that of the nearest `lang`, out of a shadow root too, and without one the browser's.
    """
    here = '<breathing-room mode="poll" label="{label}"></breathing-room>'
    html = f"""<html lang="en"><p>{here}<p lang="de">{here}<p lang="pl"><breathing-room lang="fr" mode="poll"
               label="{{label}}"></breathing-room><p lang="es"><span id="host"></span>"""
    page = await show(browser, server, html, {"lobby": SAMPLED}, locale="pl")
    elements = page.locator("breathing-room")
    await page.evaluate("(here) => { host.attachShadow({mode: 'open'}).innerHTML = here; }", here)
    for index, said in enumerate(["about 10,000", "etwa 10.000", "environ 10 000", "cerca de 10.000"]):
        await expect(elements.nth(index)).to_have_text(written(said))
    await elements.nth(2).evaluate("(it) => it.removeAttribute('lang')")
    await expect(elements.nth(2)).to_have_text(written("około 10 000"))
    await page.close()
    page = await show(browser, server, f"<html>{here}", {"lobby": SAMPLED}, locale="de")
    await expect(page.locator("breathing-room")).to_have_text("etwa 10.000")
    await page.close()
