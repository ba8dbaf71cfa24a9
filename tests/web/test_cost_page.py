"""The page that says what a room costs, in a real browser."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, Page, expect

from chromium import violations
from cost_page import CostPage, cost_page


@pytest.fixture(scope="module")
def costs() -> Iterator[CostPage]:
    """One command that serves the page for all these tests."""
    with cost_page() as page:
        yield page


async def open_cost(browser: Browser, costs: CostPage, *, width: int = 1_000) -> tuple[Page, list[str]]:
    """Open the page, and collect what it asks of others and what it complains of."""
    page = await browser.new_page(viewport={"width": width, "height": 800})
    strange: list[str] = []
    page.on(
        "request", lambda request: None if request.url.startswith(costs.url) else strange.append(request.url)
    )
    page.on("console", lambda message: strange.append(message.text))
    page.on("pageerror", lambda error: strange.append(str(error)))
    await page.goto(costs.url)
    await expect(page.locator("#best-total")).to_have_text("$5.90 a month")
    return page, strange


@pytest.mark.asyncio(loop_scope="session")
async def test_sliders_move_by_keyboard_and_the_bill_follows(costs: CostPage, browser: Browser) -> None:
    """From ten thousand people to a million the panel's bill stays; with a finer count it grows."""
    page, strange = await open_cost(browser, costs)
    await page.locator("#people").focus()
    for _ in range(16):
        await page.keyboard.press("ArrowRight")
    await expect(page.locator("#people-value")).to_have_text("1,000,000")
    assert await page.locator("#people").get_attribute("aria-valuetext") == "1,000,000"
    naive = page.locator("details[data-strategy=naive] .total")
    await expect(naive).to_contain_text("$696,391")
    await expect(page.locator("#best-total")).to_have_text("$5.90 a month")
    await page.locator("#error").focus()
    await page.keyboard.press("Home")
    await expect(page.locator("#best-name")).to_contain_text("self-hosted")
    assert strange == []
    await page.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_a_bill_opens_and_its_plot_is_drawn(costs: CostPage, browser: Browser) -> None:
    """Every bill shows its line items with a link to where the price comes from, and the picture is there."""
    page, strange = await open_cost(browser, costs)
    bill = page.locator("details[data-strategy=fixed]")
    await bill.locator("summary").focus()
    await page.keyboard.press("Enter")
    row = bill.locator("tr", has_text="Durable Object requests")
    await expect(row).to_contain_text("$0.90")
    assert (await row.locator("a").get_attribute("href") or "").startswith(
        "https://developers.cloudflare.com/"
    )
    await page.wait_for_function("document.getElementById('plot').naturalWidth > 0")
    await expect(page.locator("#rests")).to_contain_text(
        "unverified: a cache hit is not a read of the bucket"
    )
    assert strange == []
    await page.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_it_fits_a_phone(costs: CostPage, browser: Browser) -> None:
    """On a narrow screen nothing sticks out, and the sliders can be hit by a thumb."""
    page, strange = await open_cost(browser, costs, width=360)
    await page.locator("details[data-strategy=fixed] summary").click()
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    box = await page.locator("#people").bounding_box()
    assert box
    assert box["height"] >= 44
    assert strange == []
    await page.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_axe_finds_nothing(costs: CostPage, browser: Browser) -> None:
    """axe-core finds nothing wrong with it, all bills opened."""
    page, strange = await open_cost(browser, costs)
    for bill in await page.locator("summary").all():
        await bill.click()
    assert await violations(page) == []
    assert strange == []
    await page.close()
