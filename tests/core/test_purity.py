"""The core is pure: it runs wherever Python does, and does nothing by itself."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import breathing_room.core

CORE: Final = Path(breathing_room.core.__file__).parent
SOURCE: Final = CORE.parents[1]
MODULES: Final = sorted(
    ".".join(path.relative_to(CORE).with_suffix("").parts)
    for path in CORE.rglob("*.py")
    if path.stem != "__init__"
)

# Value tools: nothing in them waits, opens a file, draws a number, reads a clock or has state.
ALLOWED: Final = {
    "base64", "collections", "dataclasses", "hashlib", "heapq", "json", "math", "re", "struct", "typing",
}  # fmt: skip

# Modules that others of the standard library may load, and that a pure core never needs.
UNWANTED: Final = {
    "asyncio", "concurrent", "datetime", "http", "logging", "multiprocessing", "random", "secrets", "select",
    "selectors", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "urllib", "uuid",
}  # fmt: skip


def test_the_core_is_found() -> None:
    """The tests below cover the modules of the core."""
    assert {
        "room",
        "wire",
        "snapshot",
        "history",
        "breath",
        "config",
        "panel",
        "rate",
        "estimate.legacy_sampling",
    } <= set(MODULES)


def file_of(module: str) -> Path:
    """Return the file of a module of the core."""
    return CORE.joinpath(*module.split(".")).with_suffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_value_tools_only(module: str) -> None:
    """A module of the core imports the core and a short list of the standard library's value tools."""
    for name in imports_of(file_of(module)):
        assert name.startswith("breathing_room.core.") or name.partition(".")[0] in ALLOWED, name


@pytest.mark.parametrize("module", MODULES)
def test_a_module_opens_prints_and_evaluates_nothing(module: str) -> None:
    """No module of the core uses a built-in function that reaches outside."""
    tree = ast.parse((file_of(module)).read_text(encoding="utf-8"))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert called.isdisjoint(
        {"open", "print", "input", "eval", "exec", "compile", "breakpoint", "__import__", "id", "hash"}
    )


def loaded_by(module: str) -> dict[str, str | None]:
    """Import a module in a fresh interpreter without site-packages; return the loaded modules with their
    files.
    """
    program = (
        "import sys, json\n"
        f"sys.path.insert(0, {str(SOURCE)!r})\n"
        "before = set(sys.modules)\n"
        f"import {module}\n"
        "loaded = {name: getattr(sys.modules[name], '__file__', None) for name in set(sys.modules) - before}\n"
        "import json\n"
        "print(json.dumps(loaded))\n"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not run.stderr
    loaded: dict[str, str | None] = json.loads(run.stdout.splitlines()[-1])
    assert run.stdout.count("\n") == 1, "importing prints nothing"
    return loaded


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_importing_a_module_loads_nothing_that_reaches_outside(module: str) -> None:
    """A fresh interpreter that imports a module of the core has loaded no I/O, chance, clock, logging or
    third party.

    Built-in ``time`` is part of every running interpreter, so that the core does not import it is said by the
    list of imports above.
    """
    loaded = loaded_by(f"breathing_room.core.{module}")

    assert f"breathing_room.core.{module}" in loaded
    assert {name.partition(".")[0] for name in loaded} & UNWANTED == set()
    ours = {name for name in loaded if name.partition(".")[0] == "breathing_room"}
    assert all(
        name in {"breathing_room", "breathing_room.core"} or name.startswith("breathing_room.core.")
        for name in ours
    )
    assert not [
        path for name, path in loaded.items() if path and name not in ours and "site-packages" in path
    ]


@pytest.mark.slow
def test_the_check_can_fail() -> None:
    """The helper finds the modules that another one loads, so the check above can fail."""
    assert {"asyncio", "socket", "ssl", "logging", "random"} <= set(loaded_by("asyncio, random"))
