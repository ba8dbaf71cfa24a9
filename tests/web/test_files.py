"""The files that the page is made of."""

import gzip
import re

import pytest
from playwright.async_api import Browser

from chromium import OpenPage, people
from harness import ServerProcess
from node import WEB

CLIENT = re.compile(r"(client|http|interpolation|polling|socket|tabs)\.js")


@pytest.mark.asyncio(loop_scope="session")
async def test_it_is_light(
    server: ServerProcess, browser: Browser, open_page: OpenPage, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Everything that the page loads, in a language that is not its first, is below 40 KB compressed.
    """
    context = await browser.new_context(locale="pl")
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url.removeprefix(f"{server.url}/")))
    page = await open_page(context=context)
    await people(page, "na razie nie ma tu nikogo poza tobą")
    files = {path.partition("?")[0] or "index.html" for path in asked if not path.startswith("v1/")}
    sizes = {
        file: len(gzip.compress((WEB / file).read_bytes(), mtime=0)) for file in sorted(files | {"icon.svg"})
    }
    whole = sum(sizes.values())
    client = sum(size for file, size in sizes.items() if CLIENT.fullmatch(file))
    with capsys.disabled():
        print(f"\npage {whole - client:,} + client {client:,} = {whole:,} bytes compressed")  # noqa: T201 - the figure is what people ask for
    assert {"index.html", "style.css", "page.js", "client.js", "words.pl.js"} <= sizes.keys()
    assert whole < 40_000


def test_no_inline_script_or_style() -> None:
    """
    The policy allows none, so that there is none.
    """
    page = (WEB / "index.html").read_text(encoding="utf-8")
    assert "style=" not in page
    assert "<style" not in page
    assert page.count("<script") == page.count('<script type="module" src=') == 1


def test_everything_is_asked_for_at_once() -> None:
    """
    The page names each file that its scripts import, so that none waits for another; but no language that few need.
    """
    page = (WEB / "index.html").read_text(encoding="utf-8")
    named = set(re.findall(r'<link rel="modulepreload" href="(.*?)">', page))
    needed, wanted = set(), {"page.js"}
    while wanted:
        file = wanted.pop()
        needed.add(file)
        wanted |= (
            set(
                re.findall(
                    r"^import .*? from '\./(.*?)';$", (WEB / file).read_text(encoding="utf-8"), re.MULTILINE
                )
            )
            - needed
        )
    assert named == needed - {"page.js"}
