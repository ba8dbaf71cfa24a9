"""The operator's page: what one server knows of its rooms and of itself, for those who hold the ``admin_token``.

Without a token in the config none of these paths exists. ``auth.py`` says who may see, ``body.py`` what there is to see, and
``page.py`` how it looks. Nothing here is logged.
"""

from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

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
        """Answer with the page; to a browser that shows no token with a form for it."""
        try:
            self._auth.check(request)
        except ClientError as error:
            if not _wants_html(request):
                raise
            self.host.counters.refuse(error.code)
            return _html(sign_in_page(), status=error.status)
        return _html(admin_page(self._body(request)))

    async def sign(self, request: Request) -> Response:
        """Take the form of signing in or out."""
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
        # Behind a proxy that ends TLS the scheme that we see is not the browser's.
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
        """Answer what the page shows."""
        self._auth.check(request)
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
            raise ClientError("no_such_room", "there is no such room here", status=404)
        return admin_body(self.host, room)


def admin_routes(host: App) -> list[BaseRoute]:
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
