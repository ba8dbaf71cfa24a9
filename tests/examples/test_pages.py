"""The examples that are pages: each is started with its one command, and looked at in Chromium."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect
from websockets.asyncio.client import connect

from chromium import EXECUTABLE, FLAGS, violations

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = Path(__file__).parents[2] / "examples"
START_S = 30


@contextmanager
def started(name: str) -> Iterator[str]:
    """Start an example as its first lines say, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "examples/serve.py", name, str(port)], cwd=EXAMPLES.parent)
    url = f"http://127.0.0.1:{port}"
    deadline_s = time.monotonic() + START_S
    try:
        while True:
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                assert process.poll() is None
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """The Chromium of the system."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=FLAGS)
        yield browser
        await browser.close()


async def open_page(browser: Browser, url: str) -> tuple[Page, list[str]]:
    """Open a page, and collect what it throws."""
    page = await (await browser.new_context()).new_page()
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    await page.goto(url)
    return page, thrown


async def come_in(people: AsyncExitStack, url: str, room: str, count: int, mood: str = "") -> None:
    """Join so many visitors to a room."""
    for number in range(count):
        address = f"{url.replace('http', 'ws', 1)}/breathing/v1/rooms/{room}/socket"
        client = await people.enter_async_context(connect(address, compression=None))
        message = {"type": "join", "visitor": f"visitor-{room}-{number:04}"} | (
            {"mood": mood} if mood else {}
        )
        await client.send(json.dumps(message))


async def test_a_shop_is_silent_about_few_and_vague_about_many(browser: Browser) -> None:
    """One of the plain page's boxes says how many breathe; the shop's says nothing below 5, the number, and
    no more than 500+.
    """
    with started("plain") as url:
        page, thrown = await open_page(browser, url)
        breathing, teapot = page.locator("#breathing"), page.locator("#teapot")
        await expect(breathing).to_have_text("you are the first one here")
        await expect(teapot).to_have_text("")
        async with AsyncExitStack() as people:
            await come_in(people, url, "breathing", 2)
            await expect(breathing).to_have_text("3 people breathing together")
            await come_in(people, url, "blue-teapot", 3)
            async with httpx.AsyncClient(base_url=url) as client:
                await settled(client, "blue-teapot", 4)
            await expect(teapot).to_have_text("")
            await come_in(people, url, "blue-teapot", 22)
            await expect(teapot).to_have_text("23 people are looking at this")
            assert await violations(page) == []
            await come_in(people, url, "blue-teapot", 510)
            await expect(teapot).to_have_text("500+ people are looking at this", timeout=15_000)
        await expect(teapot).to_have_text("", timeout=60_000)
        assert thrown == []


async def settled(client: httpx.AsyncClient, room: str, count: int) -> None:
    """Wait until a room has a count."""
    deadline_s = time.monotonic() + 10
    while (await client.get(f"/breathing/v1/rooms/{room}")).json()["count"] != count:
        assert time.monotonic() < deadline_s


async def test_react_shows_who_comes_and_how_they_feel(browser: Browser) -> None:
    """The component shows the count, its buttons set a mood, and closing the page is a leave."""
    with started("react") as url:
        page, thrown = await open_page(browser, url)
        await expect(page.get_by_role("status")).to_have_text("you are the first one here (live)")
        async with AsyncExitStack() as people:
            await come_in(people, url, "react", 2, "release")
            await expect(page.get_by_role("status")).to_have_text("2 people are here with you (live)")
            await expect(page.get_by_role("button", name="release")).to_have_text("release: 2")
            await page.get_by_role("button", name="release").click()
            await expect(page.get_by_role("button", name="release")).to_have_text("release: 3")
            await expect(page.get_by_role("button", name="release")).to_have_attribute("aria-pressed", "true")
            assert await violations(page) == []
            await page.context.close()
            async with httpx.AsyncClient(base_url=url) as client:
                await settled(client, "react", 2)
        assert thrown == []


async def test_every_page_is_shown() -> None:
    """Each folder with a page is named in the first lines of the script that serves it, and is run here."""
    pages = {path.parent.name for path in EXAMPLES.glob("*/index.html")}
    commands = set(re.findall(r"serve\.py (\w+)", (EXAMPLES / "serve.py").read_text(encoding="utf-8")))
    assert pages == commands == {"plain", "react"}
