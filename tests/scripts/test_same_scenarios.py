"""The rebuild of the room changed no scenario of the virtual-time cluster and of the shards, and the script
that shows it finds differences.
"""

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
    """Only the adapter differs between the two commits: no scenario, seed or assertion does."""
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
    compared: Any, monkeypatch: pytest.MonkeyPatch, was: str, now: str, differs: list[str]
) -> None:
    """A changed seed, name or assertion is a difference; a tier, a docstring or a name of the map is none."""
    sources = {compared.COMMIT: was, compared.REBUILT: now}
    monkeypatch.setattr(compared, "at_commit", lambda commit, _: sources[commit])
    monkeypatch.setattr(compared, "old_names", lambda: {"HeartbeatReceived": "Heard"})

    assert list(compared.differing(["test_then.py"], ["test_now.py"])) == differs
