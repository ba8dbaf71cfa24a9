"""Take pictures of every page, on a phone and on a desk, in every state: python scripts/screenshots.py FOLDER
[NAME ...].

No server is needed. The pages' own files are handed to Chromium, and the room's answers are made up here, so
that a crowd of 20,000 or a lost connection is there at once and every picture is taken at the same place in
the breath. Besides the states of the page there are ``admin``, ``sign-in`` and ``cost``, and ``words``: the
page and the element in four languages, with no others, one, two and many.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import mimetypes
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from operator_sample import sample
from PIL import Image
from playwright.async_api import Browser, Page, Route, async_playwright

from breathing_room.core.config import MOODS, UNSPOKEN
from breathing_room.core.presence import Interval, merge_cells, read_label
from breathing_room.hosts.server.admin.page import admin_page, sign_in_page
from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.web import cost_body, cost_plot, decode_query

SOURCE = Path(__file__).parent.parent / "src" / "breathing_room"
WEB = SOURCE / "web"
IMAGES = Path(__file__).parent.parent / "docs" / "images"
# A name under localhost is as good as https to a browser: it offers to keep the screen on.
SITE = "http://breathing.localhost"
EXECUTABLE = shutil.which("chromium-headless-shell") or shutil.which("chromium")
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
DAY = "2026-01-01"
"""The day on which every picture is taken."""

CYCLE_MS = 19_000
FULL_MS = 5_500  # a little into the hold
EMPTY_MS = 18_000  # nearly exhaled
PANEL_SIZE = 400


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One state of the page.

    Attributes:
        presence: The presence that the server sends; None: none.
        gone: Whether the connection was lost a minute ago.
        still: Whether motion is reduced.
    """

    name: str
    presence: dict[str, Any] | None
    mood: str | None = None
    moods: tuple[str, ...] = MOODS
    breath_ms: int = FULL_MS
    gone: bool = False
    still: bool = False
    locale: str = "en"


def presence(
    *people: int,
    unspoken: int = 0,
    method: Literal["counted", "sampled", "stale", "estimated", "unknown"] = "counted",
    moods: tuple[str, ...] = MOODS,
    low: int | None = None,
    high: int | None = None,
    min_cell_size: int = 0,
) -> dict[str, Any]:
    """Return a made-up presence with so many visitors in each mood."""
    tallies = (*people, unspoken)
    count = sum(tallies)
    rate = min(1.0, PANEL_SIZE / max(1, count)) if method == "sampled" else 1.0

    def interval(tally: int) -> Interval:
        # The larger of two errors, the sample's; the made-up history has the same error.
        width = 1.96 * math.sqrt(tally * (1 - rate) / rate) if rate < 1 else 0.0
        return tally, max(0, round(tally - width)), round(tally + width)

    whole = interval(count)
    low, high = whole[1] if low is None else low, whole[2] if high is None else high
    cells = merge_cells([interval(tally) for tally in tallies], min_cell_size)
    names = (*moods, UNSPOKEN)
    known = method != "unknown"
    cell_of: dict[str, Interval | None] = dict(zip(names, cells, strict=True))
    return {
        "room": "lobby",
        "count": count if known else None,
        "low": low,
        "high": high if known else None,
        "method": method,
        "sample_rate": rate,
        "epoch": 20_454,
        "moods": {mood: cell[0] if (cell := cell_of[mood]) else None for mood in moods},
        "unspoken": cell[0] if (cell := cell_of[UNSPOKEN]) else None,
        "mood_intervals": {name: cell[1:] if cell else None for name, cell in cell_of.items()},
        "label": read_label(count if known else None, low, high, shown=None)[0],
        "as_of_ms": NOON_MS,
        "stale_after_ms": 30_000,
        "poll_ms": 30_000,
    }


