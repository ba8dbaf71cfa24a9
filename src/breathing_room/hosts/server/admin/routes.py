"""The operator's page: the state of one server and its rooms, protected by the ``admin_token``.

Without a token in the config none of these paths exists. ``auth.py`` checks the token, ``body.py`` collects
the data, and ``page.py`` renders it. Nothing here is logged.
"""

from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from breathing_room.core.admission import admit_room
from breathing_room.core.errors import ClientError
from breathing_room.core.wire import DEFAULT_ROOM, encode, resolve_room
from breathing_room.hosts.common.http.middleware import check_request_origin, json_response, read_body
from breathing_room.hosts.server.admin.auth import COOKIE, COOKIE_S, AdminAuth, wrong_token
from breathing_room.hosts.server.admin.body import admin_body
from breathing_room.hosts.server.admin.page import admin_page, sign_in_page
from breathing_room.hosts.server.app import App

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


class AdminRoutes:
    """The handlers, over one host whose config has a token."""

    def __init__(self, host: App) -> None:
        self.host = host
        self._auth = AdminAuth(host.config.admin_token)
        self._files = {
            name: files("breathing_room").joinpath("web", "admin", name).read_bytes()
            for name in ("admin.css", "admin.js")
        }

    async def page(self, request: Request) -> Response:
        """Answer with the page, or to a browser without a token with the form for it."""
        try:
            self._auth.check(request)
        except ClientError as error:
            if not _wants_html(request):
                raise
            self.host.counters.refuse(error.code)
            return _html(sign_in_page(), status=error.status)
        return _html(admin_page(self._body(request)))

    async def sign(self, request: Request) -> Response:
        """Handle the form that signs in or out."""
        check_request_origin(request, ())
        body = await read_body(request, self.host.config.body_bytes_max)
        form = parse_qs(body.decode(errors="replace"))
        back = RedirectResponse("admin", status_code=303, headers={"Cache-Control": "no-store"})
        path = request.scope.get("root_path") or "/"
        if "sign_out" in form:
            back.delete_cookie(COOKIE, path=path, httponly=True, samesite="strict")
            return back
        if not self._auth.opens(form.get("token", [""])[0].strip()):
            error = wrong_token()
            if not _wants_html(request):
                raise error
            self.host.counters.refuse(error.code)
            return _html(sign_in_page(error.message), status=error.status)
        # Behind a proxy that terminates TLS the scheme of the request is not the browser's.
        secure = "https" in {request.url.scheme, request.headers.get("x-forwarded-proto")}
        back.set_cookie(
            COOKIE,
            self._auth.cookie,
            max_age=COOKIE_S,
            path=path,
            secure=secure,
            httponly=True,
            samesite="strict",
        )
        return back

    async def json(self, request: Request) -> Response:
        """Answer the data of the page as JSON."""
        self._auth.check(request)
        return json_response(encode(self._body(request)))

    async def style(self, _: Request) -> Response:
        """Answer the style sheet."""
        return _file(self._files["admin.css"], "text/css")

    async def script(self, _: Request) -> Response:
        """Answer the script that refreshes the page."""
        return _file(self._files["admin.js"], "text/javascript")

    def _body(self, request: Request) -> dict[str, Any]:
        name = resolve_room(request.query_params.get("room", DEFAULT_ROOM), self.host.config.default_room)
        room = self.host.rooms.get(name)
        admit_room(is_known=room is not None, open_rooms=False)
        assert room is not None
        return admin_body(self.host, room)


def admin_routes(host: App) -> list[BaseRoute]:
    """Return the routes of the page; none without a token."""
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
        # With "no-referrer" a browser would send the form with "Origin: null".
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(page, status, headers, media_type="text/html")


def _file(body: bytes, media_type: str) -> Response:
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(body, headers=headers, media_type=media_type)
