"""The documentation says what the code does."""

import importlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from breathing_room.core.config import Setting

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_generated_pages_are_fresh() -> None:
    """The generated reference is what `make docs` would write now."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """An undocumented command, option, setting, metric, close code, message, field or path is named."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    reference = importlib.import_module("reference")
    assert [*reference.unexplained(), *reference.unmentioned()] == []

    @click.command()
    @click.argument("target")
    @click.option("--loud")
    def shout(target: str, loud: str) -> None:
        del target, loud

    @dataclass
    class Nothing:
        name: str
        documentation = ""

    monkeypatch.setattr(reference, "main", click.Group(commands={"shout": shout}, help="Make a noise."))
    volume = Setting(name="volume", kind=int, default=1, meaning="", group="network")
    monkeypatch.setattr(reference, "settings", lambda: [volume])
    monkeypatch.setattr(reference, "metrics", lambda: [Nothing("shouts")])
    path = "breathing-room shout"
    assert [*reference.unexplained()] == [
        path,
        f"{path} TARGET",
        f"{path} --loud",
        "the setting volume",
        "the metric shouts",
    ]

    monkeypatch.setattr(reference, "CLOSE_CODES", {1000: "", 4999: ""})
    monkeypatch.setattr(reference, "message_types", lambda: {"join", "shout"})
    monkeypatch.setattr(reference, "PRESENCE_FIELDS", ("count", "volume"))
    monkeypatch.delitem(reference.OF_PAGES, "/admin")
    assert {*reference.unmentioned()} == {
        "the close code 4999, in protocol.md",
        "the message shout, in protocol.md",
        "the field volume, in protocol.md",
        "/admin",
        "/admin.css",
        "/admin.js",
    }


def test_links_lead_somewhere() -> None:
    """Every relative link, and every anchor in one, leads to what is there."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            there = (page.parent / path) if path else page
            assert there.exists(), f"{page.name}: {target}"
            if anchor:
                text = there.read_text(encoding="utf-8")
                headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
                slugs |= {*re.findall(r'<a id="([^"]+)">', text)}
                assert anchor in slugs, f"{page.name}: {target}"


def test_every_page_is_in_the_index() -> None:
    """No page is lost: the index names every one."""
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name == "README.md" or f"({name})" in index, name
