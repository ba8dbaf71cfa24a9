"""A room that polls, in Chromium: who reports, the count displayed
between two polls, and what caches answer.
"""

import asyncio
import functools
import http.server
import json
import re
import secrets
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from breathing_room.core.tickets import ticket
from chromium import BringPeer, OpenPage, Proxy, people, room, source, until, until_room
from harness import Serve, ServerProcess
from node import node

pytestmark = pytest.mark.asyncio(loop_scope="session")

# As quick as a room may be set.
POLLED = ("--mode", "poll", "--poll-ms", "1000", "--presence-max-age-s", "0", "--rate-propagation-ms", "1100")

# Into a room, from any page.
JOIN = """([url, options]) => import(`${url}/client.js`).then(({join}) => { window.room = join(url, options); })"""


@pytest.fixture
def polled(serve: Serve) -> ServerProcess:
    """A server whose rooms are polled."""
    return serve(*POLLED)


@pytest_asyncio.fixture(loop_scope="session")
async def stage(polled: ServerProcess, browser: Browser) -> AsyncIterator[Page]:
    """A page of that server with nothing on it, to join from."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{polled.url}/healthz")
    yield page
    await context.close()


def get(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.loads(answer.read())


def post(url: str, body: dict[str, str]) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode())) as answer:
        return json.loads(answer.read())


def reports_taken(server: ServerProcess) -> int:
    """Reports that ever reached the server, by its own word."""
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:
        found = re.search(r"^breathing_room_reports_total (\d+)", answer.read().decode(), re.MULTILINE)
    assert found
    return int(found[1])


def visitor_with(is_so: Callable[[float], bool], *, room: str, epoch: int) -> str:
    """A visitor id with such a ticket."""
    while True:
        visitor = secrets.token_urlsafe(16)
        if is_so(ticket(visitor, room=room, epoch=epoch)):
            return visitor


def watch(page: Page, *ends: str) -> list[str]:
    """Keep the requests of a page for what ends so, in their order."""
    asked: list[str] = []

    def keep(url: str) -> None:
        asked.extend(end for end in ends if url.endswith(end))

    page.on("request", lambda request: keep(request.url))
    return asked


# --- people ---


async def test_alone_and_together(polled: ServerProcess, open_page: OpenPage, peer: BringPeer) -> None:
    """Alone it is one, not twenty; each other is one more; a closed page is gone; and no socket is opened."""
    observer = await peer(observe=True, server=polled)
    sockets: list[str] = []
    first = await open_page(polled.url)
    first.on("websocket", lambda socket: sockets.append(socket.url))
    await people(first, "you are the first one here")
    await source(first, "counted · a moment ago")
    assert await room(first, "room.transport") == "polling"
    await first.reload()
    await people(first, "you are the first one here")
    second, third = await open_page(polled.url), await open_page(polled.url)
    for page in (first, second, third):
        await people(page, "2 people breathing with you")
    await observer.until_count(3)
    for page, left in ((second, 2), (third, 1), (first, 0)):
        await page.close()
        await observer.until_count(left)
    assert sockets == []
    assert max(count for count in observer.counts if count is not None) == 3


async def test_a_mood_is_one_report(polled: ServerProcess, stage: Page) -> None:
    """One report with the join, one with each change of mood, and none in between."""
    asked = watch(stage, "/heartbeat", "/leave")
    await stage.evaluate(JOIN, [polled.url, {}])
    await until(lambda: stage.evaluate("room.presence?.count === 1"))
    await asyncio.sleep(2.5)
    assert asked == ["/heartbeat"]
    for mood in ("release", "gratitude"):
        asked.clear()
        await stage.evaluate(f"room.setMood('{mood}')")
        await until(functools.partial(stage.evaluate, f"room.presence.moods.{mood} === 1"))
        await asyncio.sleep(1.2)
        assert asked == ["/heartbeat"]


async def test_heartbeats(serve: Serve, open_page: OpenPage) -> None:
    """A visitor in the sample reports once per `heartbeat_ms`."""
    server = serve(*POLLED, "--heartbeat-ms", "1500")
    page = await open_page(server.url)
    await people(page, "you are the first one here")
    before, before_s = reports_taken(server), time.monotonic()
    await asyncio.sleep(5)
    passed_s = time.monotonic() - before_s
    assert passed_s / 1.65 - 2 <= reports_taken(server) - before <= passed_s / 1.35 + 1


async def test_only_tickets_below_the_rate_report(serve: Serve, browser: Browser, room_name: str) -> None:
    """
    At a low rate a visitor with a high ticket only reads, even when the mood changes; one with a low ticket
    reports.
    """
    server = serve(*POLLED[:-2], "--panel-size", "1")
    address = f"{server.url}/v1/rooms/{room_name}"
    for _ in range(40):
        presence = post(f"{address}/heartbeat", {"visitor": secrets.token_urlsafe(16)})
    rate, epoch = presence["sample_rate"], presence["epoch"]
    assert rate < 0.6
    before = reports_taken(server)

    page = await browser.new_page()
    await page.goto(f"{server.url}/healthz")
    asked = watch(page, "/heartbeat", "/leave", room_name)
    low = visitor_with(lambda drawn: drawn < rate / 20, room=room_name, epoch=epoch)
    high = visitor_with(lambda drawn: drawn > 0.99, room=room_name, epoch=epoch)
    for visitor, reports in ((high, False), (low, True)):
        await page.evaluate(JOIN, [server.url, {"room": room_name, "visitor": visitor}])
        await until(lambda: page.evaluate("room.state === 'live'"))
        await page.evaluate("room.setMood('release')")
        asked.clear()
        await until(lambda: asked.count(room_name) >= 3)
        await page.evaluate("room.leave()")
        assert ("/heartbeat" in asked or "/leave" in asked or reports_taken(server) > before) == reports
    await page.close()


# --- the displayed count between two polls ---

# Records it in every frame.
RECORD = """(() => {
  window.seen = [];
  const look = () => {
    if (room.presence) seen.push({...room.presence, displayed: room.displayedCount});
    requestAnimationFrame(look);
  };
  look();
})()"""


async def test_between_polls_the_count_is_interpolated(polled: ServerProcess, stage: Page) -> None:
    """
    Recorded in every frame over 10 polls: inside of the latest interval, one way to the latest count, never
    through 0.
    """
    counts = [
        (1_000, 900, 1_100),
        (1_200, 1_050, 1_350),
        (900, 820, 990),
        (905, 825, 995),
        (20_000, 18_000, 22_000),
    ]
    polls = 0

    async def answer(route: Route) -> None:
        nonlocal polls
        count, low, high = counts[polls % len(counts)]
        polls += 1
        presence = get(f"{polled.url}/v1/rooms/lobby")
        presence |= {"count": count, "low": low, "high": high, "method": "sampled", "sample_rate": 0.001}
        await route.fulfill(json=presence | {"label": f"about {count:,}", "as_of_ms": polls, "poll_ms": 400})

    await stage.route("**/v1/rooms/lobby", answer)
    await stage.evaluate(JOIN, [polled.url, {"observe": True}])
    await stage.evaluate(RECORD)
    await until(lambda: polls > 11)
    seen = await stage.evaluate("seen")

    assert all(look["low"] <= look["displayed"] <= look["high"] for look in seen)
    between = 0
    for poll in range(1, 11):
        frames = [look for look in seen if look["as_of_ms"] == poll]
        away = [abs(look["displayed"] - look["count"]) for look in frames]
        assert away == sorted(away, reverse=True), "one way"
        between += sum(0 < left < away[0] for left in away)
    assert between > 20, "it is interpolated, and does not jump"


# --- caches ---


async def test_caches_answer_polls(serve: Serve, proxy: Proxy, open_page: OpenPage) -> None:
    """
    While the browser's cache may answer a poll it does: what passes the network is one read per lifetime.
    """
    server = serve("--mode", "poll", "--poll-ms", "1000", "--presence-max-age-s", "30")
    proxy.port = server.port
    page = await open_page(proxy.url)
    name = page.url.split("room=")[1]
    asked = watch(page, f"/v1/rooms/{name}")
    await until(lambda: len(asked) >= 4)
    reads = [head for head in proxy.heads if head.startswith(f"get /v1/rooms/{name} ".encode())]
    assert len(reads) == 1
    # What the cache says is older than the answer to our own report, and does not take us out again.
    await people(page, "you are the first one here")


class Files(http.server.SimpleHTTPRequestHandler):
    """A file server, as a CDN would be: readable from every site."""

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Cache-Control", "public, max-age=0")
        super().end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A static file server, its address and its folder."""
    handler = functools.partial(Files, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", tmp_path
        server.shutdown()


async def test_a_static_copy(serve: Serve, files: tuple[str, Path], browser: Browser) -> None:
    """
    Where the config has a `presence_url`, that is polled and the server only gets reports; a copy that is not
    updated any more becomes stale, although it can be read.
    """
    url, folder = files
    server = serve(*POLLED, "--presence-url", url)
    presence = get(f"{server.url}/v1/rooms/lobby") | {"count": 500, "low": 500, "high": 500, "label": "500"}
    copy = folder / "rooms" / "lobby" / "presence.json"
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(presence | {"stale_after_ms": 1_500, "sample_rate": 1e-6}))

    page = await browser.new_page()
    asked = watch(page, "/presence.json", "/heartbeat", "/rooms/lobby")
    await page.goto(server.url)
    await people(page, "499 people breathing with you")
    await until_room(page, "room.state === 'stale'")
    assert await room(page, "[room.transport, room.displayedCount]") == ["polling", 500]
    assert set(asked) == {"/presence.json"}

    copy.write_text(json.dumps(presence | {"as_of_ms": presence["as_of_ms"] + 1, "sample_rate": 1.0}))
    await people(page, "you are the first one here")
    assert asked.count("/heartbeat") == 1
    await page.close()


