"""The operator's page as HTML, out of what ``/admin.json`` says."""

from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any

import pytest

from breathing_room.hosts.server.admin.page import (
    ROOMS_SHOWN,
    admin_page,
    interval,
    people_today,
    sign_in_page,
)
from inside import client_of, host_inside

TOKEN = "a-token-of-32-characters-or-more-0"
VOID = {"meta", "link", "input", "br", "img", "path", "rect", "circle", "line", "polyline"}


class Reader(HTMLParser):
    """Reads texts by section, and checks that elements are closed in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if (name := found.get("id")) is not None:
            self.ids.append(name)
        if tag not in VOID:
            self.open.append((tag, found.get("id")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """It is closed already."""

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop()[0] == tag, (tag, self.open)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    assert len(set(reader.ids)) == len(reader.ids)
    return reader


@pytest.fixture
async def body() -> AsyncIterator[dict[str, Any]]:
    """What a server with one person says."""
    async with host_inside(admin_token=TOKEN) as host, client_of(host) as client:
        await client.post(
            "/v1/rooms/lobby/heartbeat", json={"visitor": "visitor-0123456789", "mood": "release"}
        )
        answer = await client.get("/admin.json", headers={"Authorization": f"Bearer {TOKEN}"})
        yield answer.json()


async def test_it_is_whole_and_says_who_is_here(body: dict[str, Any]) -> None:
    """Every element is closed, no id is used twice, and count, mood,
    interval and method are there in words.
    """
    texts = read(admin_page(body)).texts
    assert "1 in lobby · Breathing Room" in texts
    assert {"release 1", "none yet", "all"} & set(texts) >= {"release 1", "all"}
    assert any("counted exactly" in text for text in texts)


async def test_nothing_that_was_sent_becomes_markup(body: dict[str, Any]) -> None:
    """Names of moods, nodes and errors are escaped as text."""
    evil = "<script>alert(1)</script>"
    body["room"]["presence"]["moods"] = {evil: 3}
    body["refusals"] = {evil: 2}
    body["nodes"] = [{"node": evil, "people": 1, "state": "live", "delta_age_ms": 0}]
    html = admin_page(body)
    assert evil not in html
    assert html.count("&lt;script&gt;") == 3
    read(html)


async def test_what_is_not_known_is_not_zero(body: dict[str, Any]) -> None:
    """An unknown count is said to be unknown, with what is known for certain."""
    body["room"]["presence"] |= {"count": None, "low": 3, "high": None, "method": "unknown"}
    texts = read(admin_page(body)).texts
    assert "unknown in lobby · Breathing Room" in texts
    assert "?" in texts
    assert "at least 3; not known yet" in texts


async def test_problems_stand_out(body: dict[str, Any]) -> None:
    """Failures of the store, reports that were shed, suspect nodes and a prefix alarm are marked; without
    them nothing is.
    """
    assert 'class="worry"' not in admin_page(body)
    body["store"]["failures"] = 2
    body["totals"]["reports_shed"] = 3
    body["nodes"] = [{"node": "web-2", "people": 1, "state": "suspect", "delta_age_ms": 150_000}]
    body["room"]["prefix_alarm"] = True
    html = admin_page(body)
    assert html.count('class="worry"') == 4
    assert "last delta 2 min ago" in html


async def test_many_rooms_are_cut_and_counted(body: dict[str, Any]) -> None:
    """The first fifty rooms are listed, the one that is shown is marked, and the others are a number."""
    [row] = body["rooms"]
    body["rooms"] = [row, *({**row, "room": f"room-{number}"} for number in range(ROOMS_SHOWN + 1_200))]
    html = admin_page(body)
    assert html.count('<a href="?room=') == ROOMS_SHOWN
    assert html.count('aria-current="page"') == 1
    assert "and 1,201 more" in html


def test_a_wrong_token_is_said_at_its_field() -> None:
    """Signing in shows no error at first; afterwards it is an alert, belongs to the field, and is text."""
    assert "alert" not in sign_in_page()
    html = sign_in_page("no <b>")
    assert '<p id="trouble" role="alert">no &lt;b&gt;</p>' in html
    assert 'aria-describedby="trouble"' in html
    assert "trouble" in read(html).ids


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(3, None, "at least 3"), (1_000, 1_000, "exactly"), (1_000, 2_000, "1,000 to 2,000")],
)
def test_an_interval_in_words(low: int, high: int | None, words: str) -> None:
    """An interval is exact, or from one number to another, or open."""
    assert interval(low, high) == words


@pytest.mark.parametrize(
    ("count", "low", "high", "words"),
    [(5, 5, 5, "5"), (1_200, 1_000, 1_500, "about 1,200"), (7, 4, None, "at least 4")],
)
def test_different_people_are_said_as_well_as_they_are_known(
    count: int, low: int, high: int | None, words: str
) -> None:
    """A sum that is certain is a number, one that is estimated is about one, and one without an end is at
    least its lower end.
    """
    assert people_today({"count": count, "low": low, "high": high}) == words
