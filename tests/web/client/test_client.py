"""The browser client: how it connects, reconnects, falls back to polling and stops."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, WebSocketRoute, expect

from chromium import BringPeer, OpenPage, Proxy, people, room, source, until, until_room
from harness import Serve, ServerProcess
from nginx_process import start_nginx

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONFIG = {
    "room": "lobby",
    "moods": ["gratitude", "release"],
    "breath": {"phases": [["inhale", 5500], ["exhale", 5500]]},
    "ping_ms": 20_000,
    "heartbeat_ms": 30_000,
    "poll_ms": 30_000,
    "lease_ms": 60_000,
}
PRESENCE = {
    "room": "lobby",
    "count": 7,
    "low": 7,
    "high": 7,
    "method": "counted",
    "moods": {"gratitude": 3, "release": 3},
    "unspoken": 1,
    "label": "7",
    "as_of_ms": 0,
    "stale_after_ms": 5_000,
    "poll_ms": 30_000,
}


# --- where sockets do not open ---


async def test_without_sockets(browser: Browser, proxy: Proxy, open_page: OpenPage, peer: BringPeer) -> None:
    """
    Behind a proxy that refuses WebSockets, reports and polls do: counted right, moods and leaves included;
    the page says how old the number is.
    """
    proxy.refused = (b"upgrade: websocket",)
    observer = await peer(observe=True)
    context = await browser.new_context()
    page = await open_page(proxy.url, context=context)
    await until_room(page, "room.transport === 'polling'")
    await observer.until_count(1)
    await expect(page.locator("#people")).to_have_text("you are the first one here")
    await expect(page.locator("#source")).to_have_text("counted · a moment ago")
    assert await room(page, "room.state") == "live"
    assert abs(await room(page, "room.clockOffsetMs")) < 500  # half of one round trip on a busy machine

    other = await peer()
    # A poll comes every 5 s, and a cache may answer it for as long.
    await people(page, "1 person breathing with you", within_s=20)
    await other.close()

    await page.get_by_role("button", name="release").click()
    await observer.until(lambda presence: presence["count"] == presence["moods"]["release"] == 1)

    # Another tab is the same person, and stays when the first one goes.
    second = await open_page(proxy.url, context=context)
    await until_room(second, "room.transport === 'polling'")
    began = len(observer.heard)
    await page.close()
    await expect(second.locator("#people")).to_have_text("you are the first one here")
    assert 2 not in observer.counts[began:]
    await observer.until_count(1)
    await second.close()
    await observer.until_count(0)


async def test_behind_an_nginx_that_knows_no_sockets(
    server: ServerProcess, open_page: OpenPage, peer: BringPeer, tmp_path: Path
) -> None:
    """
    Through a real nginx that passes no upgrade on, two people are two, and a page that closes is gone at
    once.
    """
    observer = await peer(observe=True)
    with start_nginx(tmp_path, server.port, sockets=False) as nginx:
        first, second = await open_page(nginx.url), await open_page(nginx.url)
        # The cache of this nginx answers with the copy before while it fetches the next: what is new is seen
        # at the second poll after it, and a poll that the browser's own cache answers is none.
        for page in (first, second):
            await people(page, "1 person breathing with you", within_s=40)
            await until_room(page, "room.transport === 'polling'")
        await first.close()
        await observer.until_count(1)
        await people(second, "you are the first one here", within_s=40)
        await second.close()
        await observer.until_count(0)


async def test_a_slow_network(open_page: OpenPage, peer: BringPeer) -> None:
    """With 50 KB a second and half a second to the server the page is slow to load, and counts right."""
    observer = await peer(observe=True)
    page = await open_page()
    session = await page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 500, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
    await session.send("Network.emulateNetworkConditions", slow)
    await page.reload()
    await people(page, "you are the first one here", within_s=30)
    await page.get_by_role("button", name="release").click()
    await observer.until(lambda presence: presence["moods"]["release"] == 1)
    assert max(count for count in observer.counts if count is not None) == 1


async def test_back_to_sockets(proxy: Proxy, open_page: OpenPage) -> None:
    """When the connection has to be opened again, a socket is tried."""
    proxy.refused = (b"upgrade: websocket",)
    page = await open_page(proxy.url)
    await until_room(page, "room.transport === 'polling'")
    proxy.refused = (b"http/1.1",)
    await until_room(page, "room.transport === null")
    proxy.refused = ()
    await until_room(page, "room.transport === 'socket'", within_s=40)  # the backoff may have grown


# --- when the connection dies ---


async def test_a_dead_connection(proxy: Proxy, open_page: OpenPage) -> None:
    """
    A connection over which no answer to a ping comes is closed, and another one opened; the number stays.
    """
    page = await open_page(proxy.url)
    await until_room(page, "room.transport === 'socket'")
    await page.clock.install()
    await page.reload()
    await until_room(page, "room.transport === 'socket'")
    proxy.frozen = True
    await page.clock.run_for(35_000)
    await until_room(page, "room.transport === null")
    await expect(page.locator("#people")).not_to_have_text("looking for the others")
    await page.clock.run_for(60_000)
    assert await room(page, "room.state") == "stale"
    await expect(page.locator("#source")).to_contain_text("last known · ")
    await expect(page.locator("#people")).to_have_text("you are here")
    proxy.frozen = False
    proxy.sever()

    async def live() -> bool:
        await page.clock.run_for(1_000)
        return bool(await room(page, "room.state === 'live'"))

    await until(live)


async def test_offline_for_a_minute(
    browser: Browser, proxy: Proxy, open_page: OpenPage, peer: BringPeer
) -> None:
    """
    Offline, the page keeps what it knew and says how old that is; online again, it is back at once and still
    one person.
    """
    observer = await peer(observe=True)
    context = await browser.new_context()
    page = await open_page(proxy.url, context=context)
    await page.clock.install()
    await page.reload()
    await people(page, "you are the first one here")
    proxy.refused = (b"http/1.1",)  # Chromium's own offline lets sockets through.
    await context.set_offline(True)
    await source(page, "counted · a moment ago · connecting")
    await people(page, "you are the first one here")
    await page.clock.run_for(62_000)
    await source(page, "last known · a minute ago · connecting")
    await people(page, "you are here")
    proxy.refused = ()
    await context.set_offline(False)
    await until_room(page, "room.transport === 'socket'", within_s=10)
    await source(page, "counted · now")
    await people(page, "you are the first one here")
    assert set(observer.counts) == {0, 1}
    assert observer.counts[-1] == 1


# --- what the server says when it closes ---


class Room:
    """A room that is simulated inside the browser, for messages that a
    real server does not send on demand.
    """

    def __init__(self) -> None:
        self.joined_at_s: list[float] = []
        self.sockets: list[WebSocketRoute] = []
        self.received: list[dict[str, Any]] = []
        self.refusal: dict[str, Any] | None = None

    async def install(self, page: Page) -> None:
        async def config(route: Route) -> None:
            await route.fulfill(json=CONFIG)

        await page.route("**/config", config)
        await page.route_web_socket("**/socket", self.accept)

    def accept(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)

        def on_message(text: str | bytes) -> None:
            message = json.loads(text)
            self.received.append(message)
            if message["type"] == "join":
                self.joined_at_s.append(time.monotonic())
                refused = self.refusal and self.refusal["to"] == message.get("mood")
                error = {"type": "error", "error": self.refusal}
                socket.send(json.dumps(error if refused else {"type": "presence", **PRESENCE}))
            elif message["type"] == "time":
                socket.send(json.dumps({**message, "now_ms": round(time.time() * 1_000)}))

        socket.on_message(on_message)

    async def joins(self, count: int, *, within_s: float = 5) -> None:
        await until(lambda: len(self.joined_at_s) >= count, within_s=within_s)


@pytest_asyncio.fixture(loop_scope="session")
async def made_up(browser: Browser, server: ServerProcess) -> AsyncIterator[tuple[Room, Page]]:
    """A page in a made-up room, joined."""
    made_up = Room()
    page = await browser.new_page()
    await made_up.install(page)
    await page.add_init_script("window.errors = []")
    await page.goto(server.url)
    await room(page, "room.addEventListener('error', ({detail}) => window.errors.push(detail))")
    await made_up.joins(1)
    yield made_up, page
    await page.close()


@pytest.mark.parametrize(
    ("code", "reason", "least_s", "most_s"),
    [
        (1012, '{"retry_ms": 700}', 0.7, 1.5),
        (4003, '{"retry_ms": 700}', 0.7, 1.5),
        (1012, "not json", 0, 1.8),
        (4000, "", 0, 1.8),
        (1011, "", 0, 1.8),
    ],
)
async def test_it_reconnects(
    made_up: tuple[Room, Page], code: int, reason: str, least_s: float, most_s: float
) -> None:
    """It reconnects after the wait of the server, or after a random time of at most a second."""
    here, page = made_up
    closed_at_s = time.monotonic()
    await here.sockets[-1].close(code=code, reason=reason)
    await here.joins(2)
    assert least_s <= here.joined_at_s[1] - closed_at_s <= most_s
    assert await page.evaluate("errors") == []


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1009, 4500, 4501, 4999])
async def test_it_stops(made_up: tuple[Room, Page], code: int) -> None:
    """
    After a final close code it does not reconnect; an error event says why, and the number becomes stale.
    """
    here, page = made_up
    await page.clock.install()
    await here.sockets[-1].close(code=code)
    await until_room(page, "window.errors.length === 1")
    assert (await page.evaluate("errors"))[0]["code"] == f"closed_{code}"
    await page.clock.run_for(120_000)
    assert len(here.joined_at_s) == 1
    assert await room(page, "[room.state, room.presence.count]") == ["stale", 7]


async def test_a_crowd_comes_back_spread_out(
    made_up: tuple[Room, Page], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    200 clients that each get a wait of their own reconnect after it, not before, and so are spread as the
    server wanted.
    """
    here, page = made_up
    crowd, step_ms, spread_ms = 200, 250, 4_000
    rng = Random(7)
    await page.clock.install()
    await page.evaluate(
        """(crowd) => import('/client.js').then(({join}) => {
             const visitor = (index) => `visitor-${String(index).padStart(16, '0')}`;
             window.crowd = [...Array(crowd).keys()].map((index) => join('/', {visitor: visitor(index)}));
           })""",
        crowd,
    )
    await here.joins(crowd + 1, within_s=30)
    # Some time ahead: until the order arrives the clock goes on, and it never goes back.
    await page.clock.pause_at(await page.evaluate("Date.now() + 5_000") / 1_000)
    waits_ms = [rng.randrange(spread_ms) for _ in range(crowd)]
    for socket, retry_ms in zip(here.sockets[1:], waits_ms, strict=True):
        await socket.close(code=1012, reason=json.dumps({"retry_ms": retry_ms}))
    await until(lambda: page.evaluate("crowd.every(({transport}) => transport === null)"))

    # The page's own room may reconnect too: while the clock leaps no ping of it is answered.
    def came() -> int:
        return sum(
            message["type"] == "join" and message["visitor"].startswith("visitor-")
            for message in here.received
        )

    async def back_are(count: int) -> None:
        await until(lambda: came() >= count)

    joined = came()
    back: list[int] = []
    for at_ms in range(step_ms, spread_ms + 1, step_ms):
        await page.clock.run_for(step_ms)
        due = sum(retry_ms <= at_ms for retry_ms in waits_ms)
        await back_are(joined + due)
        assert came() == joined + due
        back.append(due - sum(back))
    with capsys.disabled():
        print("\nclients back in each quarter of a second:", *back)  # noqa: T201 - the figures are what people ask for
    assert sum(back) == crowd