async def test_a_proxys_page_is_no_presence(polled: ServerProcess, open_page: OpenPage) -> None:
    """
    An answer of 200 that is no presence is a failed poll, after which there is another, and throws nothing.
    """
    page = await open_page(polled.url)
    await people(page, "you are the first one here")
    answers = ["<html>", "null", json.dumps({"poll_ms": 1, "as_of_ms": 1, "epoch": 1, "sample_rate": "much"})]

    async def answer(route: Route) -> None:
        if answers:
            await route.fulfill(body=answers.pop())
        else:
            await route.continue_()

    await page.route(re.compile(r"/v1/rooms/[^/]*$"), answer)
    await until(lambda: not answers, within_s=20)
    await until_room(page, "room.transport === 'polling'")
    await people(page, "you are the first one here")


# --- a server under stress ---


async def test_a_report_that_was_shed_waits_for_a_poll(polled: ServerProcess, stage: Page) -> None:
    """
    A report that is shed is not simply repeated: after the server's time the rate is read again, and then
    reported.
    """
    asked: list[tuple[str, float]] = []

    async def answer(route: Route) -> None:
        asked.append((route.request.method, time.monotonic()))
        if [method for method, _ in asked] == ["GET", "POST"]:
            await route.fulfill(status=503, headers={"Retry-After": "2"}, json={"error": {"code": "busy"}})
        else:
            await route.continue_()

    await stage.route(re.compile(r"/v1/rooms/lobby(/heartbeat)?$"), answer)
    await stage.evaluate(JOIN, [polled.url, {}])
    await until(lambda: stage.evaluate("room.presence?.count === 1"))
    assert [method for method, _ in asked[:4]] == ["GET", "POST", "GET", "POST"]
    assert asked[2][1] - asked[1][1] >= 2


