"""The operator's page: what one server knows of its rooms and of itself, for whoever holds the ``admin_token``.

Without a token in the config none of these paths exists. The token comes in ``Authorization: Bearer``, or once through a form,
which leaves a cookie. The cookie holds a keyed hash and not the token, so a browser never keeps what the config does;
another token makes every cookie worthless. Comparing takes the same time whatever is wrong, and a wrong one is answered at once:
at 32 random characters nobody guesses. Nothing here is logged.
"""

import hashlib
import hmac
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from breathing_room.core.errors import PeerError
from breathing_room.core.wire import DEFAULT_ROOM, encode, presence_body, resolve_room
from breathing_room.hosts.common.http.middleware import check_origin, json_response, read_body
from breathing_room.hosts.server.admin.page import admin_page, sign_in_page
from breathing_room.hosts.server.host import Host, RoomHost
from breathing_room.hosts.server.metrics import COUNTERS, room_gauges

COOKIE: Final = "breathing-room-admin"
COOKIE_S: Final = 12 * 3_600
"""A working day."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)

PREFIXES_SHOWN: Final = 5
PREFIX_BYTES: Final = 4
"""Enough of a hash to tell two of five apart, and to be of no other use."""


class Gate:
    """Tells who may see.

    Args:
        token: The token of the config.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.cookie = hmac.digest(self._token, b"breathing-room admin cookie", hashlib.sha256).hex()

    def opens(self, token: str) -> bool:
        """Tell whether this is the token."""
        return hmac.compare_digest(token.encode(), self._token)

    def check(self, request: Request) -> None:
        """Refuse whoever shows neither the token nor a cookie.

        Raises:
            PeerError: ``token_needed`` or ``wrong_token``.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if self.opens(token.strip()):
                return
            raise wrong_token()
        if not hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self.cookie.encode()):
            raise PeerError("token_needed", "show the operator's token to see this", status=401)


def wrong_token() -> PeerError:
    """Say that a token is not the one."""
    return PeerError("wrong_token", "this is not the operator's token", status=403)


class AdminRoutes:
    """The handlers, over one host whose config has a token."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._gate = Gate(host.config.admin_token)
        self._files = {
            name: files("breathing_room.hosts.server").joinpath(name).read_bytes()
            for name in ("admin.css", "admin.js")
        }

    async def page(self, request: Request) -> Response:
        """Answer with the page; to a browser that shows no token with a form for it."""
        try:
            self._gate.check(request)
        except PeerError as error:
            if not _wants_html(request):
                raise
            self.host.counters.refuse(error.code)
            return _html(sign_in_page(), status=error.status)
        return _html(admin_page(self._body(request)))

    async def sign(self, request: Request) -> Response:
        """Take the form of signing in or out."""
        check_origin(request, ())
        body = await read_body(request, self.host.config.body_bytes_max)
        form = parse_qs(body.decode(errors="replace"))
        back = RedirectResponse("admin", status_code=303, headers={"Cache-Control": "no-store"})
        path = request.scope.get("root_path") or "/"
        if "sign_out" in form:
            back.delete_cookie(COOKIE, path=path, httponly=True, samesite="strict")
            return back
        if not self._gate.opens(form.get("token", [""])[0].strip()):
            error = wrong_token()
            if not _wants_html(request):
                raise error
            self.host.counters.refuse(error.code)
            return _html(sign_in_page(error.message), status=error.status)
        # Behind a proxy that ends TLS the scheme that we see is not the browser's.
        secure = "https" in {request.url.scheme, request.headers.get("x-forwarded-proto")}
        back.set_cookie(
            COOKIE,
            self._gate.cookie,
            max_age=COOKIE_S,
            path=path,
            secure=secure,
            httponly=True,
            samesite="strict",
        )
        return back

    async def json(self, request: Request) -> Response:
        """Answer what the page shows."""
        self._gate.check(request)
        return json_response(encode(self._body(request)))

    async def style(self, _: Request) -> Response:
        """Answer how the page looks."""
        return _file(self._files["admin.css"], "text/css")

    async def script(self, _: Request) -> Response:
        """Answer what keeps the page fresh."""
        return _file(self._files["admin.js"], "text/javascript")

    def _body(self, request: Request) -> dict[str, Any]:
        name = resolve_room(request.query_params.get("room", DEFAULT_ROOM), self.host.config.default_room)
        room = self.host.rooms.get(name)
        if room is None:
            raise PeerError("no_such_room", "there is no such room here", status=404)
        return admin_body(self.host, room)