CROWD = presence(62, 84, 31, 49, unspoken=24)
HUGE = presence(5120, 7204, 3110, 4404, unspoken=162, method="sampled")
MANY = ("calm", "curious", "tired", "hopeful", "restless", "light", "heavy", "awake", "homesick", "glad")
PICTURES = (
    Picture(name="alone", presence=presence(0, 0, 0, 0, unspoken=1)),
    Picture(name="alone-with-a-mood", presence=presence(0, 0, 1, 0), mood="release"),
    Picture(name="two", presence=presence(1, 0, 0, 0, unspoken=1), mood="gratitude"),
    Picture(name="twelve", presence=presence(3, 4, 1, 2, unspoken=2), mood="presence"),
    Picture(name="crowd", presence=CROWD, mood="presence"),
    Picture(name="crowd-exhaled", presence=CROWD, mood="presence", breath_ms=EMPTY_MS),
    Picture(name="crowd-inhaling", presence=CROWD, breath_ms=2_200),
    Picture(name="crowd-gratitude", presence=presence(210, 20, 8, 6, unspoken=6), mood="gratitude"),
    Picture(name="crowd-presence", presence=presence(20, 206, 8, 10, unspoken=6), mood="presence"),
    Picture(name="crowd-release", presence=presence(9, 16, 205, 12, unspoken=8), mood="release"),
    Picture(name="crowd-connection", presence=presence(20, 12, 8, 190, unspoken=20), mood="connection"),
    Picture(name="crowd-unspoken", presence=presence(6, 4, 2, 8, unspoken=230)),
    Picture(name="huge", presence=HUGE, mood="release"),
    Picture(name="huge-exhaled", presence=HUGE, breath_ms=EMPTY_MS),
    Picture(name="merged", presence=presence(41, 3, 29, 2, unspoken=1, min_cell_size=10), mood="release"),
    Picture(name="fell-silent", presence=presence(62, 84, 31, 49, unspoken=24, low=238), mood="presence"),
    Picture(
        name="estimated",
        presence=presence(62, 84, 31, 49, unspoken=24, method="estimated", low=130, high=420),
    ),
    Picture(
        name="stale-by-server",
        presence=presence(62, 84, 31, 49, unspoken=24, method="stale", low=130, high=250),
    ),
    Picture(name="stale-by-silence", presence=CROWD, mood="presence", gone=True),
    Picture(name="unknown", presence=presence(2, 1, 0, 0, unspoken=1, method="unknown")),
    Picture(name="connecting", presence=None),
    Picture(name="still", presence=CROWD, mood="presence", still=True),
    Picture(
        name="ten-moods",
        presence=presence(40, 31, 22, 30, 8, 19, 12, 25, 5, 33, unspoken=25, moods=MANY),
        moods=MANY,
        mood="hopeful",
    ),
    *(
        Picture(name=f"in-{locale}", presence=HUGE, mood="release", locale=locale)
        for locale in ("de", "fr", "es", "pl")
    ),
)

KEPT = {
    "huge-desktop": ("page.png", 1_080),
    "crowd-phone": ("phone.png", 390),
    "admin-desktop": ("admin.png", 1_080),
    "words-page": ("words-page.png", 948),
    "words-element": ("words-element.png", 1_080),
}
"""The pictures that the documentation shows, and how wide there: a picture of lights is heavy."""


def config(picture: Picture) -> dict[str, Any]:
    """Return the made-up config of the room."""
    phases = [["inhale", 4000], ["hold", 7000], ["exhale", 8000]]
    return {
        "room": "lobby",
        "mode": "socket",
        "moods": picture.moods,
        "breath": {"pattern": "4-7-8", "phases": phases},
        "lease_ms": 60_000,
        "ping_ms": 20_000,
        "heartbeat_ms": 30_000,
        "presence_url": None,
        "now_ms": NOON_MS,
    }


# A socket that answers in the page itself, and at once: the page's time is made up, so nothing can come from
# outside in time.
SOCKET = """
window.WebSocket = class {
  static OPEN = 1;
  readyState = 1;
  constructor() { queueMicrotask(() => this.onopen?.()); }
  send(text) {
    const {type, sent_ms} = JSON.parse(text);
    const push = (message) => queueMicrotask(() => this.onmessage?.({data: JSON.stringify(message)}));
    if (type === 'join' && PRESENCE) push({type: 'presence', ...PRESENCE});
    if (type === 'time') push({type, sent_ms, now_ms: sent_ms});
    if (type === 'ping') push({type: 'pong'});
  }
  close() {}
};
"""


def file_of_page(name: str) -> Path:
    """Return the source of a file: the page's and the client's are served as one folder."""
    return next((file for file in (WEB / "page" / name, WEB / "client" / name) if file.is_file()), WEB / name)


async def answer(page: Page, picture: Picture) -> None:
    """Answer for the server: with the page's files, the room's config, and the picture's presence."""

    async def serve(route: Route) -> None:
        path = route.request.url.removeprefix(SITE).partition("?")[0]
        file = file_of_page(path.lstrip("/") or "index.html")
        if path.endswith("/config"):
            await route.fulfill(json=config(picture))
        elif file.is_file():
            await route.fulfill(
                body=file.read_bytes(), content_type=mimetypes.guess_type(file)[0] or "text/plain"
            )
        else:
            await route.abort()

    await page.route(f"{SITE}/**", serve)
    await page.add_init_script(SOCKET.replace("PRESENCE", json.dumps(picture.presence)))


