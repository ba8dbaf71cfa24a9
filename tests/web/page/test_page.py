"""The page in Chromium, with the real server."""

import asyncio
from itertools import groupby

import pytest
from playwright.async_api import Browser, expect

from chromium import BringPeer, OpenPage, Proxy, people, source, until, until_room
from harness import Serve, ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Where the breath is, and where the orb is drawn, at one instant of a clock that no page can shift.
BREATH = """import('/page.js').then(({breath}) => new Promise((resolve) => requestAnimationFrame(() => {
  const at_ms = performance.timeOrigin + performance.now();
  const {phase, positionMs: position_ms} = breath();
  const [orb] = document.getElementById('body').getAnimations();
  // A busy machine draws late: what is drawn is of the frame's time, and not of now.
  const late_ms = performance.now() - document.timeline.currentTime;
  resolve({at_ms, phase, position_ms, drawn_ms: (orb.currentTime + late_ms) % 19000});
})))"""


async def test_it_loads_clean(server: ServerProcess, browser: Browser, open_page: OpenPage) -> None:
    """
    Loading and using the page breaks no rule of its policy, logs no error, and sends requests to its server
    only.
    """
    context = await browser.new_context()
    asked: list[str] = []
    errors: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.on(
        "console", lambda line: errors.append(line.text) if line.type in {"error", "warning"} else None
    )
    page = await open_page(context=context)
    await page.goto(server.url)
    await people(page, "you are the first one here")
    await page.get_by_role("button", name="release").click()

    assert await page.title() == "Breathing Room"
    assert errors == []
    assert await page.evaluate("violations") == []
    assert {url.removeprefix(server.url) for url in asked} >= {"/", "/page.js", "/client.js", "/style.css"}
    assert [url for url in asked if not url.startswith(f"{server.url}/")] == []


async def test_alone_and_together(open_page: OpenPage, peer: BringPeer) -> None:
    """Alone it says so; with another it says how many; and alone again when the other leaves."""
    page = await open_page()
    await people(page, "you are the first one here")
    await source(page, "counted · now")

    other = await peer()
    await people(page, "1 person breathing with you")

    await other.close()
    await people(page, "you are the first one here")


async def test_who_broke_off_is_named_in_the_quiet_line(
    serve: Serve, open_page: OpenPage, peer: BringPeer
) -> None:
    """
    While a visitor whose connection was lost is suspect, the count includes it and the line below says so.
    """
    server = serve("--grace-ms", "6000")
    page = await open_page(server.url)
    other = await peer(server=server)
    await people(page, "1 person breathing with you")

    other.socket.transport.abort()
    await source(page, "counted · 1 fell silent · now")
    assert await page.locator("#people").text_content() == "1 person breathing with you"
    await people(page, "you are the first one here", within_s=20)


async def test_rooms_are_apart(
    server: ServerProcess, room_name: str, browser: Browser, open_page: OpenPage
) -> None:
    """The room is named in the address, and its people are its own."""
    page = await open_page()
    elsewhere = await browser.new_page()
    await elsewhere.goto(f"{server.url}/?room={room_name}-2")
    await people(elsewhere, "you are the first one here")
    await people(page, "you are the first one here")
    assert await elsewhere.title() == f"Breathing Room · {room_name}-2"
    await elsewhere.close()


async def test_the_default_room_is_the_servers(serve: Serve, browser: Browser) -> None:
    """
    U2: the page without ``?room=`` is that of the server's default room, also where there is no other, at no
    further round trip.
    """
    server = serve("--default-room", "evening", "--open-rooms", "false")
    context = await browser.new_context()
    page = await context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(server.url)))
    page.on("websocket", lambda socket: asked.append(socket.url.removeprefix(server.websocket_url)))
    await page.goto(server.url)
    await people(page, "you are the first one here")
    assert await page.title() == "Breathing Room"
    assert [path for path in asked if path.startswith("/v1")] == [
        "/v1/rooms/_default/config",
        "/v1/rooms/evening/socket",
    ]

    named = await context.new_page()
    await named.goto(f"{server.url}/?room=evening")
    await people(named, "you are the first one here")
    await page.get_by_role("button", name="release").click()
    await expect(named.get_by_role("button", name="release")).to_have_attribute("aria-pressed", "true")
    await page.reload()
    await expect(page.get_by_role("button", name="release")).to_have_attribute("aria-pressed", "true")
    await context.close()


async def test_a_room_that_cannot_be(server: ServerProcess, open_page: OpenPage) -> None:
    """A name that is no room's is said to be so, and not asked for again and again."""
    page = await open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "No%20Room/" in request.url else None)
    await page.clock.install()
    await page.goto(f"{server.url}/?room=No%20Room")
    await source(page, "there can be no room of this name")
    await people(page, "looking for the others")
    await page.clock.run_for(120_000)
    assert len(asked) == 1


