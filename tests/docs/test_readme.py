"""The snippets of the README, run as they stand."""

import asyncio
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.async_api import Route, async_playwright, expect

from chromium import EXECUTABLE, FLAGS
from harness import ServerProcess

README = (Path(__file__).resolve().parent.parent.parent / "README.md").read_text(encoding="utf-8")


def snippet(language: str, server: ServerProcess, *, containing: str = "") -> str:
    """The first snippet in a language that has this in it, with the address of our server."""
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(text for text in found if containing in text).replace("http://127.0.0.1:8000", server.url)


def test_the_python_snippet(server: ServerProcess) -> None:
    """
    Whoever runs the five lines is in the room and hears so.
    """
    program = subprocess.Popen(
        [sys.executable, "-u", "-c", snippet("python", server)], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout
    assert program.stdout.readline() == "1 {'gratitude': 1, 'presence': 0, 'release': 0, 'connection': 0}\n"
    program.kill()
    program.wait()
    program.stdout.close()


@contextmanager
def site(html: str) -> Iterator[str]:
    """A site of another origin with this on its page."""
    page = f"<!doctype html><html lang=en><title>Mine</title><link rel=icon href=data:,>{html}".encode()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- likewise
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}/"
        listening.shutdown()


async def shows_the_others(html: str, place: str) -> None:
    """Check that a page with this HTML says nothing, then that the reader is alone, and then how many others there are."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=FLAGS)
        with site(html) as url:
            page = await browser.new_page()
            asked, answered = asyncio.Event(), asyncio.Event()

            async def hold(route: Route) -> None:
                asked.set()
                await answered.wait()
                await route.continue_()

            await page.route("**/v1/rooms/lobby/config", hold)
            await page.goto(url)
            await asked.wait()
            assert await page.inner_text("body") == ""
            answered.set()
            here = page.locator(place)
            await expect(here).to_have_text("you are the first one here", timeout=15_000)
            another = await browser.new_page()  # in a browser of its own
            await another.goto(url)
            await expect(here).to_have_text("1 person is here with you", timeout=15_000)
            await another.close()
            await expect(here).to_have_text("you are the first one here", timeout=15_000)
        await browser.close()


async def test_the_line_of_html(server: ServerProcess) -> None:
    """
    U3: a page of another site with the one line says how many others are there, and nothing until that is known.
    """
    html = snippet("html", server)
    assert html.count("\n") == 2
    await shows_the_others(html, "breathing-room")


async def test_the_web_snippet(server: ServerProcess) -> None:
    """
    U3: a page of another site with the lines of script says how many others are there, and nothing until that is known.
    """
    await shows_the_others(snippet("html", server, containing="import"), "p")