# Many clients in one page; records the wait that each was given, and how long each was away.
CROWD = """([url, room, size]) => {
  window.waits = [];
  window.away = [];
  window.WebSocket = class extends WebSocket {
    constructor(address) {
      super(address);
      this.addEventListener('close', ({reason}) => waits.push(JSON.parse(reason).retry_ms));
    }
  };
  return import(`${url}/client.js`).then(({join}) => {
    window.crowd = [...Array(size).keys()].map((index) => join(url, {room, visitor: `visitor-${index}-of-a-crowd`}));
    for (const room of crowd) {
      let lostAtMs = null;
      room.addEventListener('state', () => {
        if (!room.transport) lostAtMs = performance.now();
        else if (lostAtMs !== null) away.push(performance.now() - lostAtMs);
      });
    }
  });
}"""


async def test_a_crowd_comes_back_from_a_real_server(
    serve: Serve,
    proxy: Proxy,
    room_name: str,
    browser: Browser,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    When a server stops and another takes its place, 200 clients reconnect spread over the time that it gave,
    none before its wait is over, and all are counted.
    """
    crowd, reconnect_spread_ms, step_ms = 200, 4_000, 500
    before = serve("--reconnect-spread-ms", str(reconnect_spread_ms))
    after = serve(data=tmp_path / "after.db")
    proxy.port = before.port
    page = await browser.new_page()
    await page.goto(f"{proxy.url}/healthz")
    await page.evaluate(CROWD, [proxy.url, room_name, crowd])
    await until(
        lambda: page.evaluate("crowd.every(({presence}) => presence?.count === crowd.length)"), within_s=60
    )
    proxy.port = after.port
    before.stop()
    await until(lambda: page.evaluate("away.length === crowd.length"), within_s=60)
    waits, away = sorted(await page.evaluate("waits")), sorted(await page.evaluate("away"))
    back = Counter(int(ms // step_ms) for ms in away)
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what people ask for
            f"\nclients back in each half second of {reconnect_spread_ms / 1_000:g} s:",
            *(back[step] for step in range(max(back) + 1)),
        )
    assert len(waits) == crowd
    assert (
        waits[0] < reconnect_spread_ms / 10 < 9 * reconnect_spread_ms / 10 < waits[-1] <= reconnect_spread_ms
    )
    # A timer may be a millisecond early by another clock.
    assert all(ms >= retry_ms - 2 for retry_ms, ms in zip(waits, away, strict=True))
    await until(
        lambda: page.evaluate("crowd.every(({presence}) => presence.count === crowd.length)"), within_s=60
    )
    await page.close()


async def test_backoff_grows_and_is_random(made_up: tuple[Room, Page]) -> None:
    """Without an answer the waits are spread over 0 to 1, 2, 4, … and at most 30 seconds."""
    here, page = made_up
    await page.evaluate("""() => {
        window.waits = [];
        const wait = window.setTimeout;
        window.setTimeout = (then, ms, ...rest) => (waits.push(ms), wait(then, Math.min(ms, 5), ...rest));
        window.fetch = () => Promise.reject(new TypeError('no network'));
        window.WebSocket = class { constructor() { setTimeout(() => this.onclose?.({code: 1006, reason: ''}), 1); } close() {} };
    }""")
    await here.sockets[-1].close(code=1011)
    await until_room(page, "window.waits.length > 120")
    # The waits of the loop are random. All others are whole, or half, as the server's time is known to half a
    # millisecond.
    waits = [wait for wait in await page.evaluate("waits") if 2 * wait % 1]
    for attempt, wait in enumerate(waits):
        assert 0 <= wait <= min(30_000, 1_000 * 2**attempt)
    assert max(waits) > 10_000
    assert min(waits[6:]) < 15_000


async def test_a_join_that_is_rejected(made_up: tuple[Room, Page]) -> None:
    """A join that the server rejects is not repeated; it is an error event."""
    here, page = made_up
    here.refusal = {"to": None, "code": "bad_visitor", "message": "no"}
    await here.sockets[-1].close(code=1012, reason='{"retry_ms": 10}')
    await until_room(page, "window.errors.length === 1")
    assert await page.evaluate("errors") == [{"code": "bad_visitor", "message": "no"}]
    await page.clock.install()
    await page.clock.run_for(120_000)
    assert len(here.joined_at_s) == 2
    await source(page, "the server asked this page not to come back")


async def test_a_mood_that_the_room_no_longer_has(made_up: tuple[Room, Page]) -> None:
    """After `unknown_mood` the client joins again without it."""
    here, page = made_up
    await room(page, "room.setMood('release')")
    here.refusal = {"to": "release", "code": "unknown_mood", "message": "no"}
    await here.sockets[-1].close(code=1012, reason='{"retry_ms": 10}')
    await here.joins(3)
    joins = [message for message in here.received if message["type"] == "join"]
    assert [join.get("mood") for join in joins] == [None, "release", None]
    await until_room(page, "room.state === 'live' && room.mood === null")


# --- the interface ---


async def test_states_and_events(made_up: tuple[Room, Page]) -> None:
    """Presence, state and moods arrive as events and can be read at any time."""
    here, page = made_up
    assert await room(page, "[room.state, room.presence, room.transport, room.ageMs]") == [
        "live",
        PRESENCE,
        "socket",
        0,
    ]
    await page.evaluate("window.events = []")
    await room(
        page,
        """['presence', 'state', 'mood'].forEach((type) =>
             room.addEventListener(type, ({detail}) => events.push([type, type === 'presence' ? detail.count : detail])))""",
    )
    for method in ("stale", "counted", "unknown"):
        count = None if method == "unknown" else 7
        here.sockets[-1].send(json.dumps({"type": "presence", **PRESENCE, "method": method, "count": count}))
    await until_room(page, "room.state === 'unknown'")
    assert await page.evaluate("events") == [
        ["state", "stale"],
        ["presence", 7],
        ["state", "live"],
        ["presence", 7],
        ["state", "unknown"],
        ["presence", None],
    ]


async def test_malformed_messages_of_a_server(made_up: tuple[Room, Page]) -> None:
    """They are ignored, and throw nothing into the page."""
    here, page = made_up
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    for text in ("", "null", "[]", "{", '{"type": "tomorrow"}', '{"type": "error"}', "7"):
        here.sockets[-1].send(text)
    here.sockets[-1].send(json.dumps({"type": "presence", **PRESENCE, "count": 8}))
    await until_room(page, "room.presence.count === 8")
    assert thrown == []


async def test_invalid_arguments_are_error_events(made_up: tuple[Room, Page]) -> None:
    """A mood that the room does not have, or an invalid URL, is an error event and nothing else."""
    here, page = made_up
    await room(page, "room.setMood('envy')")
    assert (await page.evaluate("errors"))[0]["code"] == "unknown_mood"
    assert [message["type"] for message in here.received if message["type"] == "mood"] == []
    answer = await page.evaluate("""import('/client.js').then(({join}) => new Promise((resolve) => {
        const room = join('http://');
        room.addEventListener('error', ({detail}) => resolve([detail.code, room.state, room.leave()]));
    }))""")
    assert answer == ["bad_url", "unknown", None]


async def test_leaving(made_up: tuple[Room, Page]) -> None:
    """`leave` is final: the socket is closed with 1000, and no event of the page opens another."""
    here, page = made_up
    closed: list[int | None] = []
    here.sockets[-1].on_close(lambda code, _reason: closed.append(code))
    await room(page, "room.leave()")
    await page.evaluate(
        "['pageshow', 'online', 'storage', 'offline', 'pagehide'].forEach((type) => dispatchEvent(new Event(type)))"
    )
    await until(lambda: bool(closed))
    assert closed == [1000]
    assert len(here.joined_at_s) == 1


@pytest_asyncio.fixture(loop_scope="session")
async def shop() -> AsyncIterator[str]:
    """Another site, with a page of its own; its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        page = b"<!doctype html><title>A shop</title><link rel=icon href=data:,>"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + page)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    listening.close()


