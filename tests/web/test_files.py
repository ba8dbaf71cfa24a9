"""The files that the page is made of."""

import gzip
from pathlib import Path

import breathing_room

WEB = Path(breathing_room.__file__).parent / "web"


def test_it_is_light() -> None:
    """
    Everything that the page loads is far below 40 KB compressed.
    """
    sizes = {
        file.name: len(gzip.compress(file.read_bytes(), mtime=0))
        for file in WEB.iterdir()
        if file.suffix != ".py"
    }
    assert sum(sizes.values()) < 24_000


def test_no_inline_script_or_style() -> None:
    """
    The policy allows none, so that there is none.
    """
    page = (WEB / "index.html").read_text(encoding="utf-8")
    assert "style=" not in page
    assert "<style" not in page
    assert page.count("<script") == page.count('<script type="module" src=') == 1
