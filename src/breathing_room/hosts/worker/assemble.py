"""Assemble a Worker from the installed package: the modules that it needs, and no others.

The closure of the imports is read from the source, so no list of modules is maintained. A module that is
neither of this package, nor of the standard library, nor of the runtime is an error, since it may not be pure
Python.
"""

import ast
import gzip
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from breathing_room.core.errors import HostError

PACKAGE: Final = "breathing_room"
ENTRY: Final = "breathing_room.hosts.worker.entry"
RUNTIME: Final = frozenset({"js", "pyodide", "workers"})

# https://developers.cloudflare.com/workers/platform/limits/: after compression, and before it.
FREE_BYTES_MAX: Final = 3 * 1024 * 1024
PAID_BYTES_MAX: Final = 10 * 1024 * 1024

MAIN_FILE: Final = "main.py"
MAIN: Final = """\
from breathing_room.hosts.worker.entry import BreathingRoom, Default

__all__ = ["BreathingRoom", "Default"]
"""


@dataclass(frozen=True, slots=True)
class Assembled:
    """The files of a Worker.

    Attributes:
        files: Their contents by path, all of them Python.
    """

    files: Mapping[str, bytes]

    @property
    def compressed_bytes(self) -> int:
        """The size that the platform limits: all files, compressed."""
        return sum(len(gzip.compress(content, mtime=0)) for content in self.files.values())


def assemble(entry: str = ENTRY) -> Assembled:
    """Assemble a Worker.

    Args:
        entry: Its entry module.

    Raises:
        HostError: It imports a module that does not run there.
    """
    files = {MAIN_FILE: MAIN.encode(), **_metadata()}
    waiting, seen = [entry], set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        top = module.partition(".")[0]
        if top != PACKAGE:
            if top not in RUNTIME and top not in sys.stdlib_module_names:
                raise HostError(
                    f"a Worker cannot import {module}: it is not of {PACKAGE}, the standard library or the runtime"
                )
            continue
        path = _source(module)
        if path is None:
            continue  # A name in a module, not a module.
        below = path.relative_to(_root().parent).as_posix()
        files[f"python_modules/{below}"] = path.read_bytes()
        parent = module.rpartition(".")[0]
        waiting += [*_imports(path), *([parent] if parent else [])]
    return Assembled(dict(sorted(files.items())))


def _metadata() -> Mapping[str, bytes]:
    """Return the metadata in which ``importlib.metadata`` finds the version."""
    name = PACKAGE.replace("_", "-")
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version(name)}\n"
    return {f"python_modules/{PACKAGE}-{version(name)}.dist-info/METADATA": text.encode()}


def _root() -> Path:
    """Return the folder of the installed package."""
    return Path(__file__).resolve().parents[2]


def _source(module: str) -> Path | None:
    """Return the file of a module of this package; None if there is none."""
    below = _root().joinpath(*module.split(".")[1:])
    candidates = (below / "__init__.py", below.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


def _imports(path: Path) -> Iterator[str]:
    """Yield what a module imports when it is loaded: not imports for type checkers, nor those inside
    functions.
    """
    waiting: list[ast.stmt] = list(ast.parse(path.read_bytes()).body)
    while waiting:
        match waiting.pop(0):
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{name.name}" for name in names if module.startswith(PACKAGE))
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=others):
                waiting += others
            case ast.If(body=body, orelse=others):
                waiting += [*body, *others]
            case ast.Try(body=body, handlers=handlers):
                waiting += [*body, *(statement for handler in handlers for statement in handler.body)]
            case _:
                pass


def runtime_sdk() -> Mapping[str, bytes]:
    """Return the Python side of the runtime's interface, which is deployed with a Worker:
    ``workers-runtime-sdk``.

    Raises:
        HostError: It is not installed.
    """
    spec = find_spec("workers")
    if spec is None or spec.origin is None:
        raise HostError("workers-runtime-sdk is not installed: pip install 'breathing-room[cloudflare]'")
    package = Path(spec.origin).parent
    beside = [*package.parent.glob("_workers_sdk_*.py"), package.parent / "asgi.py"]
    found = [path for path in (*package.rglob("*"), *beside) if path.suffix in {".py", ".js"}]
    return {
        f"python_modules/{path.relative_to(package.parent).as_posix()}": path.read_bytes()
        for path in sorted(found)
    }