async def test_an_epoch_that_is_over(polled: ServerProcess, stage: Page) -> None:
    """After `bad_epoch` another visit begins, with a ticket of the current epoch."""
    epochs: list[int] = []

    async def answer(route: Route) -> None:
        epochs.append(json.loads(route.request.post_data or "")["epoch"])
        if len(epochs) == 1:
            await route.fulfill(
                status=400, json={"error": {"code": "bad_epoch", "message": "", "status": 400}}
            )
        else:
            await route.continue_()

    await stage.route("**/heartbeat", answer)
    await stage.evaluate(JOIN, [polled.url, {}])
    await until(lambda: stage.evaluate("room.presence?.count === 1"))
    assert epochs[1:] == [get(f"{polled.url}/v1/rooms/lobby")["epoch"]]


async def test_a_server_that_is_away(serve: Serve, open_page: OpenPage) -> None:
    """
    Without responses the last presence is kept and becomes stale; when the server is back it is live again.
    """
    flags = (*POLLED, "--stale-after-ms", "1000", "--snapshot-ms", "100", "--heartbeat-ms", "3000")
    server = serve(*flags)
    page = await open_page(server.url)
    await people(page, "you are the first one here")
    await page.evaluate("said.length = 0")
    await asyncio.sleep(0.3)
    server.kill()
    await until_room(page, "room.state === 'stale' && room.transport === null")
    await people(page, "you are here")
    await source(page, "last known · a moment ago · connecting")
    serve(*flags, port=server.port, data=server.data)
    await until_room(page, "room.state === 'live'", within_s=30)
    await people(page, "you are the first one here")
    said = await page.evaluate("said")
    assert not any(line.startswith("unknown") or "| 0 " in line or "2 people" in line for line in said), said


async def test_merged_moods(polled: ServerProcess, open_page: OpenPage) -> None:
    """Merged moods have no number, and the line below has their sum."""
    page = await open_page(polled.url)

    async def answer(route: Route) -> None:
        presence = get(f"{polled.url}/v1/rooms/lobby")
        moods = {"gratitude": 30, "presence": None, "release": 12, "connection": None}
        intervals = {mood: tally and [tally, tally] for mood, tally in moods.items()} | {"unspoken": [5, 5]}
        presence |= {"count": 54, "low": 54, "high": 54, "label": "54", "moods": moods, "unspoken": 5}
        await route.fulfill(json=presence | {"mood_intervals": intervals, "sample_rate": 1e-6})

    await page.route(re.compile(r"/v1/rooms/[^/]*$"), answer)
    await page.reload()
    await people(page, "53 people breathing with you")
    merged = node("words.en.js", "it.default.merged.replace('{n}', 7)")
    await expect(page.locator("#rest")).to_have_text(f"5 unspoken · {merged}")
    labels = await page.locator("#moods .visually-hidden").all_text_contents()
    assert labels == ["gratitude, 30", "presence, few or none", "release, 12", "connection, few or none"]