# --- one browser, one person ---


async def test_tabs_and_reloads_are_one_person(
    browser: Browser, open_page: OpenPage, peer: BringPeer
) -> None:
    """Two tabs and ten reloads of one browser are one person, at every moment."""
    observer = await peer(observe=True)
    context = await browser.new_context()
    first = await open_page(context=context)
    await observer.until_count(1)
    began = len(observer.heard)
    second = await open_page(context=context)
    await people(second, "you are the first one here")
    for page in (first, second) * 5:
        await page.reload()
        await people(page, "you are the first one here")

    late = await peer(observe=True)
    assert late.counts == [1]
    assert set(observer.counts[began:]) <= {1}


async def test_reloading_the_only_tab(open_page: OpenPage, peer: BringPeer) -> None:
    """A reload never counts a visitor twice, and keeps the mood."""
    observer = await peer(observe=True)
    page = await open_page()
    await page.get_by_role("button", name="gratitude").click()
    await observer.until(lambda presence: presence["moods"]["gratitude"] == 1)
    for _ in range(5):
        await page.reload()
        await people(page, "you are the first one here")
    await observer.until(lambda presence: presence["moods"]["gratitude"] == 1)
    assert max(count for count in observer.counts if count is not None) == 1
    await expect(page.get_by_role("button", name="gratitude")).to_have_attribute("aria-pressed", "true")


async def test_tabs_opened_in_the_same_instant(
    browser: Browser, open_page: OpenPage, peer: BringPeer
) -> None:
    """Tabs that start together, as when a browser is restored, agree on who they are."""
    context = await browser.new_context()
    await asyncio.gather(*(open_page(context=context) for _ in range(4)))
    observer = await peer(observe=True)
    await observer.until_count(1)


async def test_two_browsers_are_two_people(open_page: OpenPage) -> None:
    """Another browser is another person."""
    first, second = await open_page(), await open_page()
    await people(first, "1 person breathing with you")
    await people(second, "1 person breathing with you")


async def test_without_storage(open_page: OpenPage, peer: BringPeer) -> None:
    """Where storage is blocked the page works, and a reload is still never two people."""
    observer = await peer(observe=True)
    blocked = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }});"
    page = await open_page(init=blocked)
    for _ in range(5):
        await people(page, "you are the first one here")
        await page.get_by_role("button", name="release").click()
        await page.reload()
    await people(page, "you are the first one here")
    assert max(count for count in observer.counts if count is not None) == 1


async def test_closing_the_page_leaves(browser: Browser, open_page: OpenPage, peer: BringPeer) -> None:
    """
    Who closes the last page is gone long before the grace of a broken connection is over, and not before.
    """
    observer = await peer(observe=True)
    context = await browser.new_context()
    first, second = await open_page(context=context), await open_page(context=context)
    await people(second, "you are the first one here")
    await first.close()
    await people(second, "you are the first one here")
    await second.close()
    await observer.until_count(0)
    assert [count for count, _ in groupby(observer.counts)] == [0, 1, 0]


async def test_back_from_the_back_button(open_page: OpenPage, peer: BringPeer) -> None:
    """A page that the browser puts aside leaves; one that it brings back is there again."""
    observer = await peer(observe=True)
    page = await open_page()
    await observer.until_count(1)
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    await observer.until_count(0)
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    await observer.until_count(1)
    await people(page, "you are the first one here")


# --- moods ---


async def test_a_mood_moves_one_person(open_page: OpenPage, peer: BringPeer) -> None:
    """Each press moves exactly one person in one go; pressing again takes the mood back."""
    await peer(mood="release")
    observer = await peer(observe=True)
    page = await open_page()
    await observer.until_count(2)
    began = len(observer.heard)

    async def press(mood: str, **expected: int) -> None:
        button = page.get_by_role("button", name=mood)
        await button.click()
        await observer.until(
            lambda presence: (
                {**presence["moods"], "unspoken": presence["unspoken"]}
                == {"gratitude": 0, "presence": 0, "release": 1, "connection": 0, "unspoken": 0, **expected}
            )
        )
        await expect(button).to_have_attribute("aria-pressed", str(expected.get(mood, 0) > 0).lower())

    await press("gratitude", gratitude=1)
    await press("connection", connection=1)
    await press("connection", unspoken=1)
    for presence in observer.heard[began:]:
        assert sum(presence["moods"].values()) + presence["unspoken"] == presence["count"] == 2
    assert len(observer.heard) == began + 3


