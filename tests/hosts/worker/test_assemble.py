"""Assembling a Worker from the installed package."""

import ast
import gzip
from functools import cache
from importlib.metadata import version

import pytest

from breathing_room.core.errors import HostError
from breathing_room.hosts.worker.assemble import (
    FREE_BYTES_MAX,
    MAIN_FILE,
    PAID_BYTES_MAX,
    Assembled,
    assemble,
    runtime_sdk,
)


@cache
def assembled() -> Assembled:
    return assemble()


def test_it_has_what_a_room_needs_and_nothing_of_other_hosts() -> None:
    """Room, wire and objects are in it; servers, command line, simulator and cost model are not."""
    modules = {path.removeprefix("python_modules/breathing_room/") for path in assembled().files}
    assert {
        "core/room.py",
        "core/wire.py",
        "hosts/worker/entry.py",
        "hosts/worker/durable_object.py",
        "__init__.py",
    } <= modules
    others = ("cli/", "lab/", "client/", "testing/", "hosts/server/", "hosts/stateless/")
    assert not [path for path in modules if path.startswith(others)]


def test_every_import_of_it_is_in_it() -> None:
    """Each module of the package that is imported at load is there, with its packages, so that no import
    fails at the edge.
    """
    files = assembled().files
    present = {
        path.removeprefix("python_modules/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in files
        if path.endswith(".py")
    }
    for path, content in files.items():
        if not path.endswith(".py"):
            continue
        for statement in ast.parse(content).body:
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith(
                "breathing_room"
            ):
                assert statement.module in present, (path, statement.module)
    for name in present - {"main"}:
        assert name.rpartition(".")[0] in present | {""}, name


def test_the_main_module_exports_what_the_platform_loads() -> None:
    """The main module has the classes that the configuration names, and
    the package knows its version there.
    """
    files = assembled().files
    assert b"BreathingRoom, Default" in files[MAIN_FILE]
    [metadata] = [content for path, content in files.items() if path.endswith("METADATA")]
    assert f"Version: {version('breathing-room')}\n".encode() in metadata
    assert list(files) == sorted(files)


def test_its_size_is_what_the_platform_measures() -> None:
    """The size is that of all files, compressed; with the runtime's own part it fits both plans."""
    content = b"x" * 10_000
    assert Assembled({"a.py": content}).compressed_bytes == len(gzip.compress(content, mtime=0)) < 100
    whole = Assembled({**assembled().files, **runtime_sdk()})
    assert whole.compressed_bytes < FREE_BYTES_MAX < PAID_BYTES_MAX


def test_an_import_that_does_not_run_there_is_refused() -> None:
    """An import that is not of the package, the standard library or the runtime is an error that names it."""
    with pytest.raises(HostError, match="starlette"):
        assemble("breathing_room.hosts.server.routes")
