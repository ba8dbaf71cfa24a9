"""The snippets of the README, run as they stand."""

import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from chromium import EXECUTABLE, FLAGS
from harness import ServerProcess

README = (Path(__file__).resolve().parent.parent.parent / "README.md").read_text(encoding="utf-8")


def snippet(language: str, server: ServerProcess) -> str:
    """The first snippet in a language, with the address of our server."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1].replace("http://127.0.0.1:8000", server.url)


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


@pytest.fixture
def site(server: ServerProcess) -> Iterator[str]:
    """A site of somebody else with the snippet on its page."""
    page = f"<!doctype html><title>Mine</title><link rel=icon href=data:,>{snippet('html', server)}".encode()

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


async def test_the_web_snippet(site: str) -> None:
    """
    A page of another site with the five lines shows how many people are there.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=FLAGS)
        page = await browser.new_page()
        await page.goto(site)
        await expect(page.locator("p")).to_have_text("1 people are here with you", timeout=15_000)
        await browser.close()
