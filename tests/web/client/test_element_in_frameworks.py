"""The element in React, Vue, Preact, Svelte, Solid and Lit, each as its own compiler builds it, in
development and in production.

The story of U1: frameworks set a property where the element has one of that name, and `room` was a field that
held the joined room. So `<breathing-room room="lobby">` overwrote it, joined nothing, and threw into the page
when it was taken away.
"""

import asyncio
import functools
import re
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, WebSocket, expect

from chromium import BringPeer, until
from harness import ServerProcess, start_server
from node import NODE

pytestmark = pytest.mark.asyncio(loop_scope="session")

FRAMEWORKS = ("react", "preact", "vue", "svelte", "solid", "lit")
BUILDS = ("development", "production")
BUILD = Path(__file__).parent / "frameworks" / "build.mjs"
PAGE = '<!doctype html><title>An app</title><link rel="icon" href="data:,"><main></main><script type="module" src="{}.js"></script>'
# Lit says so at each start of its development build.
HARMLESS = "Lit is in dev mode"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server on which no other test opens sockets, and which says at once what changed."""
    server = start_server(tmp_path_factory.mktemp("frameworks") / "room.db", "--push-ms", "20")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A site of another origin, with a page for each build of each framework."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([NODE, BUILD, folder], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for script in folder.glob("*.js"):
        script.with_suffix(".html").write_text(PAGE.format(script.stem), encoding="utf-8")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    thread.join()
    listening.server_close()


class App:
    """A page whose framework renders the elements that it is given, and the server that they ask."""

    def __init__(self, page: Page, url: str, server: ServerProcess, http: httpx.AsyncClient) -> None:
        self.page = page
        self.elements: Locator = page.locator("breathing-room")
        self.opened: list[str] = []
        self.complaints: list[str] = []
        self._url = url
        self._server = server
        self._http = http
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._read)
        page.on("websocket", self._count)

    def _read(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and HARMLESS not in message.text:
            self.complaints.append(message.text)

    def _count(self, socket: WebSocket) -> None:
        self.opened.append(socket.url.split("/")[-2])

    async def show(self, *elements: dict[str, Any]) -> None:
        """Render these elements and no others."""
        given = [{"server": self._server.url, "id": number} | it for number, it in enumerate(elements)]
        await self.page.evaluate("(elements) => void show(elements)", given)

    async def load(self) -> None:
        """Load the page, in which the element is not defined yet."""
        await self.page.goto(self._url)

    async def define(self) -> None:
        """Load the element, if it is not there yet."""
        await self.page.evaluate("define()")

    async def presence(self, room: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await self._http.get(f"/v1/rooms/{room}")).json()
        return answer

    async def until_counts(self, sockets: int, **counts: int) -> None:
        """Wait until the server has so many sockets, and these rooms so many people."""
        seen: dict[str, Any] = {}

        async def are_there() -> bool:
            metrics = (await self._http.get("/metrics")).text
            (open_now,) = re.findall(r"^breathing_room_sockets (\d+)", metrics, re.MULTILINE)
            seen["sockets"] = int(open_now)
            for room in counts:
                seen[room] = (await self.presence(room))["count"]
            return seen == {"sockets": sockets, **counts}

        try:
            await until(are_there)
        except AssertionError as error:
            page = await self.elements.evaluate_all("all => all.map((it) => it.outerHTML)")
            raise AssertionError(
                f"{error}: {seen}, opened {self.opened}, page {page}, {self.complaints}"
            ) from None


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="session",
    params=[f"{framework}.{build}" for framework in FRAMEWORKS for build in BUILDS],
)
async def loaded(
    request: pytest.FixtureRequest, browser: Browser, server: ServerProcess, site: str
) -> AsyncIterator[App]:
    """A page of one build of one framework."""
    context = await browser.new_context()
    async with httpx.AsyncClient(base_url=server.url) as http:
        app = App(await context.new_page(), f"{site}/{request.param}.html", server, http)
        await app.load()
        yield app
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def app(loaded: App) -> AsyncIterator[App]:
    """A page of which no element is shown. Nothing may go wrong in it, and no socket may be left."""
    loaded.opened.clear()
    loaded.complaints.clear()
    yield loaded
    await loaded.show()
    await expect(loaded.elements).to_have_count(0)
    await loaded.until_counts(0)
    assert loaded.complaints == []


async def test_a_room_may_be_set_late_and_changed(app: App, room_name: str) -> None:
    """
    The room that a framework sets is the one that is joined, late, changed or taken back, over one socket at
    a time (U1).
    """
    one, two = room_name, f"{room_name}-2"
    await app.define()
    await app.show({})
    await app.until_counts(1, lobby=1)
    await app.show({"room": one, "label": "{count} in one"})
    await app.until_counts(1, **{"lobby": 0, one: 1})
    await expect(app.elements).to_have_text("1 in one")
    await app.show({"room": two, "label": "{count} in two"})
    await app.until_counts(1, **{one: 0, two: 1})
    await expect(app.elements).to_have_text("1 in two")
    await app.show({})
    await app.until_counts(1, **{"lobby": 1, two: 0})
    await expect(app.elements).to_have_text("you are the first one here")
    assert app.opened == ["lobby", one, two, "lobby"]


async def test_elements_come_and_go(app: App, room_name: str) -> None:
    """
    Unmounted it leaves, mounted again it joins; two in two rooms have two sockets, also when they change
    places, and two in one room share one (U1).
    """
    one, two = {"id": "one", "room": room_name}, {"id": "two", "room": f"{room_name}-2"}
    await app.define()
    await app.show(one)
    await app.until_counts(1, **{one["room"]: 1})
    await app.show()
    await app.until_counts(0, **{one["room"]: 0})
    await app.show(one)
    await app.until_counts(1, **{one["room"]: 1})
    await app.show(one, two)
    await app.until_counts(2, **{one["room"]: 1, two["room"]: 1})
    await app.show(two | {"label": "two: {count}"}, one | {"label": "one: {count}"})
    await expect(app.elements).to_have_text(["two: 1", "one: 1"])
    await app.show(one | {"label": "first: {count}"}, two | one | {"id": "two", "label": "second: {count}"})
    await expect(app.elements).to_have_text(["first: 1", "second: 1"])
    await app.until_counts(1, **{one["room"]: 1, two["room"]: 0})
    assert app.opened == [one["room"], one["room"], two["room"]]


async def test_what_is_set_before_the_element_is_defined_counts(app: App, room_name: str) -> None:
    """
    A framework may render before the element's script came: the room, the mood and the words are those that
    it set (U1).
    """
    await app.load()
    await app.show({"room": room_name, "mood": "release", "label": "{count} here"})
    await expect(app.elements).to_have_count(1)
    await app.define()
    await expect(app.elements).to_have_text("1 here")
    assert (await app.presence(room_name))["moods"]["release"] == 1
    await app.show({"room": f"{room_name}-2", "mood": "release", "label": "{count} there"})
    await expect(app.elements).to_have_text("1 there")
    await app.until_counts(1, **{room_name: 0, f"{room_name}-2": 1})
    assert app.opened == [room_name, f"{room_name}-2"]


async def test_every_attribute_may_be_set_by_a_framework(app: App, room_name: str, peer: BringPeer) -> None:
    """
    Mood, words, fewest, most and whether it is counted follow what the framework renders, and what it renders
    no more (U1).
    """
    other = await peer()
    await app.define()
    await app.show({"room": room_name, "mood": "release", "label": "{count} here", "hideBelow": 3})
    await other.until(lambda presence: presence["moods"]["release"] == 1)
    await expect(app.elements).to_have_attribute("state", "live")
    await expect(app.elements).to_be_hidden()
    await app.show({"room": room_name, "mood": "gratitude", "label": "{count} here", "hideBelow": 2})
    await expect(app.elements).to_have_text("2 here")
    await other.until(lambda presence: presence["moods"]["gratitude"] == 1)
    await app.show({"room": room_name, "hideBelow": 3, "capAbove": 1})
    await expect(app.elements).to_be_hidden()
    await other.until(lambda presence: presence["unspoken"] == 2)
    await app.show({"room": room_name, "label": "{count} here", "capAbove": 1})
    await expect(app.elements).to_have_text("1+ here")
    await app.show({"room": room_name, "observe": True})
    await expect(app.elements).to_have_text("1 person is here")
    await other.until_count(1)
    await app.show({"room": room_name, "observe": False})
    await expect(app.elements).to_have_text("1 person is here with you")
    await app.until_counts(2, **{room_name: 2})
    assert app.opened == [room_name] * 3
    await asyncio.gather(app.show(), other.close())
