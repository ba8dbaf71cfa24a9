"""The sky as Chromium draws it: one light a person, the same in every page, and painted only after a join or
a leave.
"""

from typing import Any

import pytest
from playwright.async_api import Page

from chromium import BringPeer, OpenPage, people, until, until_room

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Counts every painting of a light.
COUNTER = """
window.painted = 0;
const {drawImage} = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.drawImage = function (...given) { painted += 1; return drawImage.apply(this, given); };
"""
# Each layer of the sky as it is painted, and where it has turned to at one instant of a clock that no page
# can shift.
SKY = """new Promise((resolve) => requestAnimationFrame(() => resolve({
  at_ms: performance.timeOrigin + performance.now(),
  layers: [...document.querySelectorAll('#sky canvas')].map((canvas) => {
    const [turning] = canvas.getAnimations();
    return {pixels: canvas.toDataURL(), turnMs: turning.effect.getTiming().duration, placeMs: turning.currentTime};
  }),
})))"""
HIDE = """hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
                      document.dispatchEvent(new Event('visibilitychange')); }"""


async def settled(page: Page) -> int:
    """Wait until nothing is painted for a second; return how many lights were, so far."""
    painted = -1
    while (now := await page.evaluate("painted")) != painted:
        painted = now
        await page.wait_for_timeout(1_000)
    return painted


async def sky(page: Page) -> Any:
    return await page.evaluate(SKY)


async def test_every_page_has_the_same_sky(open_page: OpenPage, peer: BringPeer) -> None:
    """
    Pages that came at different times, with clocks 40 s apart, paint the same lights and have turned them as
    far, within 50 ms.
    """
    shifted = COUNTER + "const now = Date.now; Date.now = () => now() + 40_000;"
    first = await open_page(init=COUNTER)
    for mood in ("gratitude", "release", "release", "presence", ""):
        await peer(mood=mood)
    second = await open_page(init=shifted)
    for page in (first, second):
        await people(page, "6 people breathing with you")
    await until_room(second, "room.clockOffsetMs < -39_000")
    for page in (first, second):
        assert await settled(page) > 0
    one, other = await sky(first), await sky(second)
    assert len(one["layers"]) == 3
    for mine, theirs in zip(one["layers"], other["layers"], strict=True):
        assert mine["pixels"] == theirs["pixels"]
        turn_ms = mine["turnMs"]
        apart_ms = (mine["placeMs"] - one["at_ms"] - theirs["placeMs"] + other["at_ms"]) % turn_ms
        assert min(apart_ms, turn_ms - apart_ms) < 50


async def test_nothing_is_painted_without_a_join_or_a_leave(open_page: OpenPage, peer: BringPeer) -> None:
    """
    A light is painted while it appears, and then no more; nor while the page is hidden, also after a join;
    shown again it catches up.
    """
    page = await open_page(init=COUNTER)
    await people(page, "you are the first one here")
    before = await settled(page)
    await peer(mood="release")
    await people(page, "1 person breathing with you")
    after = await settled(page)
    assert after > before

    await page.evaluate(HIDE, True)
    await peer(mood="gratitude")
    await people(page, "2 people breathing with you")
    assert await settled(page) == after
    await page.evaluate(HIDE, False)
    await until(lambda: page.evaluate(f"painted > {after}"))


async def test_lights_appear_gently(open_page: OpenPage, peer: BringPeer) -> None:
    """
    After a join no light that was there moves or dims: each picture differs from the last only where the new
    light is, and it comes in more than one step.
    """
    page = await open_page(init=COUNTER)
    for mood in ("gratitude", "presence", "connection"):
        await peer(mood=mood)
    await people(page, "3 people breathing with you")
    await settled(page)
    # Every picture of the sky from now on, as the strongest of each layer's colors, pixel for pixel.
    await page.evaluate("""(() => {
      window.pictures = [];
      const look = () => [...document.querySelectorAll('#sky canvas')].map((canvas) =>
        canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.filter((_, index) => index % 4 === 3));
      pictures.push(look());
      const {clearRect} = CanvasRenderingContext2D.prototype;
      let due;
      CanvasRenderingContext2D.prototype.clearRect = function (...given) {
        due ??= setTimeout(() => { due = null; pictures.push(look()); });
        return clearRect.apply(this, given);
      };
    })()""")
    await peer(mood="release")
    await people(page, "4 people breathing with you")
    await settled(page)
    steps, least, changed, everything = await page.evaluate("""(() => {
      let [least, changed, everything] = [0, new Set(), 0];
      pictures.forEach((picture, step) => picture.forEach((layer, which) => layer.forEach((alpha, pixel) => {
        everything += step === 0;
        if (!step) return;
        const by = alpha - pictures[step - 1][which][pixel];
        least = Math.min(least, by);
        if (by) changed.add(`${which} ${pixel}`);
      })));
      return [pictures.length, least, changed.size, everything];
    })()""")
    assert steps > 2
    assert least >= -1  # rounding
    assert 0 < changed < everything / 20
