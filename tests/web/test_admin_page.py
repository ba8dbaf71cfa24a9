"""The operator's page in a browser: signed in to, kept fresh, with a keyboard, on a phone, and without a
fault that axe-core finds.
"""

import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from websockets.asyncio.client import connect

from chromium import RECORDER, until, violations
from harness import Serve, ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN = "a-token-of-32-characters-or-more-0"
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def watched(serve: Serve) -> ServerProcess:
    """A server that has an operator."""
    return serve("--push-ms", "20", env={"BREATHING_ROOM_ADMIN_TOKEN": TOKEN})


async def sign_in(browser: Browser, server: ServerProcess, **how: Any) -> Page:
    """Open the page as its operator would: with a keyboard."""
    page = await (await browser.new_context(**how)).new_page()
    await page.add_init_script(RECORDER)
    await page.goto(f"{server.url}/admin")
    await expect(page.get_by_label("The operator's token")).to_be_focused()
    await page.keyboard.type(TOKEN)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="The last 24 hours")).to_be_visible()
    return page


async def test_axe_finds_nothing(browser: Browser, watched: ServerProcess) -> None:
    """Neither the form, nor the form after a wrong token, nor the page
    with every table unfolded has a fault.
    """
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{watched.url}/admin")
    assert await violations(page) == []
    await expect(page.get_by_label("The operator's token")).to_be_focused()
    await page.keyboard.type("wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("the operator's token is wrong")
    assert await violations(page) == []
    page = await sign_in(browser, watched)
    for table in await page.locator("summary").all():
        await table.click()
    assert await violations(page) == []
    assert await page.evaluate("violations") == []


@pytest.mark.parametrize("width", [390, 1440])
async def test_it_fits_the_screen(browser: Browser, watched: ServerProcess, width: int) -> None:
    """Nothing is wider than a phone or a desk; what must be scrolls by itself."""
    page = await sign_in(browser, watched, viewport={"width": width, "height": 844})
    assert await page.evaluate("document.documentElement.scrollWidth") == width
    letters = await page.evaluate(
        "[...document.querySelectorAll('.chart text')].map((it) => it.getBoundingClientRect().height)"
    )
    assert min(letters) >= 9


async def test_it_stays_fresh_and_leaves_the_reader_alone(browser: Browser, watched: ServerProcess) -> None:
    """Who comes in is shown without a reload; a table that is open stays open, and the focus where it was."""
    page = await sign_in(browser, watched)
    await page.locator("#week-table summary").click()
    await page.locator("#day-table summary").focus()
    url = f"{watched.websocket_url}/v1/rooms/lobby/socket"
    async with connect(url, compression=None) as socket:
        await socket.send('{"type": "join", "visitor": "visitor-0123456789"}')
        await socket.recv()
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.locator(".count")).to_have_text("1 here now")
    await expect(page).to_have_title(re.compile("1 in lobby"))
    assert await page.locator("#week-table").evaluate("it => it.open")
    assert await page.evaluate("document.activeElement.parentElement.id") == "day-table"


async def test_a_server_that_does_not_answer_is_reported(browser: Browser, watched: ServerProcess) -> None:
    """When the server does not answer the page says so, and keeps its last figures."""
    page = await sign_in(browser, watched)
    watched.kill()
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.locator("#fresh")).to_have_text("It does not answer now: this is what it said last.")
    await expect(page.locator(".count")).to_have_text("0 here now")


async def test_signing_out(browser: Browser, watched: ServerProcess) -> None:
    """Who signs out is asked for the token again, and so is a page that was left open meanwhile."""
    page = await sign_in(browser, watched)
    other = await page.context.new_page()
    await other.goto(f"{watched.url}/admin")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("The operator's token")).to_be_focused()
    await other.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await until(lambda: other.get_by_label("The operator's token").is_visible())


async def test_charts_have_words(browser: Browser, watched: ServerProcess) -> None:
    """Both charts are images with a sentence that says what they show."""
    page = await sign_in(browser, watched)
    await expect(page.get_by_role("img", name="People over the last 24 hours")).to_be_visible()
    await expect(page.get_by_role("img", name="People by hour of the week")).to_be_visible()
