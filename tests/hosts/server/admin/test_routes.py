"""The operator's page: who is let in to it, and what may run in it."""

import logging

import pytest

from breathing_room.hosts.server.admin.auth import COOKIE
from inside import client_of, host_inside

TOKEN = "a-token-of-32-characters-or-more-0"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
HTML = {"Accept": "text/html,*/*"}
PATHS = ("/admin", "/admin.json", "/admin.css", "/admin.js")


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_token_it_does_not_exist(path: str) -> None:
    """Without a token in the config the paths do not exist, with any credentials."""
    async with host_inside() as host, client_of(host) as client:
        answer = await client.get(path, headers=BEARER | HTML)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("path", ["/admin", "/admin.json"])
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "token_needed"),
        ({"Authorization": "Basic YTpi"}, 401, "token_needed"),
        ({"Cookie": f"{COOKIE}={TOKEN}"}, 401, "token_needed"),
        ({"Cookie": f"{COOKIE}=\u00fc"}, 401, "token_needed"),
        ({"Authorization": "Bearer "}, 403, "wrong_token"),
        ({"Authorization": f"Bearer {TOKEN}x"}, 403, "wrong_token"),
        ({"Authorization": f"Bearer {TOKEN[:-1]}"}, 403, "wrong_token"),
        ({"Authorization": "Bearer \u00fc"}, 403, "wrong_token"),
    ],
)
async def test_who_has_no_token_sees_nothing(
    path: str, headers: dict[str, str], status: int, code: str
) -> None:
    """No token, a wrong one, or the token where the cookie should be: an error in its one shape, counted, and
    no more.
    """
    async with host_inside(admin_token=TOKEN) as host, client_of(host) as client:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        answer = await client.get(path, headers=raw)
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == code
        assert ("www-authenticate" in answer.headers) == (status == 401)
        assert host.counters.refusals == {code: 1}


async def test_the_token_opens() -> None:
    """With the token there is a page for a browser, and the same as JSON; no cache may store either."""
    async with host_inside(admin_token=TOKEN) as host, client_of(host) as client:
        page = await client.get("/admin", headers=BEARER)
        assert page.headers["content-type"].startswith("text/html")
        body = await client.get("/admin.json", headers=BEARER)
        assert body.json()["room"]["room"] == "lobby"
        assert page.headers["cache-control"] == body.headers["cache-control"] == "no-store"


async def test_a_browser_signs_in_and_out() -> None:
    """A browser is asked for the token once, keeps a cookie that no script reads and no other site sends, and
    drops it on sign-out.
    """
    async with host_inside(admin_token=TOKEN) as host, client_of(host) as client:
        asked = await client.get("/admin", headers=HTML)
        assert (asked.status_code, asked.headers["www-authenticate"]) == (401, "Bearer")
        assert 'type="password"' in asked.text
        signed = await client.post("/admin", data={"token": TOKEN}, headers=HTML)
        assert (signed.status_code, signed.headers["location"]) == (303, "admin")
        cookie = signed.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
        assert TOKEN not in cookie
        assert "here now" in (await client.get("/admin", headers=HTML)).text
        assert (await client.get("/admin.json")).status_code == 200
        assert (await client.post("/admin", data={"sign_out": "1"}, headers=HTML)).status_code == 303
        assert (await client.get("/admin.json")).status_code == 401


async def test_a_wrong_token_is_asked_for_again() -> None:
    """A browser that sends a wrong token gets the form again, without
    what it sent; a program gets the error.
    """
    async with host_inside(admin_token=TOKEN) as host, client_of(host) as client:
        again = await client.post("/admin", data={"token": "5ecret"}, headers=HTML)
        assert again.status_code == 403
        assert "the operator&#x27;s token is wrong" in again.text
        assert "5ecret" not in again.text
        assert "set-cookie" not in again.headers
        answer = await client.post("/admin", content=b"\xff\xfe")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_token")
        assert (await client.post("/admin", content=b"x" * 5_000)).status_code == 413


async def test_another_site_may_not_sign_in() -> None:
    """The form of another site is refused, even where its pages may use the rooms; that of our own is not."""
    async with host_inside(admin_token=TOKEN) as host, client_of(host) as client:
        for origin, status in (
            ("https://elsewhere.example", 403),
            ("null", 403),
            ("http://room.example", 303),
        ):
            answer = await client.post("/admin", data={"token": TOKEN}, headers={"Origin": origin})
            assert answer.status_code == status


async def test_over_tls_the_cookie_stays_there() -> None:
    """Where the browser speaks TLS, by itself or to a proxy before us,
    the cookie never travels without it.
    """
    async with host_inside(admin_token=TOKEN) as host, client_of(host) as client:
        for headers, secure in (({"X-Forwarded-Proto": "https"}, True), ({}, False)):
            answer = await client.post("/admin", data={"token": TOKEN}, headers=headers)
            assert ("Secure" in answer.headers["set-cookie"].split("; ")) == secure


async def test_nothing_runs_in_the_page_but_its_own() -> None:
    """Page and form allow no script, style or frame from elsewhere, and have none inline."""
    async with host_inside(admin_token=TOKEN) as host, client_of(host) as client:
        for headers in (BEARER, HTML):
            page = await client.get("/admin", headers=headers)
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert "<style" not in page.text
            assert "style=" not in page.text
            assert page.text.count("<script") == page.text.count(
                '<script type="module" src="admin.js"></script>'
            )
        for path in ("/admin.css", "/admin.js", "/tokens.css"):
            assert (await client.get(path)).status_code == 200
            assert path.endswith(".js") or f'"{path[1:]}"' in page.text


async def test_the_token_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Right or wrong, no log line holds a token."""
    caplog.set_level(logging.DEBUG)
    async with host_inside(admin_token=TOKEN) as host, client_of(host) as client:
        await client.get("/admin", headers=BEARER)
        await client.get("/admin", headers={"Authorization": "Bearer 5ecret"})
        await client.post("/admin", data={"token": "5ecret"})
    logged = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith("breathing")
    )
    assert TOKEN not in logged
    assert "5ecret" not in logged
