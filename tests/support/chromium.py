"""What the tests in a browser share: pages that record their text, other connections to the room, and a bad
network.
"""

import asyncio
import contextlib
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from playwright.async_api import BrowserContext, Page, expect
from websockets.asyncio.client import ClientConnection

from harness import ServerProcess

# The shell is the same engine without the browser's windows, whose processes and rendering cost more than our
# page.
EXECUTABLE = shutil.which("chromium-headless-shell") or shutil.which("chromium") or ""
assert EXECUTABLE, (
    "these tests need Chromium; on Debian: apt-get install chromium-headless-shell, elsewhere: chromium"
)
PATIENCE_S = 10.0
"""Long enough for a busy machine, and less than the grace of 15 s after which a broken connection would be
gone anyway.
"""

expect.set_options(timeout=PATIENCE_S * 1_000)

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Runs before the scripts of every page and records each text that the page shows.
RECORDER = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective));
window.said = [];
new MutationObserver(() => {
  const words = ['people', 'source'].map((id) => document.getElementById(id)?.textContent);
  const line = [document.body?.dataset.state, ...words].join(' | ');
  if (said.at(-1) !== line) said.push(line);
}).observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
"""


class Peer:
    """A connection to the room beside the browser's; it keeps every presence that arrives."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for text in self.socket:
            message = json.loads(text)
            if message["type"] == "presence":
                self.heard.append(message)
                self._news.set()

    @property
    def counts(self) -> list[int | None]:
        return [presence["count"] for presence in self.heard]

    async def until(
        self, is_so: Callable[[dict[str, Any]], bool], *, within_s: float = PATIENCE_S
    ) -> dict[str, Any]:
        """Wait until a condition of the latest presence holds."""
        try:
            async with asyncio.timeout(within_s):
                while not (self.heard and is_so(self.heard[-1])):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not so within {within_s} s; heard last: {self.heard[-1:]}") from None
        return self.heard[-1]

    async def until_count(self, count: int, *, within_s: float = PATIENCE_S) -> dict[str, Any]:
        return await self.until(lambda presence: presence["count"] == count, within_s=within_s)

    async def close(self) -> None:
        await self.socket.close()
        await asyncio.gather(self._listening, return_exceptions=True)


class OpenPage(Protocol):
    async def __call__(
        self, url: str = "", *, context: BrowserContext | None = None, init: str = "", moves: bool = ...
    ) -> Page: ...


class BringPeer(Protocol):
    async def __call__(
        self, *, mood: str = "", observe: bool = False, server: ServerProcess | None = None
    ) -> Peer: ...


async def until(is_so: Callable[[], bool | Awaitable[bool]], *, within_s: float = PATIENCE_S) -> None:
    """Poll until a condition holds."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                so = is_so()
                if so if isinstance(so, bool) else await so:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not so within {within_s} s") from None


async def people(page: Page, sentence: str, *, within_s: float = PATIENCE_S) -> None:
    """Wait until the page shows this sentence about the people."""
    await expect(page.locator("#people")).to_have_text(sentence, timeout=within_s * 1_000)


async def source(page: Page, line: str, *, within_s: float = PATIENCE_S) -> None:
    """Wait until the page shows this line about the source."""
    await expect(page.locator("#source")).to_have_text(line, timeout=within_s * 1_000)


async def room(page: Page, expression: str) -> Any:
    """Evaluate an expression of the page's room."""
    return await page.evaluate(f"import('/page.js').then(({{room}}) => {expression})")


async def until_room(page: Page, expression: str, *, within_s: float = 15) -> None:
    """Poll until an expression of the page's room is true. (Playwright's own way needs `eval`, which the
    page's policy forbids.)
    """
    await until(lambda: room(page, expression), within_s=within_s)


async def violations(page: Page) -> list[Any]:
    """Return the violations that axe-core finds.

    It is loaded by the debugger, since the page's policy blocks other scripts.
    """
    session = await page.context.new_cdp_session(page)
    await session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    run = """axe.run().then(({violations, passes}) => JSON.stringify([passes.length, violations.map(({id, nodes}) =>
             [id, nodes.map(({html, failureSummary}) => [html, failureSummary])])]))"""
    answer = await session.send(
        "Runtime.evaluate", {"expression": run, "awaitPromise": True, "returnByValue": True}
    )
    passes, found = json.loads(answer["result"]["value"])
    assert passes > 5
    return list(found)


class Proxy:
    """A TCP proxy in front of a server, which can reject requests and stall connections.

    Attributes:
        refused: Parts of a request's head that are answered with 400.
        frozen: While set, no byte passes in either direction on any connection.
    """

    def __init__(self, port: int) -> None:
        self.refused: tuple[bytes, ...] = ()
        self.frozen = False
        self.heads: list[bytes] = []
        self.url = ""
        self.port = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    def sever(self) -> None:
        """Break every connection."""
        for task in self._tasks:
            task.cancel()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await self._relay(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection to the server; one that opened during a `sever` is closed."""
        opening = asyncio.create_task(asyncio.open_connection("127.0.0.1", self.port))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                (await opening)[1].close()
            raise

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.lower())
        if any(part in head.lower() for part in self.refused):
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        there_reader, there = await self._connect()
        if b"upgrade: websocket" not in head.lower():
            # One request per connection, so that every head is recorded.
            head = head.replace(b"Connection: keep-alive", b"Connection: close")
        there.write(head)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                await until(lambda: not self.frozen, within_s=60)
                sink.write(data)
                await sink.drain()

        ways = [asyncio.create_task(pump(reader, there)), asyncio.create_task(pump(there_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            there.close()
            await asyncio.gather(*ways, return_exceptions=True)