async def take(browser: Browser, picture: Picture, size: str, folder: Path) -> Path:
    """Take one picture; returns its file."""
    width, height = SIZES[size]
    page = await browser.new_page(
        viewport={"width": width, "height": height},
        device_scale_factor=1 if size == "desktop" else 2,
        reduced_motion="reduce" if picture.still else "no-preference",
        locale=picture.locale,
    )
    # Here, whole breaths later and by then every light is lit, the picture is taken.
    then_ms = NOON_MS - NOON_MS % CYCLE_MS + 20 * CYCLE_MS + picture.breath_ms
    await page.clock.install(time=(then_ms - 5 * CYCLE_MS) / 1000)
    await answer(page, picture)
    await page.goto(f"{SITE}/")
    known = picture.presence and picture.presence["method"] != "unknown"
    await page.locator(f"body{':not([data-state=unknown])' if known else ''} #people:not(:empty)").wait_for()
    if picture.mood:
        await page.evaluate("mood => import('/page.js').then(({room}) => room.setMood(mood))", picture.mood)
    await page.clock.pause_at((then_ms - 4 * CYCLE_MS) / 1000)
    await page.clock.run_for(CYCLE_MS)
    if picture.gone:
        await page.evaluate("dispatchEvent(new Event('pagehide'))")
    await page.clock.run_for(3 * CYCLE_MS)
    await page.evaluate(
        """breathMs => { for (const animation of document.getAnimations()) {
             const {duration, iterations} = animation.effect.getTiming();
             if (iterations !== Infinity) animation.finish();
             else { animation.pause(); if (duration < 20_000) animation.currentTime = breathMs; }
           } }""",
        picture.breath_ms,
    )
    file = folder / f"{picture.name}-{size}.png"
    await page.screenshot(path=file, animations="allow")
    await page.close()
    return file


LANGUAGES = ("en", "de", "pl", "fr")
OTHERS = (0, 1, 2, 12_345)
# From below the word in the orb to the sentence: the whole orbs would weigh twice as much.
PAGE_CROP = (0, 534, 780, 1_010)
PAGE_CELL = (234, 143)
PAGE_GAP = 4


def with_others(others: int) -> dict[str, Any]:
    """Return the made-up presence of a room with the reader, who named no mood, and so many others."""
    quarter, rest = divmod(others, 4)
    return presence(*(quarter + (index < rest) for index in range(4)), unspoken=1)


async def take_words_of_page(browser: Browser, folder: Path) -> Path:
    """Put the page's orb and sentence on one sheet: a row for each language, a column for each number of
    others.
    """
    width, height = PAGE_CELL
    sheet = Image.new(
        "RGB", ((width + PAGE_GAP) * len(OTHERS), (height + PAGE_GAP) * len(LANGUAGES)), "white"
    )
    for row, locale in enumerate(LANGUAGES):
        for column, others in enumerate(OTHERS):
            picture = Picture(name=f"words-{locale}-{others}", presence=with_others(others), locale=locale)
            cell = Image.open(await take(browser, picture, "phone", folder)).convert("RGB")
            small = cell.crop(PAGE_CROP).resize(PAGE_CELL, Image.Resampling.LANCZOS)
            sheet.paste(small, (column * (width + PAGE_GAP), row * (height + PAGE_GAP)))
    file = folder / "words-page.png"
    sheet.crop((0, 0, sheet.width - PAGE_GAP, sheet.height - PAGE_GAP)).save(file)
    return file


WORDS_STYLE = """
body { margin: 0; padding: 20px 24px; width: 1032px; background: #fff; color: #1c2333; font: 15px/1.4 "DejaVu Sans", sans-serif }
table { border-collapse: collapse; width: 100% }
th, td { padding: 10px 12px; border: 1px solid #ccd3e2; text-align: left; font-weight: normal }
th { color: #40507a; background: #f3f5fa }
"""