JOIN = """([url, options]) => import(`${url}/client.js`).then(({join}) => new Promise((resolve) => {
  window.room = join(url, options);
  room.addEventListener('presence', () => resolve(room.presence.count));
}))"""


async def test_on_another_site(
    server: ServerProcess, room_name: str, browser: Browser, shop: str, proxy: Proxy, peer: BringPeer
) -> None:
    """
    A page of another site imports the module from the server and joins with a mood, over a socket or without.
    """
    observer = await peer(observe=True)
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(shop)
    assert await page.evaluate(JOIN, [server.url, {"room": room_name, "mood": "release"}]) == 1
    await observer.until(lambda presence: presence["moods"]["release"] == 1)
    (record,) = await page.evaluate("Object.values({...localStorage}).map(JSON.parse)")
    assert len(record["visitor"]) == 22
    assert record["visitor"] not in json.dumps(observer.heard)
    await page.evaluate("room.leave()")
    await observer.until_count(0)

    proxy.refused = (b"upgrade: websocket",)
    await page.evaluate(JOIN, [proxy.url, {"room": room_name, "mood": "gratitude"}])
    await observer.until(lambda presence: presence["moods"]["gratitude"] == 1)
    assert not any(head.startswith(b"options") for head in proxy.heads)
    await page.close()
    await observer.until_count(0)
    await context.close()


