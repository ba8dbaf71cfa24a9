"""A real Chromium, and connections that speak the protocol beside it."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright
from websockets.asyncio.client import connect

from chromium import EXECUTABLE, FLAGS, RECORDER, BringPeer, OpenPage, Peer, Proxy
from harness import ServerProcess, start_server

STILL: ViewportSize = {"width": 320, "height": 320}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all these tests; each test has a room of its own."""
    server = start_server(tmp_path_factory.mktemp("web") / "room.db")
    yield server
    server.kill()


@pytest.fixture
def room_name() -> str:
    """A room that no other test is in."""
    return f"room-{secrets.token_hex(4)}"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The Chromium of the system."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(
    request: pytest.FixtureRequest, browser: Browser, server: ServerProcess, room_name: str
) -> AsyncIterator[OpenPage]:
    """Open pages, each in a browser of its own unless a context is given. No page may ever throw.

    Where a test is of the client, or of what a page says, its pages are small and still, unless it wants them
    to move: without a graphics card to draw one as people see it takes half a core.
    """
    is_of_words = request.path.parent.name == "client" or request.path.name == "test_page.py"
    thrown: list[str] = []
    contexts: list[BrowserContext] = []

    async def open_page(
        url: str = "", *, context: BrowserContext | None = None, init: str = "", moves: bool = not is_of_words
    ) -> Page:
        context = context or await browser.new_context()
        contexts.append(context)
        page = await context.new_page()
        if not moves:
            await page.set_viewport_size(STILL)
            await page.emulate_media(reduced_motion="reduce")
        page.on("pageerror", lambda error: thrown.append(str(error)))
        await page.add_init_script(RECORDER + init)
        await page.goto(f"{url or server.url}/?room={room_name}")
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert thrown == []


@pytest_asyncio.fixture(loop_scope="session")
async def peer(server: ServerProcess, room_name: str) -> AsyncIterator[BringPeer]:
    """Connect a visitor to the room: ``peer(mood="release")``, or ``peer(observe=True)``."""
    asked = server
    async with AsyncExitStack() as stack:

        async def peer(*, mood: str = "", observe: bool = False, server: ServerProcess | None = None) -> Peer:
            socket = await connect(f"{(server or asked).websocket_url}/v1/rooms/{room_name}/socket")
            peer = Peer(socket)
            stack.push_async_callback(peer.close)
            join = {"type": "join", "visitor": secrets.token_urlsafe(16)} | ({"mood": mood} if mood else {})
            await socket.send(json.dumps({"type": "observe"} if observe else join))
            await peer.until(lambda _: True)
            return peer

        yield peer


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(server: ServerProcess) -> AsyncIterator[Proxy]:
    """A proxy in front of the test's server."""
    proxy = Proxy(server.port)
    listening = await proxy.serve()
    yield proxy
    proxy.sever()
    listening.close()
