"""A client without a server: from a static file it says how many are usually there, as Python would, and
never more than that.
"""

import functools
import http.server
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from breathing_room.core.estimate.history import estimated
from breathing_room.core.history import HOUR_MS, HOURS, History
from breathing_room.core.presence import Presence
from breathing_room.core.wire import history_body
from chromium import until
from node import CLIENT, node

WEEK_MS = HOURS * HOUR_MS
MONDAY_MS = 4 * 24 * HOUR_MS
MOODS = ("calm", "glad")


def history(*, seed: int = 0, merged: bool = False) -> History:
    """Three weeks, of which the first day was seen once only, and the last day never."""
    rng = Random(seed)
    history = History()
    for week in range(3):
        for hour in range(24 if week else 0, HOURS - 24):
            at_ms = MONDAY_MS + week * WEEK_MS + hour * HOUR_MS
            people = {"calm": rng.randrange(400), "glad": rng.randrange(4), "unspoken": rng.randrange(30)}
            people |= {"merged": 3} if merged else {}
            history.observe(people, wall_ms=at_ms)
            history.observe(None, wall_ms=at_ms + HOUR_MS)
    return history


def unknown(low: int) -> Presence:
    """A presence of which only the lower end is known."""
    return Presence(
        room="lobby", count=None, low=low, high=None, method="unknown", sample_rate=1.0, moods=dict.fromkeys(MOODS, 0),
        unspoken=low, mood_intervals={}, label="unknown", as_of_ms=0, stale_after_ms=1, poll_ms=1,
    )  # fmt: skip


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("here", [0, 1])
def test_it_says_what_python_says(here: int, *, merged: bool) -> None:
    """At every hour of the week it is the estimate that a server would show, whose memory was lost."""
    averages = history(merged=merged)
    instants = [MONDAY_MS + 9 * WEEK_MS + hour * HOUR_MS + 17 for hour in range(HOURS)]
    shown = node(
        "offline.js",
        "given[1].map((now) => it.usual(given[0], now, given[2]))",
        history_body("lobby", averages),
        instants,
        here,
    )
    methods = set()
    for now_ms, presence in zip(instants, shown, strict=True):
        expected = estimated(unknown(here), averages, wall_ms=now_ms, min_cell_size=0)
        methods.add(expected.method)
        assert presence["as_of_ms"] == now_ms
        for key in ("count", "low", "high", "method", "label"):
            assert presence[key] == getattr(expected, key), key
        if expected.method == "estimated":
            parts = [*presence["moods"].values(), presence["unspoken"]]
            if merged:
                assert parts == [*expected.moods.values(), expected.unspoken] == [None] * 3
            else:  # Averages are published in hundredths: what is left over may go to another mood.
                assert sum(parts) == presence["count"]
                expected_parts = [*expected.moods.values(), expected.unspoken]
                assert all(abs(part - other) <= 1 for part, other in zip(parts, expected_parts, strict=True))
    assert methods == {"estimated", "unknown"}


# --- in a browser, with no server ---


