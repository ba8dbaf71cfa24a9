"""Who may use the server from a web page."""

import pytest

from breathing_room.core.errors import ClientError
from breathing_room.hosts.common.http.origins import check_origin, cross_origin, origin_allowed, preflight

OURS = ("https://example.com", "http://localhost:3000")


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "may"),
    [
        (None, "room.example", OURS, True),  # no web page
        ("https://example.com", "room.example", OURS, True),
        ("http://localhost:3000", "room.example", OURS, True),
        ("https://anything.example", "room.example", ("*",), True),
        ("null", "room.example", ("*",), True),
        ("https://room.example", "room.example", OURS, True),  # its own pages
        ("http://room.example:8000", "room.example:8000", OURS, True),
        ("http://room.example:8000", "room.example", OURS, False),
        ("http://example.com", "room.example", OURS, False),  # another scheme
        ("https://example.com:8443", "room.example", OURS, False),
        ("https://sub.example.com", "room.example", OURS, False),
        ("https://example.com.evil.example", "room.example", OURS, False),
        ("https://evil.example/https://example.com", "room.example", OURS, False),
        ("null", "room.example", OURS, False),
        ("", "room.example", OURS, False),
        ("https://evil.example", None, (), False),
    ],
)
def test_origin(origin: str | None, host: str | None, allowed: tuple[str, ...], *, may: bool) -> None:
    """
    The origins of the config are allowed, the server's own is, and so is a request without an origin; no
    other is.
    """
    assert origin_allowed(origin, host, allowed) is may
    if may:
        check_origin(origin, host, allowed)
    else:
        with pytest.raises(ClientError) as error:
            check_origin(origin, host, allowed)
        assert (error.value.code, error.value.status) == ("forbidden_origin", 403)


def test_pages_may_read_where_their_origin_is_allowed() -> None:
    """
    Where all origins may ask the answer is the same for all; where some may, it varies, and names the one
    that asks.
    """
    page = "https://example.com"
    assert cross_origin(page, ("*",)) == cross_origin(None, ("*",))
    assert cross_origin(page, ("*",))["Access-Control-Allow-Origin"] == "*"
    mine = cross_origin(page, OURS)
    assert (mine["Access-Control-Allow-Origin"], mine["Vary"]) == (page, "Origin")
    for other in (None, "https://evil.example"):
        assert cross_origin(other, OURS) == {"Vary": "Origin"}


@pytest.mark.parametrize(
    ("origin", "method", "headers", "status"),
    [
        ("https://example.com", "POST", "content-type", 200),
        ("https://example.com", "GET", None, 200),
        ("https://example.com", "POST", "Content-Type, Accept", 200),
        ("https://evil.example", "POST", "content-type", 403),
        ("https://example.com", "DELETE", None, 403),
        ("https://example.com", "POST", "content-type, x-token", 403),
    ],
)
def test_a_preflight_grants_what_pages_may_send(
    origin: str, method: str, headers: str | None, status: int
) -> None:
    """
    An allowed page may send JSON by GET and POST and need not ask again for a day; anything else is refused
    without a grant.
    """
    answer = preflight(origin, OURS, method=method, headers=headers)
    assert answer.status == status
    assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is (status == 200)
    assert (answer.headers.get("Access-Control-Max-Age") == "86400") is (status == 200)
