"""The files that the page is made of."""

import gzip
import re
import urllib.request

import pytest
from playwright.async_api import Browser

from breathing_room.hosts.common.http.page_files import page_files
from chromium import OpenPage, people
from harness import ServerProcess
from node import PAGE

CLIENT_BYTES_MAX = 8_000
ELEMENT_BYTES_MAX = 10_000
SENTENCE_BYTES_MAX = 2_500
WHOLE_BYTES_MAX = 40_000


def size_of(url: str) -> int:
    """Bytes that a browser gets for a file."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip, deflate, br, zstd"})
    with urllib.request.urlopen(request) as answer:
        body: bytes = answer.read()
        assert answer.headers["Content-Encoding"] == "gzip"
    assert len(body) < len(gzip.decompress(body))
    return len(body)


@pytest.mark.asyncio(loop_scope="session")
async def test_it_is_light(
    server: ServerProcess, browser: Browser, open_page: OpenPage, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    All that the page loads, in a language that is not its first, is below 40 KB as our server sends it, and
    the client for other pages below 8 KB; its sentence in all languages is below 2.5 KB, and the element,
    which has both, below 10 KB.
    """
    context = await browser.new_context(locale="pl")
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url.removeprefix(f"{server.url}/")))
    page = await open_page(context=context)
    await people(page, "na razie nie ma tu nikogo poza tobą")
    files = {path.partition("?")[0] or "index.html" for path in asked if not path.startswith("v1/")}
    sizes = {
        file: size_of(f"{server.url}/{file}")
        for file in sorted(files | {"icon.svg", "element.js", "sentence.js"})
    }
    element, sentence = sizes.pop("element.js"), sizes.pop("sentence.js")
    client, whole = sizes["client.js"], sum(sizes.values())
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what people ask for
            f"\nas served: page {whole - client:,} + client {client:,} = {whole:,} bytes; "
            f"sentence {sentence:,}, client with the element {element:,}"
        )
    assert {"index.html", "style.css", "page.js", "client.js", "words.pl.js"} <= sizes.keys()
    assert whole < WHOLE_BYTES_MAX
    assert client < CLIENT_BYTES_MAX
    assert element < ELEMENT_BYTES_MAX
    assert sentence < SENTENCE_BYTES_MAX


def test_no_inline_script_or_style() -> None:
    """The policy allows none, so that there is none."""
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    assert "style=" not in page
    assert "<style" not in page
    assert page.count("<script") == page.count('<script type="module" src=') == 1


def test_everything_is_asked_for_at_once() -> None:
    """
    The page names each file that its scripts import, so that none waits for another; but no language that few
    need.
    """
    files = {name: body.decode() for name, body in page_files().items()}
    named = set(re.findall(r'<link rel="modulepreload" href="(.*?)">', files["index.html"]))
    needed, wanted = set(), {"page.js"}
    while wanted:
        file = wanted.pop()
        needed.add(file)
        wanted |= set(re.findall(r"^import .*? from '\./(.*?)';$", files[file], re.MULTILINE)) - needed
    assert named == needed - {"page.js"}
