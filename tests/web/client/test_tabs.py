"""The tabs of one browser: one person and one connection, while tabs open, close, crash and sleep."""

import asyncio
import contextlib
import functools
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Error, Page, expect

from chromium import BringPeer, OpenPage, Proxy, people, room, until
from devtools import chromium
from harness import Serve, ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALONE = "you are the first one here"

# Whether a page holds the connection.
LEADS = """window.leads = false;
  window.WebSocket = class extends WebSocket { constructor(address) { super(address); window.leads = true; } };"""
HAS_SOCKET = "import('/page.js').then(({room}) => room.transport === 'socket')"

HIDE = """hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
                      document.dispatchEvent(new Event('visibilitychange')); }"""


def sockets(proxy: Proxy) -> int:
    """How many were ever opened."""
    return sum(b"upgrade: websocket" in head for head in proxy.heads)


def has_opened(proxy: Proxy, count: int) -> bool:
    """Whether so many sockets were ever opened."""
    return sockets(proxy) == count


async def tabs(open_page: OpenPage, proxy: Proxy, context: BrowserContext, count: int) -> list[Page]:
    """Open tabs one after the other; each knows that it is alone in the room."""
    pages = []
    for _ in range(count):
        pages.append(await open_page(proxy.url, context=context))
        await people(pages[-1], ALONE)
    return pages


async def test_one_connection(browser: Browser, proxy: Proxy, open_page: OpenPage, peer: BringPeer) -> None:
    """
    Four tabs have one socket; every tab gets its presences and the server's time, and can change the mood of
    all.
    """
    context = await browser.new_context()
    pages = await tabs(open_page, proxy, context, 4)
    observer = await peer(observe=True)
    assert sockets(proxy) == 1
    other = await peer()
    for page in pages:
        await people(page, "1 person breathing with you")
        assert await room(page, "[room.transport, room.state, room.ageMs]") == ["socket", "live", 0]
    await other.close()

    async def agree() -> bool:
        return len({await room(page, "room.clockOffsetMs") for page in pages}) == 1

    await until(agree)
    for page in (pages[3], pages[0]):
        await page.get_by_role("button", name="release").click()
        await observer.until(lambda presence: presence["moods"]["release"] == 1)
        for each in pages:
            await expect(each.get_by_role("button", name="release")).to_have_attribute("aria-pressed", "true")
        await page.get_by_role("button", name="release").click()
        await observer.until(lambda presence: presence["unspoken"] == 1)
    assert sockets(proxy) == 1


async def test_one_person_throughout(proxy: Proxy, room_name: str, peer: BringPeer, tmp_path: Path) -> None:
    """
    Two tabs, five reloads, one really put to sleep by the browser and woken, then the other, one closed: one
    person. The last one closed: none within 2 s.
    """
    observer = await peer(observe=True)
    url, is_alone = f"{proxy.url}/?room={room_name}", f"people.textContent === '{ALONE}'"
    async with chromium(tmp_path) as browser:
        first, second = await browser.tab(url, init=LEADS), await browser.tab(url, init=LEADS)
        for tab in (first, second):
            await tab.until(is_alone)
        began = len(observer.heard)

        for _ in range(4):
            leading = first if await first.evaluate("leads") else second
            await leading.reload()
            await leading.until(is_alone)
        leading, following = (first, second) if await first.evaluate("leads") else (second, first)

        async def is_gone(mood: str) -> None:
            """Wait until the leave of the other tab was sent, which is ignored while there is a socket, and a
            mood after it was received.
            """
            await until(lambda: any(head.startswith(b"post") and b"/leave " in head for head in proxy.heads))
            proxy.heads.clear()
            await leading.evaluate(f"import('/page.js').then(({{room}}) => room.setMood('{mood}'))")
            await observer.until(lambda presence: presence["moods"][mood] == 1)

        await following.reload()
        await following.until(is_alone)
        await is_gone("gratitude")
        for tab in (first, second):
            await tab.evaluate("window.ticks = 0; setInterval(() => ticks++, 50)")
        await browser.tab("about:blank")  # Only a hidden tab can be frozen.
        for sleeper in (leading, following):  # each leads then, and the other takes over
            opened = sockets(proxy)
            await sleeper.sleep(asleep=True)
            ticks = await sleeper.evaluate("ticks")
            await until(functools.partial(has_opened, proxy, opened + 1))
            await asyncio.sleep(1)
            assert await sleeper.evaluate("ticks") == ticks
            await sleeper.sleep(asleep=False)
            await sleeper.until(f"ticks > {ticks} && {is_alone}")
            await sleeper.until(HAS_SOCKET)
        await following.close()
        await is_gone("release")
        await leading.sleep(asleep=True)
        await asyncio.sleep(1)
        await leading.sleep(asleep=False)
        await leading.until(HAS_SOCKET)
        assert set(observer.counts[began:]) <= {1}
        await leading.close()
        await observer.until_count(0)


