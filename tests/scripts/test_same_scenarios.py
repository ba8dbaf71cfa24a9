"""The scenarios of the virtual-time cluster and of the shards are those of commit fcd8191, and the script that shows it finds what differs."""

import importlib
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("same_scenarios")


@pytest.mark.slow
def test_only_the_adapter_differs(compared: Any) -> None:
    """No scenario, seed or assertion differs from the commit's; what does is how events go in and presences come out."""
    for old, new in compared.SUITES.items():
        assert set(compared.differing(old, new).values()) <= {compared.ADAPTER}


@pytest.mark.parametrize(
    ("was", "now", "differs"),
    [
        ("SEEDS = range(6)", "SEEDS = range(5)", ["SEEDS"]),
        ("SEEDS = range(6)", "SEEDS = range(longer(6, 300))", []),
        ("def test(): assert count == 3", "def test(): assert count >= 3", ["test"]),
        ("def test(): assert count == 3", "def test_it(): assert count == 3", ["test"]),
        ("def test(): 'One.'; assert count", "@pytest.mark.soak\ndef test():\n  'Two.'\n  assert count", []),
        ("def test(): step(Heard(ANN))", "def test(): step(HeartbeatReceived(ANN))", []),
        ("async def HeartbeatReceived(): pass", "async def HeartbeatReceived(): pass", []),
        ("def test(): step(Heard(ANN))", "def test(): step(Left(ANN))", ["test"]),
    ],
)
def test_what_differs_is_found(
    compared: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, was: str, now: str, differs: list[str]
) -> None:
    """A seed, a name or an assertion that changed is found; a tier, a docstring or a name of the map is none of them."""
    monkeypatch.setattr(compared, "at_commit", lambda _: was)
    monkeypatch.setattr(compared, "ROOT", tmp_path)
    monkeypatch.setattr(compared, "old_names", lambda: {"HeartbeatReceived": "Heard"})
    (tmp_path / "test_now.py").write_text(now, encoding="utf-8")

    assert list(compared.differing(["test_then.py"], ["test_now.py"])) == differs