async def take_words_of_element(browser: Browser, folder: Path) -> Path:
    """Take a picture of a table of elements: a row for each number of others, a column for each language."""
    head = "".join(f"<th>lang=&quot;{lang}&quot;</th>" for lang in LANGUAGES)
    rows = "".join(
        f"<tr><th>{others:,}</th>"
        + "".join(
            f'<td lang="{lang}"><breathing-room mode="poll" room="with-{others}"></breathing-room></td>'
            for lang in LANGUAGES
        )
        for others in OTHERS
    )
    html = f"""<!doctype html><title>Words</title><style>{WORDS_STYLE}</style>
        <table><tr><th>others</th>{head}</tr>{rows}</table><script type="module" src="/element.js"></script>"""

    async def serve(route: Route) -> None:
        *_, place, name = urlsplit(route.request.url).path.split("/")
        if name == "words":
            await route.fulfill(body=html, content_type="text/html")
        elif name == "config":
            await route.fulfill(json=config(PICTURES[0]))
        elif place == "rooms":
            await route.fulfill(json=with_others(int(name.removeprefix("with-"))) | {"sample_rate": 1e-9})
        elif file_of_page(name).is_file():
            await route.fulfill(path=file_of_page(name))
        else:
            await route.abort()

    page = await browser.new_page(viewport={"width": 1080, "height": 320})
    await page.route(f"{SITE}/**", serve)
    await page.goto(f"{SITE}/words")
    await page.wait_for_function("() => !document.querySelector('breathing-room:not([state=live])')")
    file = folder / "words-element.png"
    await page.screenshot(path=file, full_page=True)
    await page.close()
    return file


OPERATOR = {
    "admin": lambda: admin_page(sample()),
    "sign-in": lambda: sign_in_page("the operator's token is wrong"),
}


async def answer_others(route: Route) -> None:
    """Answer for the server with the operator's page, and for `breathing-room cost --web` with the page of
    costs.
    """
    url = urlsplit(route.request.url)
    name = url.path.lstrip("/")
    asked = decode_query(dict(parse_qsl(url.query))) if name.startswith("cost.") else ()
    folder = "admin" if name.startswith("admin.") else "page" if name == "tokens.css" else "cost"
    file = WEB / folder / ("cost.html" if name == "cost" else name)
    if name in OPERATOR:
        await route.fulfill(body=OPERATOR[name](), content_type="text/html")
    elif name == "cost.json":
        await route.fulfill(body=cost_body(read_book(), *asked, DAY), content_type="application/json")
    elif name == "cost.svg":
        await route.fulfill(body=cost_plot(read_book(), *asked, DAY), content_type="image/svg+xml")
    elif file.is_file():
        await route.fulfill(path=file)
    else:
        await route.abort()


async def take_other(browser: Browser, name: str, size: str, folder: Path) -> Path:
    """Take a picture of a whole page that is not the room's; returns its file."""
    width, height = SIZES[size]
    page = await browser.new_page(
        viewport={"width": width, "height": height}, device_scale_factor=1 if size == "desktop" else 2
    )
    await page.route(f"{SITE}/**", answer_others)
    await page.goto(f"{SITE}/{name}", wait_until="networkidle")
    file = folder / f"{name}-{size}.png"
    await page.screenshot(path=file, full_page=True)
    await page.close()
    return file


def keep(file: Path) -> None:
    """Print the path of a picture; copy one that the documentation shows to its place."""
    print(file, flush=True)
    if file.stem in KEPT:
        name, width = KEPT[file.stem]
        image = Image.open(file).convert("RGB")
        image.thumbnail((width, image.height))
        image.save(IMAGES / name, optimize=True)


async def take_all(folder: Path, names: list[str]) -> None:
    """Take every picture, or those of these names."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=FLAGS)
        for picture in PICTURES:
            for size in SIZES:
                if picture.name in names or not names:
                    keep(await take(browser, picture, size, folder))
        for name in (*OPERATOR, "cost"):
            for size in ("phone", "desktop"):
                if name in names or not names:
                    keep(await take_other(browser, name, size, folder))
        if "words" in names or not names:
            keep(await take_words_of_page(browser, folder))
            keep(await take_words_of_element(browser, folder))
        await browser.close()


def main() -> None:
    """Read the command line, and take the pictures."""
    names = [*(picture.name for picture in PICTURES), *OPERATOR, "cost", "words"]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("folder", type=Path, help="where the pictures are put")
    parser.add_argument("names", nargs="*", metavar="name", help=f"all by default: {', '.join(names)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"there is no picture called {' or '.join(sorted(unknown))}")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(take_all(arguments.folder, arguments.names))


if __name__ == "__main__":
    main()