async def test_the_other_tab_follows(browser: Browser, open_page: OpenPage) -> None:
    """A mood chosen in one tab is chosen in all."""
    context = await browser.new_context()
    first, second = await open_page(context=context), await open_page(context=context)
    await people(first, "you are the first one here")
    await first.get_by_role("button", name="presence").click()
    await expect(second.get_by_role("button", name="presence, 1")).to_have_attribute("aria-pressed", "true")


# --- when the server goes ---


async def test_a_restart_is_no_exodus(serve: Serve, open_page: OpenPage) -> None:
    """
    Server killed and started again: the page never says 0 or "first", says that the number is the last known,
    and is live again.
    """
    flags = ("--stale-after-ms", "1000", "--presence-max-age-s", "1", "--snapshot-ms", "100")
    server = serve(*flags)
    page, other = await open_page(server.url), await open_page(server.url)
    await people(page, "1 person breathing with you")
    await people(other, "1 person breathing with you")
    await page.evaluate("said.length = 0")
    await asyncio.sleep(0.3)  # What is not in a snapshot yet may be lost; this is not about that.

    server.kill()
    await source(page, "last known · a moment ago · connecting")
    await people(page, "1 person breathing with you")
    again = serve(*flags, port=server.port, data=server.data)
    assert again.url == server.url
    await source(page, "counted · now", within_s=20)
    await source(other, "counted · now", within_s=20)
    await people(page, "1 person breathing with you")

    said = await page.evaluate("said")
    states = [line.partition(" | ")[0] for line in said]
    assert set(states) <= {"live", "stale"}
    assert states[-1] == "live"
    assert all("| 1 person breathing with you |" in line for line in said), said


async def test_a_server_that_is_gone_for_20_s(proxy: Proxy, open_page: OpenPage, peer: BringPeer) -> None:
    """
    For 20 s the page says quietly that its number is from before and that it tries to connect; it never shows
    another number, and in the end it is live again.
    """
    page = await open_page(proxy.url)
    await peer()
    await people(page, "1 person breathing with you")
    await page.evaluate("said.length = 0")
    proxy.refused = (b"http/1.1",)
    proxy.sever()
    await source(page, "counted · a moment ago · connecting")
    await asyncio.sleep(20)
    await expect(page.locator("#source")).to_contain_text(" · a moment ago · connecting")
    proxy.refused = ()
    await source(page, "counted · now", within_s=60)
    said = await page.evaluate("said")
    assert {line.partition(" | ")[0] for line in said} <= {"stale", "live"}
    assert all("| 1 person breathing with you |" in line for line in said), said


# --- the breath ---


def apart_ms(one_ms: float, other_ms: float) -> float:
    """Return how far two places in the breath are from each other."""
    return abs((one_ms - other_ms + 9_500) % 19_000 - 9_500)


async def test_far_clocks_breathe_together(open_page: OpenPage) -> None:
    """Two browsers whose clocks are 40 s apart draw the same breath within 50 ms, and it is the server's."""
    shifted = """
      const RealDate = Date;
      window.Date = class extends RealDate {
        constructor(...given) { given.length ? super(...given) : super(RealDate.now() + 40_000); }
        static now() { return RealDate.now() + 40_000; }
      };"""
    near, far = await open_page(moves=True), await open_page(init=shifted, moves=True)
    for page in (near, far):
        await people(page, "1 person breathing with you")
    await until_room(far, "room.clockOffsetMs < -39_000")
    await asyncio.sleep(5)  # The five requests for the time take 3 s; the fastest round trip counts.
    assert await far.evaluate("Date.now() - performance.timeOrigin - performance.now()") > 39_000
    moments = [await page.evaluate(BREATH) for page in (near, far)]

    # Each place in the breath, taken back to one instant.
    first, second = (moment["position_ms"] - moment["at_ms"] for moment in moments)
    assert apart_ms(first, second) < 50
    for moment in moments:
        assert apart_ms(moment["drawn_ms"], moment["position_ms"]) < 50
        assert apart_ms(moment["position_ms"], moment["at_ms"]) < 50  # the server's clock is this machine's


async def test_nothing_runs_unseen(open_page: OpenPage) -> None:
    """
    While the page is hidden nothing is animated; shown again it is at once in step with the server's time.
    """
    page = await open_page(moves=True)
    await people(page, "you are the first one here")
    await until(lambda: page.evaluate("document.getElementById('body').getAnimations().length > 0"))
    hide = """hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
                          document.dispatchEvent(new Event('visibilitychange')); }"""
    await page.evaluate(hide, True)
    endless = (
        "document.getAnimations().filter(({effect}) => effect.getTiming().iterations === Infinity).length"
    )
    assert await page.evaluate(endless) == 0
    await page.evaluate(hide, False)
    moment = await page.evaluate(BREATH)
    assert apart_ms(moment["drawn_ms"], moment["position_ms"]) < 50
