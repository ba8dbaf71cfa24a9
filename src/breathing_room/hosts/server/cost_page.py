"""What a room costs, as a page: sliders for the crowd, and the bills that ``breathing-room cost`` computes.

The page holds no prices and no formula. It asks ``cost.json``, and shows ``cost.svg``. Both take a moment of a core, so they are computed in a
thread, one at a time, and the last of them are kept.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from breathing_room.core.errors import PeerError
from breathing_room.hosts.common.http.middleware import cacheable
from breathing_room.lab.cost.book import read_book
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.model import Bill, bill, breaks_at
from breathing_room.lab.cost.plot import PLOTTED, plot
from breathing_room.lab.cost.report import describe, notes
from breathing_room.lab.cost.strategies import strategy
from breathing_room.lab.cost.strategy import Strategy

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)

FILES: Final = {"cost": "text/html", "cost.css": "text/css", "cost.js": "text/javascript"}

PLAN: Final = "paid"
MAX_AGE: Final = "public, max-age=3600"
"""Prices are files of this version; only how old they are changes, and by the day."""

KEPT: Final = 128
PEOPLE_MAX: Final = 10_000_000
ERROR_LEAST: Final = Decimal("0.5")
ERROR_MOST: Final = Decimal(50)


def panel_of(error_percent: Decimal) -> int:
    """Say how many must report for a standard error: 1 / error squared."""
    return round(1 / (error_percent / 100) ** 2)


def ways(panel: int) -> list[Strategy]:
    """Make the strategies that the page shows."""
    return [strategy(name, PLAN, panel=panel) for name in PLOTTED]


def recommended(bills: list[Bill], error_percent: Decimal) -> str | None:
    """Find the cheapest that is accurate enough and breaks no limit, None where there is none."""
    enough = [
        made
        for made in bills
        if made.accuracy.rank <= error_percent / 100 * Decimal("1.001") and not made.broken
    ]
    return min(enough, key=lambda made: made.total_usd).strategy.name if enough else None


@lru_cache(KEPT)
def cost_body(people: int, stay_s: Decimal, error_percent: Decimal, day: str) -> bytes:
    """Compute every bill, the cheapest first.

    Args:
        people: How many there are.
        stay_s: How long they stay.
        error_percent: The standard error that is asked for.
        day: The day, as ``YYYY-MM-DD``: prices grow old.
    """
    book, crowd, panel = read_book(), CrowdProfile(people=people, stay_s=stay_s), panel_of(error_percent)
    bills = sorted(
        (bill(way, crowd, book, plan=PLAN) for way in ways(panel)), key=lambda made: made.total_usd
    )
    body = {
        "crowd": {"people": people, "stay_s": float(stay_s), "mood_changes": 1, "hours": 24},
        "error_percent": float(error_percent),
        "panel": panel,
        "recommended": recommended(bills, error_percent),
        "bills": [describe(made, breaks_at(made.strategy, crowd, book, plan=PLAN)) for made in bills],
        "notes": notes(bills, datetime.fromisoformat(day).date()),
    }
    return json.dumps(body, separators=(",", ":")).encode()


@lru_cache(KEPT)
def cost_plot(people: int, stay_s: Decimal, error_percent: Decimal, day: str) -> bytes:
    """Draw the bills, and mark the crowd. The day changes nothing here."""
    del day
    crowd = CrowdProfile(people=people, stay_s=stay_s)
    return plot(ways(panel_of(error_percent)), crowd, read_book(), plan=PLAN, mark=True).encode()


class CostRoutes:
    """The handlers."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def file(self, request: Request) -> Response:
        """Answer with the page, or a file that it is made of."""
        name = request.url.path.rpartition("/")[2]
        body = _read(name if "." in name else f"{name}.html")
        headers = {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        }
        return Response(body, headers=headers, media_type=FILES[name])

    async def json(self, request: Request) -> Response:
        """Answer every bill for a crowd."""
        return cacheable(request, await self._compute(cost_body, request), MAX_AGE)

    async def svg(self, request: Request) -> Response:
        """Answer the plot."""
        body = await self._compute(cost_plot, request)
        return cacheable(request, body, MAX_AGE, media_type="image/svg+xml")

    async def _compute(
        self, compute: Callable[[int, Decimal, Decimal, str], bytes], request: Request
    ) -> bytes:
        people, stay_s, error_percent = decode_query(request.query_params)
        day = datetime.now(UTC).date().isoformat()
        async with self._lock:
            return await asyncio.to_thread(compute, people, stay_s, error_percent, day)


def decode_query(query: Any) -> tuple[int, Decimal, Decimal]:
    """Read who is there, and how accurate the count shall be.

    Raises:
        PeerError: ``bad_cost``.
    """
    people = _number(query.get("people", "10000"), "people", 1, PEOPLE_MAX)
    stay_s = _number(query.get("stay_s", "900"), "stay_s", 1, 30 * 86_400)
    error = _number(query.get("error", "5"), "error", ERROR_LEAST, ERROR_MOST)
    if people != int(people):
        raise PeerError("bad_cost", "people must be a whole number")
    return int(people), stay_s, error


def _number(text: str, name: str, low: int | Decimal, high: int | Decimal) -> Decimal:
    try:
        number = Decimal(text) if len(text) <= 16 else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and low <= number <= high):
        raise PeerError("bad_cost", f"{name} must be a number from {low:,} to {high:,}")
    return number


@lru_cache
def _read(name: str) -> bytes:
    return files("breathing_room.hosts.server").joinpath(name).read_bytes()


def cost_routes() -> list[BaseRoute]:
    """List the routes of the page."""
    routes = CostRoutes()
    return [
        *(Route(f"/{name}", routes.file) for name in FILES),
        Route("/cost.json", routes.json),
        Route("/cost.svg", routes.svg),
    ]
