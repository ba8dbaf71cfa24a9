"""Who may see the operator's page."""

import pytest
from starlette.requests import Request

from breathing_room.core.errors import ClientError
from breathing_room.hosts.server.admin.auth import COOKIE, AdminAuth

TOKEN = "a-token-of-32-characters-or-more-0"


def asking(**headers: str) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/admin", "query_string": b"", "headers": raw})


def test_another_token_makes_cookies_worthless() -> None:
    """The cookie follows from the token, and does not hold it."""
    one, other = AdminAuth(TOKEN), AdminAuth(TOKEN + "1")
    assert one.cookie != other.cookie
    assert one.opens(TOKEN)
    assert not other.opens(TOKEN)
    assert TOKEN not in one.cookie


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"authorization": f"Bearer {TOKEN}"}, None),
        ({"authorization": f"bearer  {TOKEN} "}, None),
        ({"cookie": f"{COOKIE}={AdminAuth(TOKEN).cookie}"}, None),
        ({"cookie": f"{COOKIE}={TOKEN}"}, "token_needed"),
        (
            {"authorization": f"Bearer {TOKEN}x", "cookie": f"{COOKIE}={AdminAuth(TOKEN).cookie}"},
            "wrong_token",
        ),
        ({}, "token_needed"),
    ],
)
def test_a_token_or_its_cookie_is_shown(headers: dict[str, str], code: str | None) -> None:
    """The token in any case of the scheme and the cookie that follows from it are accepted; a wrong token is
    rejected, with any cookie.
    """
    auth, request = AdminAuth(TOKEN), asking(**headers)
    if code is None:
        auth.check(request)
        return
    with pytest.raises(ClientError) as refused:
        auth.check(request)
    assert refused.value.code == code
