"""The page with a screen reader, by keyboard, on a small screen, and in other languages."""

import json
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, ViewportSize, WebSocketRoute, expect

from chromium import BringPeer, OpenPage, people, source, until, violations
from harness import Serve, ServerProcess
from node import CLIENT

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE: ViewportSize = {"width": 390, "height": 844}
BUTTONS = ["gratitude", "presence", "release", "connection", "keep the screen on"]


async def test_axe_alone_and_together(open_page: OpenPage, peer: BringPeer) -> None:
    """axe-core finds nothing wrong with the page, neither alone, nor among others with a mood."""
    page = await open_page()
    await people(page, "you are the first one here")
    assert await violations(page) == []
    for mood in ("gratitude", "release", "release"):
        await peer(mood=mood)
    await people(page, "3 people breathing with you")
    await page.get_by_role("button", name="presence").click()
    await expect(page.get_by_role("button", name="presence, 1")).to_have_attribute("aria-pressed", "true")
    assert await violations(page) == []


async def test_axe_before_and_after(serve: Serve, open_page: OpenPage) -> None:
    """Nor with the number as last known, when the server is gone."""
    server = serve("--stale-after-ms", "1000", "--presence-max-age-s", "1")
    page = await open_page(server.url)
    await people(page, "you are the first one here")
    server.kill()
    await source(page, "last known · a moment ago · connecting")
    await until(lambda: page.evaluate("getComputedStyle(people).opacity < 0.71"))
    assert await violations(page) == []


async def test_axe_can_find(open_page: OpenPage) -> None:
    """A button that is called nothing is found: the check sees the page."""
    page = await open_page()
    await people(page, "you are the first one here")
    await page.evaluate("people.append(document.createElement('button'))")
    assert [rule for rule, _ in await violations(page)] == ["button-name"]


async def test_by_keyboard(open_page: OpenPage) -> None:
    """
    With the keyboard alone each button is reached in the order of the page, is seen to be, and is pressed by
    either key.
    """
    page = await open_page()
    await people(page, "you are the first one here")
    reached = []
    for _ in BUTTONS:
        await page.keyboard.press("Tab")
        outline, name = await page.evaluate(
            "[getComputedStyle(document.activeElement).outlineStyle, document.activeElement.querySelector('.name')?.textContent"
            " ?? document.activeElement.textContent]"
        )
        assert outline == "solid"
        reached.append(name)
    assert reached == BUTTONS
    for _ in range(3):
        await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Space")
    await expect(page.get_by_role("button", name="presence, 1")).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="gratitude, 1")).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="gratitude", exact=True)).to_have_attribute(
        "aria-pressed", "false"
    )


async def test_what_a_screen_reader_reads(open_page: OpenPage, peer: BringPeer) -> None:
    """
    The live region has the number once, and not every change of it; the label of the orb has its phases.
    """
    page = await open_page()
    await people(page, "you are the first one here")
    region = page.locator("[aria-live=polite]")
    await expect(region).to_have_text("you are the first one here")
    await peer()
    await people(page, "1 person breathing with you")
    await expect(region).to_have_text("you are the first one here")
    breath = "an orb that breathes with everyone: inhale 4 seconds, hold 7 seconds, exhale 8 seconds"
    await expect(page.get_by_role("img", name=breath)).to_be_visible()


async def test_stillness(browser: Browser, open_page: OpenPage, peer: BringPeer) -> None:
    """
    Who asked for reduced motion sees nothing move or grow: light only dims and brightens, and the words say
    the breath.
    """
    context = await browser.new_context(reduced_motion="reduce")
    page = await open_page(context=context)
    await peer(mood="release")
    await people(page, "1 person breathing with you")
    await page.get_by_role("button", name="gratitude").click()
    await until(lambda: page.evaluate("body.getAnimations().length > 0"))
    moved = "document.getAnimations().flatMap(({effect}) => effect.getKeyframes().flatMap(Object.keys))"
    properties = set(await page.evaluate(moved))
    assert "opacity" in properties
    assert properties.isdisjoint({"transform", "translate", "rotate", "scale", "strokeDashoffset"})
    assert await page.locator("#phase").text_content() in {"inhale", "hold", "exhale"}

    await page.emulate_media(reduced_motion="no-preference")
    await until(lambda: page.evaluate(f"{moved}.includes('transform')"))


# --- languages ---


async def test_the_browsers_language(browser: Browser, open_page: OpenPage) -> None:
    """The page speaks the browser's language and says so in its own markup."""
    context = await browser.new_context(locale="de-AT")
    page = await open_page(context=context)
    await people(page, "du bist als Erstes hier")
    await source(page, "gezählt · jetzt")
    await expect(page.locator("html")).to_have_attribute("lang", "de-AT")
    await expect(page.locator("html")).to_have_attribute("dir", "ltr")
    await page.get_by_role("button", name="dankbar").click()
    await expect(page.get_by_role("button", name="dankbar, 1")).to_have_attribute("aria-pressed", "true")
    assert await violations(page) == []


async def test_a_language_that_is_asked_for(server: ServerProcess, open_page: OpenPage) -> None:
    """``?lang=`` goes before the browser's language; one without a file leaves the browser's."""
    page = await open_page()
    await page.goto(f"{server.url}/?lang=pl")
    await people(page, "na razie nie ma tu nikogo poza tobą")
    await page.goto(f"{server.url}/?lang=..%2Fclient")
    await people(page, "you are the first one here")