async def test_the_next_tab_takes_over(
    browser: Browser, proxy: Proxy, open_page: OpenPage, peer: BringPeer
) -> None:
    """
    When the leading tab closes, crashes or navigates away, another connects at once, and the person is never
    counted out.
    """
    observer = await peer(observe=True)
    first, second, third, fourth = await tabs(open_page, proxy, await browser.new_context(), 4)
    began = len(observer.heard)
    await first.close()
    await until(lambda: sockets(proxy) == 2)
    heard: list[str] = []
    third.on("websocket", lambda socket: socket.on("framereceived", lambda text: heard.append(str(text))))
    with contextlib.suppress(Error):
        await second.goto("chrome://crash")
    await until(lambda: sockets(proxy) == 3)
    # A tab that goes before it is counted sends a leave, since all of them may have closed: the visitor is
    # gone until the next tab joins.
    await until(lambda: any('"presence"' in text for text in heard))
    await third.goto("about:blank")
    await until(lambda: sockets(proxy) == 4)
    other = await peer()
    await people(fourth, "1 person breathing with you")
    await other.close()
    await people(fourth, ALONE)
    assert set(observer.counts[began:]) <= {1, 2}
    assert await fourth.evaluate("said.every((line) => !line.startsWith('stale'))")


async def test_a_duplicate_is_the_same_person(
    browser: Browser, proxy: Proxy, open_page: OpenPage, peer: BringPeer
) -> None:
    """
    A duplicated tab, which starts with a copy of all that the first one kept for itself, is no second person.
    """
    observer = await peer(observe=True)
    context = await browser.new_context()
    (page,) = await tabs(open_page, proxy, context, 1)
    async with context.expect_page() as opened:
        await page.evaluate("window.open(location.href)")
    duplicate = await opened.value
    await people(duplicate, ALONE)
    assert max(count for count in observer.counts if count is not None) == 1


async def test_all_tabs_close_in_one_instant(
    serve: Serve, browser: Browser, proxy: Proxy, open_page: OpenPage, peer: BringPeer
) -> None:
    """
    When a browser with several tabs is closed the person is gone: at once, or where no tab could know that it
    was the last, after grace_ms.
    """
    server = serve("--grace-ms", "1500")
    proxy.port = server.port
    observer = await peer(observe=True, server=server)
    pages = await tabs(open_page, proxy, await browser.new_context(), 3)
    await observer.until_count(1)
    await asyncio.gather(*(page.close() for page in pages))
    await observer.until_count(0)


async def test_without_locks(browser: Browser, proxy: Proxy, open_page: OpenPage, peer: BringPeer) -> None:
    """
    On a page without TLS there are no locks: every tab connects for itself, and they still are one person.
    """
    observer = await peer(observe=True)
    context = await browser.new_context()
    unlocked = "Object.defineProperty(navigator, 'locks', {value: undefined});"
    opening = (open_page(proxy.url, context=context, init=unlocked) for _ in range(2))
    first, second = await asyncio.gather(*opening)
    for page in (first, second):
        await people(page, ALONE)
    assert sockets(proxy) >= 2
    await first.get_by_role("button", name="release").click()
    await expect(second.get_by_role("button", name="release")).to_have_attribute("aria-pressed", "true")
    began = len(observer.heard)
    await first.close()
    await people(second, ALONE)
    assert set(observer.counts[began:]) <= {1}
    await second.close()
    await observer.until_count(0)


