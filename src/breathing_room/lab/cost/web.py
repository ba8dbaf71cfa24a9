"""What a room costs, as a page on this machine: sliders for the crowd, and the bills that ``breathing-room
cost`` computes.

The page (``web/cost``) holds no prices and no formula. It requests ``cost.json``, and shows ``cost.svg``. A
bill takes a third of a second of a core, so no server of rooms answers it: ``breathing-room cost --web``
does, to its own machine.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import PurePath
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from breathing_room.core.errors import ClientError
from breathing_room.hosts.common.http.asgi_server import UVICORN_OPTIONS, AsgiServer, listen, url_of
from breathing_room.hosts.common.http.middleware import cacheable, error_handlers
from breathing_room.hosts.common.http.page_files import MEDIA_TYPES
from breathing_room.lab.cost.book import Book
from breathing_room.lab.cost.crowd import CrowdProfile
from breathing_room.lab.cost.model import Bill, bill, breaks_at
from breathing_room.lab.cost.plot import PLOTTED, plot
from breathing_room.lab.cost.report import describe, notes
from breathing_room.lab.cost.strategies import strategy
from breathing_room.lab.cost.strategy import Strategy

CACHING: Final = "no-cache"
"""Prices may be files that are being edited: after another start the same address has another bill."""

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": CACHING,
}

FILES: Final = {
    "/": "cost/cost.html",
    "/cost.css": "cost/cost.css",
    "/cost.js": "cost/cost.js",
    "/icon.svg": "page/icon.svg",
    "/tokens.css": "page/tokens.css",
}
"""Files of ``web``, by their paths."""

PLAN: Final = "paid"
HOSTS: Final = ("127.0.0.1", "localhost")
"""The names of this machine: a site that lets its own name resolve to it must not read the bills (DNS
rebinding).
"""

KEPT: Final = 128
PEOPLE_MAX: Final = 10_000_000
ERROR_LEAST: Final = Decimal("0.5")
ERROR_MOST: Final = Decimal(50)


def panel_of(error_percent: Decimal) -> int:
    """Return the panel size for a relative standard error: 1 / error squared."""
    return round(1 / (error_percent / 100) ** 2)


def ways(panel: int) -> list[Strategy]:
    """Build the strategies that the page shows."""
    return [strategy(name, PLAN, panel=panel) for name in PLOTTED]


def recommended(bills: list[Bill], error_percent: Decimal) -> str | None:
    """Find the cheapest that is accurate enough and breaks no limit, None where there is none."""
    enough = [
        made
        for made in bills
        if made.accuracy.rank <= error_percent / 100 * Decimal("1.001") and not made.broken
    ]
    return min(enough, key=lambda made: made.total_usd).strategy.name if enough else None


def cost_body(book: Book, people: int, visit_s: Decimal, error_percent: Decimal, day: str) -> bytes:
    """Compute every bill, the cheapest first.

    Args:
        book: The prices.
        people: The size of the crowd.
        visit_s: The mean visit.
        error_percent: The standard error that is asked for.
        day: The day, as ``YYYY-MM-DD``: prices grow old.
    """
    crowd, panel = CrowdProfile(people=people, visit_s=visit_s), panel_of(error_percent)
    bills = sorted(
        (bill(way, crowd, book, plan=PLAN) for way in ways(panel)), key=lambda made: made.total_usd
    )
    body = {
        "crowd": {"people": people, "visit_s": float(visit_s), "mood_changes": 1, "hours": 24},
        "error_percent": float(error_percent),
        "panel": panel,
        "recommended": recommended(bills, error_percent),
        "bills": [describe(made, breaks_at(made.strategy, crowd, book, plan=PLAN)) for made in bills],
        "notes": notes(bills, datetime.fromisoformat(day).date()),
    }
    return json.dumps(body, separators=(",", ":")).encode()


def cost_plot(book: Book, people: int, visit_s: Decimal, error_percent: Decimal, day: str) -> bytes:
    """Draw the bills, and mark the crowd. The day changes nothing here."""
    del day
    crowd = CrowdProfile(people=people, visit_s=visit_s)
    return plot(ways(panel_of(error_percent)), crowd, book, plan=PLAN, mark=True).encode()


class CostPage:
    """The handlers.

    Args:
        book: The prices.
    """

    def __init__(self, book: Book) -> None:
        # Both take a moment of a core: one at a time, in a thread, and the last of them are kept.
        self._lock = asyncio.Lock()
        self._bodies = lru_cache(KEPT)(partial(cost_body, book))
        self._plots = lru_cache(KEPT)(partial(cost_plot, book))
        web = files("breathing_room").joinpath("web")
        self._files = {path: web.joinpath(name).read_bytes() for path, name in FILES.items()}

    async def file(self, request: Request) -> Response:
        """Answer with the page, or a file that it is made of."""
        path = request.url.path
        return Response(
            self._files[path], headers=HEADERS, media_type=MEDIA_TYPES[PurePath(FILES[path]).suffix]
        )

    async def json(self, request: Request) -> Response:
        """Answer every bill for a crowd."""
        return cacheable(request, await self._compute(self._bodies, request), CACHING)

    async def svg(self, request: Request) -> Response:
        """Answer the plot."""
        body = await self._compute(self._plots, request)
        return cacheable(request, body, CACHING, media_type=MEDIA_TYPES[".svg"])

    async def _compute(
        self, compute: Callable[[int, Decimal, Decimal, str], bytes], request: Request
    ) -> bytes:
        people, visit_s, error_percent = decode_query(request.query_params)
        day = datetime.now(UTC).date().isoformat()
        async with self._lock:
            return await asyncio.to_thread(compute, people, visit_s, error_percent, day)


def decode_query(query: Any) -> tuple[int, Decimal, Decimal]:
    """Decode the crowd and the standard error that is asked for.

    Raises:
        ClientError: ``bad_cost``.
    """
    people = _number(query.get("people", "10000"), "people", 1, PEOPLE_MAX)
    visit_s = _number(query.get("visit_s", "900"), "visit_s", 1, 30 * 86_400)
    error = _number(query.get("error", "5"), "error", ERROR_LEAST, ERROR_MOST)
    if people != int(people):
        raise ClientError("bad_cost", "people must be a whole number")
    return int(people), visit_s, error


def _number(text: str, name: str, low: int | Decimal, high: int | Decimal) -> Decimal:
    try:
        number = Decimal(text) if len(text) <= 16 else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and low <= number <= high):
        raise ClientError("bad_cost", f"{name} must be a number from {low:,} to {high:,}")
    return number


def cost_app(book: Book) -> Starlette:
    """Make the application that serves the page.

    Args:
        book: The prices.
    """
    page = CostPage(book)
    return Starlette(
        routes=[
            *(Route(path, page.file) for path in FILES),
            Route("/cost.json", page.json),
            Route("/cost.svg", page.svg),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)],
        exception_handlers=error_handlers(lambda _: None),
    )


def serve_cost(book: Book, *, port: int, on_start: Callable[[str], None]) -> None:
    """Serve the page to this machine alone, until a signal ends it.

    Args:
        book: The prices.
        port: The port; 0 takes a free one.
        on_start: Called with the address of the page when it is served.

    Raises:
        ConfigError: The port cannot be had.
    """
    with listen("127.0.0.1", port) as listener:
        config = uvicorn.Config(cost_app(book), **UVICORN_OPTIONS)
        server = AsgiServer(config, lambda: on_start(f"{url_of(listener)}/"))
        asyncio.run(server.serve(sockets=[listener]))