async def test_an_observer_is_not_counted(
    server: ServerProcess, room_name: str, browser: Browser, shop: str, peer: BringPeer
) -> None:
    """A page that observes gets the presence, is not counted, and stores nothing in the browser."""
    await peer()
    page = await browser.new_page()
    await page.goto(shop)
    assert await page.evaluate(JOIN, [server.url, {"room": room_name, "observe": True}]) == 1
    assert await page.evaluate("localStorage.length") == 0
    await page.close()


async def test_a_visit_ends(server: ServerProcess, browser: Browser, open_page: OpenPage) -> None:
    """The id that tabs and reloads share is discarded once no tab used it for half an hour."""
    context = await browser.new_context()
    visitor = "JSON.parse(Object.values({...localStorage})[0]).visitor"
    page = await open_page(context=context)
    await until_room(page, "room.state === 'live'")
    first = await page.evaluate(visitor)
    await page.reload()
    await until_room(page, "room.state === 'live'")
    assert await page.evaluate(visitor) == first
    await page.goto(f"{server.url}/healthz")
    await page.evaluate("""() => { const [[key, value]] = Object.entries({...localStorage});
        localStorage[key] = JSON.stringify({...JSON.parse(value), used_at_ms: Date.now() - 31 * 60_000}); }""")
    await page.goto(server.url)
    await until_room(page, "room.state === 'live'")
    assert await page.evaluate(visitor) != first
