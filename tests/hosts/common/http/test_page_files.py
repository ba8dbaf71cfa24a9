"""Which files the page has."""

from pathlib import Path

from breathing_room.hosts.common.http.page_files import MEDIA_TYPES, page_files
from node import CLIENT, PAGE


def test_what_was_built_goes_before_its_source() -> None:
    """Every file of the page is there; of the client the one that was built; and nothing of another kind,
    such as types or packages.
    """
    files = page_files()
    assert (
        files["client.js"]
        == (CLIENT / "dist" / "client.js").read_bytes()
        != (CLIENT / "client.js").read_bytes()
    )
    assert files["page.js"] == (PAGE / "page.js").read_bytes()
    assert {Path(name).suffix for name in files} == set(MEDIA_TYPES)