async def test_a_polled_room(serve: Serve, browser: Browser, proxy: Proxy, open_page: OpenPage) -> None:
    """
    Of three tabs in a polled room one polls and reports; when it closes the next one does, without a leave in
    between.
    """
    server = serve("--mode", "poll", "--poll-ms", "1000", "--presence-max-age-s", "0")
    proxy.port = server.port
    pages = await tabs(open_page, proxy, await browser.new_context(), 3)

    def sent(method: bytes, end: bytes = b"") -> int:
        return sum(
            head.startswith(method + b" /v1/rooms/room-") and end + b" http" in head for head in proxy.heads
        )

    def has_reported(times: int) -> bool:
        return sent(b"post", b"/heartbeat") == times

    assert (sent(b"post", b"/heartbeat"), sent(b"post", b"/leave")) == (1, 0)
    reads = sent(b"get")
    await asyncio.sleep(3)
    assert sent(b"get") - reads <= 4
    for page, heartbeats in ((pages[0], 2), (pages[1], 3)):
        await page.goto("about:blank")
        await until(functools.partial(has_reported, heartbeats))
        await asyncio.sleep(
            1
        )  # It is answered: before, two tabs that go are taken for a browser that closes.
        assert sent(b"post", b"/leave") == 0
    await pages[2].goto("about:blank")
    await until(lambda: sent(b"post", b"/leave") == 1)


# --- which pages are counted ---

JOIN = """([url, options]) => import(`${url}/client.js`).then(({join}) => { window.room = join(url, options); })"""


async def test_a_hidden_page(
    server: ServerProcess, room_name: str, browser: Browser, peer: BringPeer
) -> None:
    """A hidden page stays by default; with `hiddenMs` it leaves after that, and is back when it is shown."""
    observer = await peer(observe=True)
    page = await browser.new_page()
    await page.goto(f"{server.url}/healthz")
    for hidden_ms in (None, 600):
        options = {"room": room_name} | ({"hiddenMs": hidden_ms} if hidden_ms else {})
        await page.evaluate(JOIN, [server.url, options])
        await observer.until_count(1)
        await page.evaluate(HIDE, True)
        await asyncio.sleep(1)
        if hidden_ms:
            await observer.until_count(0)
        else:
            assert observer.counts[-1] == 1
        await page.evaluate(HIDE, False)
        await observer.until_count(1)
        await page.evaluate("room.leave()")
        await observer.until_count(0)
    await page.close()


async def test_a_prerendered_page_is_not_counted(open_page: OpenPage, peer: BringPeer) -> None:
    """A page that the browser prerendered is counted once it is shown."""
    observer = await peer(observe=True)
    page = await open_page(
        init="Object.defineProperty(document, 'prerendering', {value: true, configurable: true});"
    )
    await asyncio.sleep(1)
    assert observer.counts == [0]
    await page.evaluate("""Object.defineProperty(document, 'prerendering', {value: false});
                           document.dispatchEvent(new Event('prerenderingchange'));""")
    await observer.until_count(1)


async def test_a_bot_is_not_counted(browser: Browser, open_page: OpenPage, peer: BringPeer) -> None:
    """A crawler that says what it is sees the room and is not counted; a phone called Cubot is."""
    await peer()
    observer = await peer(observe=True)
    crawler = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/130.0.0.0 Safari/537.36"
    page = await open_page(context=await browser.new_context(user_agent=crawler))
    await people(page, "1 person is here")
    assert await page.evaluate("localStorage.length") == 0
    assert observer.counts[-1] == 1
    phone = (
        "Mozilla/5.0 (Linux; Android 13; CUBOT P80) AppleWebKit/537.36 Chrome/130.0.0.0 Mobile Safari/537.36"
    )
    await open_page(context=await browser.new_context(user_agent=phone))
    await observer.until_count(2)


async def test_nothing_is_stored(
    server: ServerProcess, room_name: str, browser: Browser, peer: BringPeer
) -> None:
    """With `storage: false` a page stores nothing in the browser, and is a visitor of its own."""
    observer = await peer(observe=True)
    context = await browser.new_context()
    for count in (1, 2):
        page = await context.new_page()
        await page.goto(f"{server.url}/healthz")
        await page.evaluate(JOIN, [server.url, {"room": room_name, "storage": False}])
        await observer.until_count(count)
        assert await page.evaluate("localStorage.length + sessionStorage.length") == 0
    await context.close()