def admin_routes(host: Host) -> list[BaseRoute]:
    """List the routes of the page; none without a token."""
    if not host.config.admin_token:
        return []
    routes = AdminRoutes(host)
    return [
        Route("/admin", routes.page),
        Route("/admin", routes.sign, methods=["POST"]),
        Route("/admin.json", routes.json),
        Route("/admin.css", routes.style),
        Route("/admin.js", routes.script),
    ]


def _wants_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _html(page: str, *, status: int = 200) -> Response:
    headers = {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        # With less, a browser hides from us that the form is our own.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(page, status, headers, media_type="text/html")


def _file(body: bytes, media_type: str) -> Response:
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(body, headers=headers, media_type=media_type)


# --- What there is to see ---------------------------------------------------------------------------------------------


def admin_body(host: Host, room: RoomHost) -> dict[str, Any]:
    """Say what the page shows: the server, a row for every room, and one room at length.

    Args:
        host: The server.
        room: The room at length.
    """
    wall_ms = host.clock.wall_ms()
    rooms = sorted((room_row(other, wall_ms) for other in host.rooms.values()), key=_most_first)
    return {
        "now_ms": wall_ms,
        "started_at_ms": host.started_at_ms,
        "sockets": host.session_count,
        "sockets_max": host.sockets_max,
        "totals": {name: getattr(host.counters, name) for name in COUNTERS},
        "refusals": dict(host.counters.refusals.most_common()),
        "store": store_body(host),
        "nodes": node_rows(host),
        "rooms": rooms,
        "room": room_body(room, wall_ms),
    }


def _most_first(row: dict[str, Any]) -> tuple[int, str]:
    return -(row["presence"]["count"] or 0), row["room"]


def room_row(room: RoomHost, wall_ms: int) -> dict[str, Any]:
    """Say of a room what fits a row."""
    assert room.day is not None
    return {
        "room": room.name,
        "presence": presence_body(room.presence()),
        "audience": len(room.audience),
        "today": room.day.body(wall_ms=wall_ms),
    }


def room_body(room: RoomHost, wall_ms: int) -> dict[str, Any]:
    """Say of a room everything."""
    assert room.day is not None
    gauges = room_gauges(room)
    panel = room.room.panel
    seats = panel.seat_count + panel.capped_count
    return room_row(room, wall_ms) | {
        "seats": panel.seat_count,
        "seats_capped": panel.capped_count,
        "prefix_alarm": bool(gauges["prefix_alarm"]),
        "prefixes": [
            {"prefix": prefix[:PREFIX_BYTES].hex(), "seats": held, "share": round(held / seats, 4)}
            for prefix, held in panel.largest_prefixes(PREFIXES_SHOWN)
        ],
        "last_day": room.day.trail_body(wall_ms=wall_ms),
        "week": [] if room.history is None else room.history.averages(),
    }


def store_body(host: Host) -> dict[str, Any]:
    """Say how the store fares."""
    return {
        "kind": type(host.store).__name__.removesuffix("Store").lower(),
        "saved_at_ms": host.saved_at_ms,
        "failures": host.counters.snapshots_failed + host.counters.histories_failed,
    }


def node_rows(host: Host) -> list[dict[str, Any]]:
    """List the nodes of a cluster, this one first; none where there is no cluster."""
    cluster = host.cluster
    if cluster is None:
        return []
    now_ms = host.clock.now_ms()
    own = {
        "node": cluster.node[0],
        "people": sum(room.room.count for room in host.rooms.values()),
        "heard_ms": 0,
        "state": "cut off" if cluster.nodes.is_cut_off(now_ms) else "this server",
    }
    return [own] + [
        {
            "node": node.message.node[0],
            "people": sum(summary.leases for summary in node.sums.values()),
            "heard_ms": max(0, now_ms - node.heard_at_ms),
            "state": "gone" if node.is_gone else "late" if cluster.nodes.is_late(node, now_ms) else "live",
        }
        for node in cluster.nodes
    ]
