"""Chromium without emulation, so that a tab in the background is hidden and can be frozen.

Playwright emulates the focus for every page, and then Chromium freezes none (156, 2026-11). So this speaks
the DevTools protocol itself, as little of it as is needed.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from chromium import EXECUTABLE, FLAGS, until

PATIENCE_S = 60


class DevToolsError(Exception):
    """The browser rejected a command, for example in a page that is being unloaded."""


class Chromium:
    """A browser; ``tab`` opens one more."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}

    async def listen(self) -> None:
        """Receive answers."""
        async for text in self._socket:
            message = json.loads(text)
            if answer := self._answers.pop(message.get("id"), None):
                answer.set_result(message)

    async def send(self, method: str, session: str = "", **params: Any) -> Any:
        """Send a command, and return its result."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        command = {"id": number, "method": method, "params": params} | (
            {"sessionId": session} if session else {}
        )
        await self._socket.send(json.dumps(command))
        async with asyncio.timeout(PATIENCE_S):
            message = await answer
        if "error" in message:
            raise DevToolsError(method, message["error"])
        return message["result"]

    async def tab(self, url: str, *, init: str = "") -> "Tab":
        """Open a tab in front of the others; ``init`` runs before the scripts of its pages."""
        target = (await self.send("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        await self.send("Page.enable", session)
        await self.send("Page.addScriptToEvaluateOnNewDocument", session, source=init)
        await self.send("Page.navigate", session, url=url)
        return Tab(self, target, session)


class Tab:
    """A tab of the browser."""

    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        self._browser, self._target, self._session = browser, target, session

    async def evaluate(self, expression: str) -> Any:
        """Evaluate an expression, which may be a promise."""
        command = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = await self._browser.send("Runtime.evaluate", self._session, **command)
        if "exceptionDetails" in answer:
            raise DevToolsError(expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    async def reload(self) -> None:
        """Reload the page; expressions are evaluated in the new page from then on."""
        await self.evaluate("window.old = true")
        await self._browser.send("Page.reload", self._session)
        await self.until("!window.old")

    async def until(self, expression: str) -> None:
        """Poll until an expression is true."""

        async def is_so() -> bool:
            with contextlib.suppress(DevToolsError):
                return bool(await self.evaluate(expression))
            return False

        try:
            await until(is_so, within_s=PATIENCE_S)
        except AssertionError:
            raise AssertionError(
                f"{expression} is not so; {await self.evaluate('document.body.innerText')}"
            ) from None

    async def sleep(self, *, asleep: bool) -> None:
        """Freeze or resume the tab."""
        state = "frozen" if asleep else "active"
        await self._browser.send("Page.setWebLifecycleState", self._session, state=state)

    async def close(self) -> None:
        """Close the tab."""
        await self._browser.send("Target.closeTarget", targetId=self._target)


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Chromium]:
    """Start a browser with a profile in an empty folder."""
    process = await asyncio.create_subprocess_exec(
        EXECUTABLE, "--headless", *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port_file = profile / "DevToolsActivePort"
        await until(lambda: port_file.exists() and "\n" in port_file.read_text(), within_s=PATIENCE_S)
        port, path = port_file.read_text().splitlines()
        async with connect(
            f"ws://127.0.0.1:{port}{path}", compression=None, max_size=None, ping_interval=None
        ) as socket:
            browser = Chromium(socket)
            listening = asyncio.create_task(browser.listen())
            try:
                yield browser
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
