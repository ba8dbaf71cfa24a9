"""The element: one line of a page that says how many people are here, and when it is empty."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from chromium import BringPeer, until
from harness import Serve, ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

PRESENCE: dict[str, Any] = {
    "room": "lobby", "count": 10_240, "low": 9_270, "high": 11_310, "method": "sampled", "sample_rate": 0.001, "epoch": 1,
    "moods": {}, "unspoken": 10_240, "mood_intervals": {}, "label": "about 10,000", "as_of_ms": 1, "stale_after_ms": 30_000,
    "poll_ms": 30_000,
}  # fmt: skip


Show = Callable[[str], Awaitable[tuple[Page, list[str]]]]


@pytest_asyncio.fixture(loop_scope="session")
async def show(browser: Browser) -> AsyncIterator[Show]:
    """Show a page of another site, with this in its body; and collect what it throws."""
    html = ""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        page = f"<!doctype html><title>A shop</title><link rel=icon href=data:,>{html}"
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + page.encode()
        )
        await writer.drain()
        writer.close()

    async def show(body: str) -> tuple[Page, list[str]]:
        nonlocal html
        html = body
        page = await context.new_page()
        thrown: list[str] = []
        page.on("pageerror", lambda error: thrown.append(str(error)))
        await page.goto(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")
        return page, thrown

    context = await browser.new_context()
    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield show
    listening.close()
    await context.close()


async def test_one_line_of_html(server: ServerProcess, room_name: str, show: Show, peer: BringPeer) -> None:
    """
    A script tag and an element, on any site, say how many are there, from the server that the script came
    from.
    """
    page, thrown = await show(
        f'<script type="module" src="{server.url}/element.js"></script>'
        f'<breathing-room room="{room_name}" mood="release" label="{{label}} {{person is|people are}} here"></breathing-room>',
    )
    element = page.locator("breathing-room")
    await expect(element).to_have_text("1 person is here")
    await expect(element).to_have_attribute("state", "live")
    other = await peer()
    await expect(element).to_have_text("2 people are here")
    assert other.heard[-1]["moods"]["release"] == 1
    await element.evaluate("(it) => it.setAttribute('mood', 'gratitude')")
    await other.until(lambda presence: presence["moods"]["gratitude"] == 1)
    await element.evaluate("(it) => it.removeAttribute('mood')")
    await other.until(lambda presence: presence["unspoken"] == 2)

    # Moved, it stays; taken away, it leaves.
    began = len(other.heard)
    await element.evaluate("(it) => document.body.append(document.createElement('p'), it)")
    await expect(element).to_have_text("2 people are here")
    assert len(other.heard) == began
    await element.evaluate("(it) => it.remove()")
    await other.until_count(1)
    assert thrown == []


@pytest.mark.parametrize("mode", ["socket", "poll"])
async def test_the_default_room_is_the_servers(serve: Serve, show: Show, mode: str) -> None:
    """U2: an element that names no room counts in the server's default room, also where there is no other."""
    server = serve("--default-room", "evening", "--open-rooms", "false", "--mode", mode)
    page, thrown = await show(
        f'<script type="module" src="{server.url}/element.js"></script><breathing-room label="{{count}} here"></breathing-room>'
    )
    await expect(page.locator("breathing-room")).to_have_text("1 here")
    assert thrown == []


@pytest.mark.parametrize(
    ("attributes", "count", "label", "text"),
    [
        ("", 10_240, "about 10,000", "about 10,000 people are here"),
        ("", 1, "1", "1 person is here"),
        ('label="{label}"', 10_240, "about 10,000", "about 10,000"),
        ('label="{count} here"', 10_240, "about 10,000", "10,240 here"),
        ('hide-below="5"', 4, "4", None),
        ('hide-below="5"', 5, "5", "5 people are here"),
        ('cap-above="500" label="{label}"', 500, "500", "500"),
        ('cap-above="500" label="{label} {person|people}"', 501, "501", "500+ people"),
        ('cap-above="5000" label="{count}"', 10_240, "about 10,000", "5,000+"),
        ('label="{you are the first one here|{label} people}"', 1, "1", "you are the first one here"),
        ('label="{you are the first one here|{label} people}"', 2, "2", "2 people"),
        ('label="{nothing} a|b"', 2, "2", "{nothing} a|b"),
        ("", None, "unknown", None),
        ('label="{count}"', 0, "0", "0"),
        ('hide-below="1"', 0, "0", None),
    ],
)
async def test_what_it_says(
    server: ServerProcess, browser: Browser, attributes: str, count: int | None, label: str, text: str | None
) -> None:
    """
    The template is filled in; below `hide-below` and without a count the element is hidden; above `cap-above`
    it has `500+`.
    """
    page = await browser.new_page()

    async def answer(route: Route) -> None:
        known = (
            {"low": count, "high": count, "method": "sampled"}
            if count is not None
            else {"low": 0, "high": None, "method": "unknown"}
        )
        await route.fulfill(body=json.dumps(PRESENCE | {"count": count, "label": label} | known))

    await page.route(re.compile(r"/v1/rooms/lobby$"), answer)
    await page.goto(f"{server.url}/healthz")
    await page.evaluate(
        """([html]) => { document.body.innerHTML = html; return import('/element.js'); }""",
        [f'<breathing-room mode="poll" observe {attributes}>…</breathing-room>'],
    )
    element = page.locator("breathing-room")
    state = "unknown" if count is None else "live"
    await expect(element).to_have_attribute("state", state)
    await until(lambda: element.evaluate("(it) => it.joinedRoom.presence !== null"))
    if text is None:
        await expect(element).to_be_hidden()
        await expect(element).to_have_text("")
    else:
        await expect(element).to_be_visible()
        await expect(element).to_have_text(text)
    await page.close()


