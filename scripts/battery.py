"""Measure what the open page costs the browser's main thread: python scripts/battery.py [SECONDS].

The share is the processor time that the main thread took for all tasks (scripts, style, layout, painting, and
the browser's own work), by Chromium's `Performance.getMetrics`, in a minute of the open page. The room is
made up in the page, as for the pictures.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from datetime import UTC, datetime

from playwright.async_api import Browser, async_playwright
from screenshots import CROWD, EXECUTABLE, FLAGS, HUGE, SITE, SIZES, Picture, answer

# A join, a leave or a change of mood once a second: as often as a room broadcasts.
BUSY = """
setInterval(() => {
  const presence = structuredClone(PRESENCE);
  for (const mood of Object.keys(presence.moods)) presence.moods[mood] += Math.round(Math.random() * 4 - 2);
  presence.count = Object.values(presence.moods).reduce((sum, people) => sum + people, presence.unspoken);
  if (presence.method === 'counted') presence.label = presence.count.toLocaleString('en');
  for (const socket of window.sockets) socket.onmessage?.({data: JSON.stringify({type: 'presence', ...presence})});
}, 1000);
"""
ROOMS = {
    "quiet, 250 people": (CROWD, False),
    "busy, 250 people": (CROWD, True),
    "busy, 20,000 people": (HUGE, True),
}


async def share(
    browser: Browser, picture: Picture, size: str, seconds: float, *, busy: bool
) -> tuple[float, float]:
    """Return the shares of the time that the main thread was busy, and busy with scripts, in percent."""
    width, height = SIZES[size]
    page = await browser.new_page(
        viewport={"width": width, "height": height}, device_scale_factor=1 if size == "desktop" else 3
    )
    await answer(page, picture)
    await page.add_init_script(
        "window.sockets = []; const Socket = WebSocket;"
        "window.WebSocket = class extends Socket { constructor() { super(); sockets.push(this); } };"
        + (BUSY.replace("PRESENCE", json.dumps(picture.presence)) if busy else "")
    )
    await page.goto(f"{SITE}/")
    await asyncio.sleep(6)  # Loaded, and every light is lit.
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})

    async def metrics() -> dict[str, float]:
        metrics_now = await session.send("Performance.getMetrics")
        return {metric["name"]: metric["value"] for metric in metrics_now["metrics"]}

    before, began_s = await metrics(), time.monotonic()
    await asyncio.sleep(seconds)
    after, ended_s = await metrics(), time.monotonic()
    await page.close()
    task, script = (
        100 * (after[name] - before[name]) / (ended_s - began_s)
        for name in ("TaskDuration", "ScriptDuration")
    )
    return task, script


async def measure(seconds: float) -> None:
    """Print the shares of every room on every screen."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=FLAGS)
        load = os.getloadavg()[0]
        print(
            f"{datetime.now(UTC):%Y-%m-%d}, Chromium {browser.version}, {os.cpu_count()} cores, load {load:.1f}"
        )
        print(f"{'room':<22}{'screen':<10}{'main thread':>12}{'scripts':>10}")
        for room, (presence, busy) in ROOMS.items():
            for size in ("phone", "desktop"):
                picture = Picture(name=room, presence=presence)
                task, script = await share(browser, picture, size, seconds, busy=busy)
                print(f"{room:<22}{size:<10}{task:>10.2f} %{script:>8.2f} %", flush=True)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