class Files(http.server.SimpleHTTPRequestHandler):
    """A file server that collects reports."""

    reports: list[dict[str, Any]]
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        super().do_GET()

    def do_POST(self) -> None:
        self.requests.append(self.path)
        self.reports.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path, type[Files]]]:
    """A static site with the client's files; its address, its folder, and its requests and reports."""
    for file in CLIENT.glob("*.js"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "index.html").write_text("<!doctype html><link rel=icon href=data:,><title>A page</title>")

    class OwnFiles(Files):
        reports: list[dict[str, Any]] = []  # noqa: RUF012 - one list for all requests
        requests: list[str] = []  # noqa: RUF012

    handler = functools.partial(OwnFiles, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", tmp_path, OwnFiles
        server.shutdown()


@pytest_asyncio.fixture(loop_scope="session")
async def page(site: tuple[str, Path, type[Files]], browser: Browser) -> AsyncIterator[Page]:
    """A page of that site, at noon of a Wednesday nine weeks on."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.clock.install(time=(MONDAY_MS + 9 * WEEK_MS + 60 * HOUR_MS) / 1_000)
    await page.goto(site[0])
    yield page
    await context.close()


JOIN = """(options) => import('/client.js').then(({join}) => { window.room = join('/', {mode: 'offline', ...options}); })"""


@pytest.mark.asyncio(loop_scope="session")
async def test_without_a_server(site: tuple[str, Path, type[Files]], page: Page) -> None:
    """
    Only the file is requested; the count is marked as estimated, changes with the hour, and outlives the
    network.
    """
    _, folder, files = site
    (folder / "rooms" / "lobby").mkdir(parents=True)
    averages = history_body("lobby", history())
    (folder / "rooms" / "lobby" / "history.json").write_text(json.dumps(averages))
    hours = {hour["hour"]: hour for hour in averages["hours"]}
    files.requests.clear()
    await page.evaluate(JOIN, {})
    await until(lambda: page.evaluate("room.state === 'estimated'"))
    seen = (
        "[room.presence.method, room.displayedCount, room.presence.low, room.presence.high, room.transport]"
    )
    for hour in (60, 61):
        expected = hours[hour]
        assert await page.evaluate(seen) == [
            "estimated", round(expected["count"]), max(1, expected["low"]), expected["high"], "history"
        ]  # fmt: skip
        await page.context.set_offline(True)
        await page.clock.run_for(HOUR_MS)
    assert sorted(await page.evaluate("room.config.moods")) == ["calm", "glad"]
    await page.evaluate("room.setMood('calm')")
    await page.clock.run_for((HOURS - 24 - 62) * HOUR_MS)
    assert await page.evaluate("[room.state, room.displayedCount]") == ["unknown", None], (
        "an hour that was never seen"
    )
    await page.evaluate("room.leave()")
    assert [path for path in files.requests if not path.endswith(".js")] == ["/rooms/lobby/history.json"]
    assert files.reports == []


@pytest.mark.asyncio(loop_scope="session")
async def test_a_file_that_is_not_there_yet(site: tuple[str, Path, type[Files]], page: Page) -> None:
    """As long as there is no file the count is unknown; it is requested again, and nothing is thrown."""
    _, folder, files = site
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    await page.evaluate(JOIN, {"history": "/usual.json"})
    await until(lambda: "/usual.json" in files.requests)
    assert await page.evaluate("[room.state, room.presence]") == ["unknown", None]
    (folder / "usual.json").write_text(json.dumps(history_body("lobby", history())))

    async def estimated() -> bool:
        # A client backs off for 30 s at most: in steps of one a busy machine had no time for that many.
        await page.clock.run_for(10_000)
        return bool(await page.evaluate("room.state === 'estimated'"))

    await until(estimated)
    assert thrown == []


@pytest.mark.asyncio(loop_scope="session")
async def test_reports_are_posted(site: tuple[str, Path, type[Files]], page: Page) -> None:
    """Joins, changes of mood and leaves are posted, without anything that identifies a visitor."""
    _, folder, files = site
    (folder / "usual.json").write_text(json.dumps(history_body("lobby", history())))
    await page.evaluate(JOIN, {"history": "/usual.json", "report": "/collect"})
    await until(lambda: page.evaluate("room.state === 'estimated'"))
    await page.evaluate("room.setMood('glad')")
    await page.evaluate("room.leave()")
    await until(lambda: len(files.reports) == 3)
    assert sorted(files.reports, key=lambda report: str(report["event"])) == [
        {"room": "lobby", "event": "join"},
        {"room": "lobby", "event": "leave", "mood": "glad"},
        {"room": "lobby", "event": "mood", "mood": "glad"},
    ]


def test_a_mood_that_is_set_before_the_join_is_reported_with_it() -> None:
    """While the averages are on their way a mood is no event of its own: what is collected begins with the
    join.
    """
    reported = node(
        "offline.js",
        """await (async () => {
          const reported = []; let mood, come;
          globalThis.fetch = () => new Promise((resolve) => { come = () => resolve(new Response('{"room": "lobby", "hours": []}')); });
          const sendBeacon = (url, body) => { const {event, mood} = JSON.parse(body); reported.push([event, mood]); };
          Object.defineProperty(globalThis, 'navigator', {value: {sendBeacon}, configurable: true});
          const visit = new AbortController();
          const transport = new it.OfflineTransport({url: 'http://a.example/', report: 'http://a.example/', room: 'lobby', self: () => ({mood})});
          const ended = transport.run(visit.signal);
          mood = 'calm'; transport.send({type: 'mood', mood}); come();
          await new Promise((resolve) => setTimeout(resolve, 50));
          mood = 'glad'; transport.send({type: 'mood', mood}); visit.abort(); await ended;
          return reported;
        })()""",
    )
    assert reported == [["join", "calm"], ["mood", "glad"], ["leave", "glad"]]
