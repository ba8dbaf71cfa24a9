"""Who may use the server from a web page."""

import pytest

from breathing_room.hosts.common.http.origins import origin_allowed

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
    The origins of the config may, the server's own may, and so may whoever is no web page; nobody else.
    """
    assert origin_allowed(origin, host, allowed) is may