async def test_another_room(server: ServerProcess, room_name: str, show: Show, peer: BringPeer) -> None:
    """With another `room` it leaves the one and joins the other; another `label` is shown at once."""
    observer = await peer(observe=True)
    page, thrown = await show(
        f'<script type="module" src="{server.url}/element.js"></script><breathing-room room="{room_name}"></breathing-room>',
    )
    element = page.locator("breathing-room")
    await expect(element).to_have_text("you are the first one here")
    await observer.until_count(1)
    await element.evaluate("(it) => it.setAttribute('label', '{count}!')")
    await expect(element).to_have_text("1!")
    await element.evaluate("(it, room) => it.setAttribute('room', room)", f"{room_name}-2")
    await observer.until_count(0)
    await expect(element).to_have_text("1!")
    assert thrown == []


async def test_attributes_and_properties_agree(server: ServerProcess, show: Show) -> None:
    """
    A property reads and writes its attribute: null, an empty text and what is false take it away, and nothing
    is kept beside it (U1).
    """
    page, thrown = await show(f'<script type="module" src="{server.url}/element.js"></script>')
    await page.evaluate("customElements.whenDefined('breathing-room').then(() => undefined)")

    async def after(name: str, values: str) -> list[list[Any]]:
        """Set a property to each value, and return the attribute and the property then."""
        read = """([name, values]) => eval(values).map((value) => {
            const it = document.createElement('breathing-room');
            it.setAttribute(name, 'before');
            const property = name.replace(/-(.)/, (_, letter) => letter.toUpperCase());
            it[property] = value;
            return Object.hasOwn(it, property) ? ['its own'] : [it.getAttribute(name), it[property]];
        })"""
        answer: list[list[Any]] = await page.evaluate(read, [name, values])
        return answer

    for name in ("server", "room", "mode", "history", "mood", "label"):
        set_to = await after(name, "['a', 7, 0, '', null, undefined, false]")
        assert set_to == [["a", "a"], ["7", "7"], ["0", "0"], *[[None, None]] * 4], name
    for name in ("hide-below", "cap-above"):
        set_to = await after(name, "[5, '5', 0, '', null, undefined, false, NaN]")
        assert set_to == [["5", 5], ["5", 5], ["0", 0], *[[None, None]] * 5], name
    set_to = await after("observe", "[true, 'true', 'false', 0, '', null, undefined, false]")
    assert set_to == [["", True], ["true", True], ["false", False], *[[None, False]] * 5]
    assert (await after("server", "[new URL('https://example.org')]"))[0][0] == "https://example.org/"
    assert await page.evaluate("document.createElement('breathing-room').joinedRoom") is None
    assert thrown == []


async def test_many_changes_at_once_are_one(server: ServerProcess, room_name: str, show: Show) -> None:
    """
    What was set before the script came counts; what changes in one moment, and back, is one change; and
    moved, another server's address or put back after a while, it is in one room at a time (U1).
    """
    page, thrown = await show(
        f'<p>A shop</p><script>document.body.append(Object.assign(document.createElement("breathing-room"), {{room: "{room_name}", hideBelow: 1, label: "{{count}}"}}))'
        f'</script><script type="module" src="{server.url}/element.js"></script>',
    )
    element = page.locator("breathing-room")
    await expect(element).to_have_text("1")
    opened: list[str] = []
    page.on("websocket", lambda socket: opened.append(socket.url.split("/")[-2]))
    await page.reload()
    await expect(element).to_have_text("1")
    await expect(element).to_have_attribute("room", room_name)
    await expect(element).to_have_attribute("hide-below", "1")

    await element.evaluate(
        "(it, room) => { window.it = it; it.room = 'elsewhere'; it.remove(); it.mode = 'poll'; it.room = room; it.mode = null; document.body.prepend(it); }",
        room_name,
    )
    await element.evaluate("(it) => it.label = 'still {count}'")
    await expect(element).to_have_text("still 1")
    assert opened == [room_name]

    await element.evaluate("(it) => it.remove()")
    await until(lambda: page.evaluate("it.joinedRoom === null"))
    await page.evaluate("document.body.append(it)")
    await expect(element).to_have_text("still 1")
    await element.evaluate("(it, url) => it.server = url", server.url.replace("127.0.0.1", "localhost"))
    await until(lambda: len(opened) == 3)
    await expect(element).to_have_text("still 1")
    assert opened == [room_name] * 3
    await element.evaluate("(it) => it.server = 'no://address'")
    await expect(element).to_be_hidden()
    assert thrown == []