async def test_one_more_language_is_one_more_file(server: ServerProcess, open_page: OpenPage) -> None:
    """
    A language that is written from right to left needs nothing but its file; the page turns round with it.
    """
    page = await open_page()

    async def answer(route: Route) -> None:
        english = (CLIENT / "words.en.js").read_text(encoding="utf-8")
        await route.fulfill(body=english.replace("'ltr'", "'rtl'"), content_type="text/javascript")

    await page.route("**/words.he.js", answer)
    await page.goto(f"{server.url}/?lang=he")
    await people(page, "you are the first one here")
    await expect(page.locator("html")).to_have_attribute("dir", "rtl")
    first, second = [
        await button.bounding_box() for button in (await page.locator("#moods button").all())[:2]
    ]
    assert first
    assert second
    assert first["x"] > second["x"]


# --- screens ---

HUGE = {
    "type": "presence",
    "room": "lobby",
    "count": 20_000,
    "low": 18_200,
    "high": 21_900,
    "method": "sampled",
    "sample_rate": 0.02,
    "epoch": 1,
    "moods": {"gratitude": 5_120, "presence": 7_204, "release": 3_110, "connection": 4_404},
    "unspoken": 162,
    "mood_intervals": {
        "gratitude": [4_200, 6_100],
        "presence": [6_000, 8_500],
        "release": [2_300, 4_000],
        "connection": [3_500, 5_400],
        "unspoken": [0, 400],
    },
    "label": "about 20,000",
    "as_of_ms": 1_767_225_600_000,
    "stale_after_ms": 30_000,
    "poll_ms": 30_000,
}


async def send_presence(page: Page, presence: dict[str, Any]) -> None:
    """Send the page this presence in place of the server's."""

    def serve(socket: WebSocketRoute) -> None:
        socket.on_message(lambda _: socket.send(json.dumps(presence)))

    await page.route_web_socket("**/socket", serve)
    await page.reload()


@pytest.mark.parametrize("lang", ["en", "de", "fr", "es", "pl"])
async def test_it_fits_a_phone(browser: Browser, open_page: OpenPage, lang: str) -> None:
    """
    With 20,000 people, in every language, all of it fits the screen of a phone, no word is cut, and every
    button is large enough for a thumb.
    """
    context = await browser.new_context(viewport=PHONE, locale=lang)
    page = await open_page(context=context)
    await send_presence(page, HUGE)
    await expect(page.locator("#people")).to_contain_text("20", timeout=10_000)
    size = await page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert size == [PHONE["width"], PHONE["height"]]
    cut = "[...document.querySelectorAll('.name, #people, #source')].filter((it) => it.scrollWidth > it.clientWidth + 1)"
    assert await page.evaluate(f"{cut}.map((it) => it.textContent)") == []
    boxes = await page.evaluate(
        "[...document.querySelectorAll('button')].map((it) => [it.offsetWidth, it.offsetHeight])"
    )
    assert all(width >= 44 and height >= 44 for width, height in boxes), boxes


async def test_a_room_of_many_moods(serve: Serve, browser: Browser, open_page: OpenPage) -> None:
    """A room may have 32 moods: each has its button, and a phone scrolls down to them, never sideways."""
    moods = [f"mood-{index}" for index in range(32)]
    server = serve("--moods", ",".join(moods))
    context = await browser.new_context(viewport=PHONE)
    page = await open_page(server.url, context=context)
    await people(page, "you are the first one here")
    await expect(page.locator("#moods button")).to_have_count(32)
    assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    await page.get_by_role("button", name="mood 31").click()
    await expect(page.get_by_role("button", name="mood 31, 1")).to_have_attribute("aria-pressed", "true")
    assert await violations(page) == []


# --- the screen that stays on ---

LOCKS = """
window.locks = [];
Object.defineProperty(navigator, 'wakeLock', {value: {request: async (kind) => {
  if (window.refuse) throw new DOMException('battery', 'NotAllowedError');
  const lock = {kind, released: false, release: async () => { lock.released = true; }};
  locks.push(lock);
  return lock;
}}});
"""
HIDE = """hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
                      document.dispatchEvent(new Event('visibilitychange')); }"""


async def test_the_screen_stays_on_while_the_button_is_pressed(open_page: OpenPage) -> None:
    """
    The screen is not kept on by default; one press takes the lock, also when the page is shown again; another
    releases it.
    """
    page = await open_page(init=LOCKS)
    await people(page, "you are the first one here")
    toggle = page.get_by_role("button", name="keep the screen on")
    await expect(toggle).to_have_attribute("aria-pressed", "false")
    assert await page.evaluate("locks") == []
    await toggle.click()
    await expect(toggle).to_have_attribute("aria-pressed", "true")
    await until(lambda: page.evaluate("locks.length === 1"))
    await page.evaluate(HIDE, True)
    await page.evaluate(HIDE, False)
    await until(lambda: page.evaluate("locks.length === 2"))
    await toggle.click()
    await expect(toggle).to_have_attribute("aria-pressed", "false")
    assert await page.evaluate("locks.map(({kind}) => kind)") == ["screen", "screen"]
    assert await page.evaluate("locks.at(-1).released")


async def test_a_screen_that_may_not_stay_on(open_page: OpenPage) -> None:
    """Where a phone refuses, the button is released; where a browser cannot, it is hidden."""
    page = await open_page(init=f"{LOCKS} window.refuse = true;")
    await people(page, "you are the first one here")
    toggle = page.get_by_role("button", name="keep the screen on")
    await toggle.click()
    await expect(toggle).to_have_attribute("aria-pressed", "false")
    cannot = await open_page(init="Object.defineProperty(navigator, 'wakeLock', {value: undefined});")
    await people(cannot, "1 person breathing with you")
    await expect(cannot.get_by_role("button", name="keep the screen on")).to_have_count(0)
