"""Take pictures of the page, on a phone and on a desk, in every state: python scripts/screenshots.py FOLDER.

No server is needed. The page's own files are handed to Chromium, and the room's answers are made up here, so that
a crowd of 20,000 or a lost connection is there at once and every picture is taken at the same place in the breath.
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Route, WebSocketRoute, async_playwright

WEB = Path(__file__).parent.parent / "src" / "breathing_room" / "web"
SITE = "http://breathing.room"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES = {"phone": (390, 844), "sideways": (844, 390), "desktop": (1440, 900)}
NOON_MS = 1_767_268_800_000
"""The day on which every picture is taken."""

CYCLE_MS = 19_000
FULL_MS = 5_500  # a little into the hold
EMPTY_MS = 18_000  # nearly exhaled
MOODS = ("gratitude", "presence", "release", "connection")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One state of the page."""

    name: str
    presence: dict[str, Any] | None
    mood: str | None = None
    breath_ms: int = FULL_MS
    age_ms: int = 0
    still: bool = False


def presence(
    tallies: tuple[int, int, int, int],
    unspoken: int,
    *,
    method: str = "counted",
    label: str | None = None,
    low: int | None = None,
    high: int | None = None,
) -> dict[str, Any]:
    """Make up what the server would say of such a crowd."""
    count = sum(tallies) + unspoken
    known = method != "unknown"
    return {
        "room": "lobby",
        "count": count if known else None,
        "low": count if low is None else low,
        "high": (count if high is None else high) if known else None,
        "method": method,
        "rate": 1.0,
        "moods": dict(zip(MOODS, tallies, strict=True)),
        "unspoken": unspoken,
        "label": label or (f"{count:,}" if known else "unknown"),
        "as_of_ms": NOON_MS,
        "valid_ms": 30_000,
        "next_ms": 30_000,
    }


CROWD = presence((62, 84, 31, 49), 24)
PICTURES = (
    Picture(name="alone", presence=presence((0, 0, 0, 0), 1)),
    Picture(name="alone-with-a-mood", presence=presence((0, 0, 1, 0), 0), mood="release"),
    Picture(name="two", presence=presence((1, 0, 0, 0), 1), mood="gratitude"),
    Picture(name="crowd", presence=CROWD, mood="presence"),
    Picture(name="crowd-exhaled", presence=CROWD, mood="presence", breath_ms=EMPTY_MS),
    Picture(name="crowd-inhaling", presence=CROWD, breath_ms=2_200),
    Picture(name="crowd-gratitude", presence=presence((210, 20, 8, 6), 6), mood="gratitude"),
    Picture(name="crowd-connection", presence=presence((20, 12, 8, 190), 20), mood="connection"),
    Picture(
        name="huge", presence=presence((5120, 7204, 3110, 4404), 162, label="about 20,000"), mood="release"
    ),
    Picture(name="fell-silent", presence=presence((62, 84, 31, 49), 24, low=238), mood="presence"),
    Picture(
        name="stale-by-server", presence=presence((62, 84, 31, 49), 24, method="stale", low=130, high=250)
    ),
    Picture(name="stale-by-silence", presence=CROWD, mood="presence", age_ms=70_000),
    Picture(name="unknown", presence=presence((2, 1, 0, 0), 1, method="unknown")),
    Picture(name="connecting", presence=None),
    Picture(name="still", presence=CROWD, mood="presence", still=True),
)


async def serve_page(route: Route) -> None:
    """Answer for the server: the page's files, and the room's config."""
    path = route.request.url.removeprefix(SITE).partition("?")[0]
    if path.endswith("/config"):
        breath = {"pattern": "4-7-8", "phases": [["inhale", 4000], ["hold", 7000], ["exhale", 8000]]}
        config = {"moods": MOODS, "breath": breath, "lease_ms": 60_000, "beat_ms": 30_000, "now_ms": NOON_MS}
        await route.fulfill(json=config)
        return
    file = WEB / (path.lstrip("/") or "index.html")
    await route.fulfill(body=file.read_bytes(), content_type=mimetypes.guess_type(file)[0] or "text/plain")


async def take(browser: Browser, picture: Picture, size: str, folder: Path) -> Path:
    """Take one picture; returns its file."""
    width, height = SIZES[size]
    page = await browser.new_page(
        viewport={"width": width, "height": height},
        device_scale_factor=1 if size == "desktop" else 2,
        reduced_motion="reduce" if picture.still else "no-preference",
    )
    now_ms = NOON_MS - NOON_MS % CYCLE_MS + picture.breath_ms
    await page.clock.install(time=now_ms / 1000)
    await page.route(f"{SITE}/**", serve_page)

    def answer(socket: WebSocketRoute) -> None:
        def on_message(text: str | bytes) -> None:
            message = json.loads(text)
            if message["type"] == "join" and picture.presence:
                socket.send(json.dumps({"type": "presence", **picture.presence}))

        socket.on_message(on_message)

    await page.route_web_socket("**/socket", answer)
    await page.goto(f"{SITE}/")
    if picture.presence:
        await page.locator("#moods button").first.wait_for()
        await page.locator("body:not([data-state='unknown']), #source:has-text('counting')").first.wait_for()
    if picture.mood:
        await page.evaluate("mood => import('/page.js').then(({room}) => room.setMood(mood))", picture.mood)
    if picture.age_ms:
        await page.evaluate("dispatchEvent(new Event('pagehide'))")
        await page.clock.run_for(picture.age_ms)
        now_ms += picture.age_ms
    # Past the colours' own fading in, and on by whole breaths to the place in the breath that was asked for.
    await page.clock.run_for(CYCLE_MS - now_ms % CYCLE_MS + picture.breath_ms)
    await page.evaluate(
        """breathMs => { for (const animation of document.getAnimations()) {
             const {duration} = animation.effect.getTiming();
             if (animation.constructor === CSSTransition || duration < 2000) animation.finish();
             else { animation.pause(); animation.currentTime = breathMs; }
           } }""",
        picture.breath_ms,
    )
    file = folder / f"{picture.name}-{size}.png"
    await page.screenshot(path=file, animations="allow")
    await page.close()
    return file


async def take_all(folder: Path) -> None:
    """Take every picture."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for picture in PICTURES:
            for size in SIZES:
                print(await take(browser, picture, size, folder))
        await browser.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/screenshots.py FOLDER")
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    asyncio.run(take_all(where))
