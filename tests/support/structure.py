"""What the modules of the package import, define and touch, read from their source; `tests/test_structure.py`
holds them to rules.
"""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import breathing_room

PACKAGE = "breathing_room"
SRC = Path(breathing_room.__file__).parent
LINES_MAX = 600
HOSTS = ("server", "worker", "stateless")
STEPS = {"step", "feed"}
"""Methods that hand an event to a room."""

Trees: TypeAlias = Mapping[str, ast.Module]
"""Modules by their path in the package, such as `core/room.py`."""


def package() -> dict[str, ast.Module]:
    """Read every module of the package."""
    return {
        file.relative_to(SRC).as_posix(): ast.parse(file.read_bytes()) for file in sorted(SRC.rglob("*.py"))
    }


# --- Imports ----------------------------------------------------------------------------------------------


def imports(trees: Trees) -> dict[str, set[str]]:
    """List the modules that each imports of the others: also within functions, and for types alone."""
    paths = {name_of(path): path for path in trees}
    return {
        path: {paths[name] for name in _imported(tree, paths) if paths[name] != path}
        for path, tree in trees.items()
    }


def name_of(path: str) -> str:
    """Name a module as imports do."""
    parts = [PACKAGE, *Path(path).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.Module, known: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if (name := inner if inner in known else node.module) in known:
                    yield name
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def cycles(graph: Mapping[str, set[str]]) -> set[str]:
    """List the groups of modules that import one another, each as their paths in order."""
    reached = {start: _reach(graph, start) for start in graph}
    groups = {
        frozenset(other for other in reached[start] if start in reached[other])
        for start in graph
        if start in reached[start]
    }
    return {", ".join(sorted(group)) for group in groups}


def _reach(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def between_hosts(graph: Mapping[str, set[str]]) -> set[str]:
    """List the modules of a host that import another host."""
    return {
        path
        for path, targets in graph.items()
        for target in targets
        if _host(path) and _host(target) and _host(path) != _host(target)
    }


def _host(path: str) -> str | None:
    parts = path.split("/")
    return parts[1] if parts[0] == "hosts" and parts[1] in HOSTS else None


def of_lab(graph: Mapping[str, set[str]]) -> set[str]:
    """List the modules of the product that import what measures it; the command may."""
    return {
        path
        for path, targets in graph.items()
        if path.split("/")[0] not in {"lab", "cli"} and any(target.startswith("lab/") for target in targets)
    }


def run_by_no_product(graph: Mapping[str, set[str]]) -> set[str]:
    """List the modules that only what measures the product imports, and tests; those that have no code of
    their own left out.
    """
    paths = {path for path in graph if not path.startswith("lab/")}
    product = {path: graph[path] & paths for path in paths}
    reached = {path for path in paths if not path.startswith("core/")}
    for start in tuple(reached):
        reached |= _reach(product, start)
    return {path for path in paths - reached if Path(path).name != "__init__.py"}


# --- Names and sizes --------------------------------------------------------------------------------------


def shared_class_names(trees: Trees) -> set[str]:
    """List the names of classes that more than one module defines."""
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].add(path)
    return {name for name, paths in homes.items() if len(paths) > 1}


def too_long() -> set[str]:
    """List the modules over 600 lines, those of the page included; what is built is none."""
    files = (*SRC.rglob("*.py"), *SRC.rglob("*.js"))
    return {
        path.as_posix()
        for file in files
        if "dist" not in (path := file.relative_to(SRC)).parts
        and len(file.read_bytes().splitlines()) > LINES_MAX
    }


# --- What hosts do with the core --------------------------------------------------------------------------


def in_hosts(trees: Trees, offences: Callable[[ast.AST], bool]) -> set[str]:
    """List the functions of hosts with an offence, such as `hosts/server/host.py: RoomHost.step`."""
    return {
        f"{path}: {name}"
        for path, tree in trees.items()
        if path.startswith("hosts/")
        for name, function in functions(tree)
        if offences(function)
    }


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """List functions with their qualified names; what is defined within one belongs to it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


def names_of_union(module: ast.Module, name: str) -> set[str]:
    """List the classes of a union such as `Effect`."""
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            assert node.value is not None
            return {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
    raise AssertionError(f"there is no {name}")


def dispatches(function: ast.AST, effects: set[str]) -> bool:
    """Whether a function asks an effect for its class."""
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
                named: ast.AST = kinds
            case ast.MatchClass(cls=kind):
                named = kind
            case _:
                continue
        if any(isinstance(part, ast.Name) and part.id in effects for part in ast.walk(named)):
            return True
    return False


def reads_event_after_step(function: ast.AST) -> bool:
    """Whether a function looks at an event again that it has handed to a room."""
    handed: dict[str, tuple[int, int]] = {}
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Attribute(attr=method), args=[ast.Name(id=name), *_]) if method in STEPS:
                end = (node.end_lineno or 0, node.end_col_offset or 0)
                handed[name] = min(end, handed.get(name, end))
    return any(
        isinstance(node, ast.Name)
        and node.id in handed
        and (node.lineno, node.col_offset) > handed[node.id]
        and not _is_handed(function, node)
        for node in ast.walk(function)
    )


def _is_handed(function: ast.AST, name: ast.Name) -> bool:
    """Whether a name is itself an event that is handed to a room: another branch of the same choice does
    that.
    """
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in STEPS
        and name in node.args
        for node in ast.walk(function)
    )


def attributes_of_core_alone(trees: Trees) -> set[str]:
    """List the attributes that classes of the core have and classes of hosts have not."""
    names: dict[bool, set[str]] = {True: set(), False: set()}
    for path, tree in trees.items():
        if path.startswith(("core/", "hosts/")):
            names[path.startswith("core/")] |= set(_own_attributes(tree))
    return names[True] - names[False]


def _own_attributes(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    yield statement.target.id
    for target in assigned(tree):
        if isinstance(target.value, ast.Name) and target.value.id == "self":
            yield target.attr


def assigned(tree: ast.AST) -> Iterator[ast.Attribute]:
    """List the attributes to which something is assigned."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node


def writes_into_core(function: ast.AST, attributes: set[str]) -> bool:
    """Whether a function assigns to an attribute of an object other than its own, which only the core has."""
    return any(
        target.attr in attributes and not (isinstance(target.value, ast.Name) and target.value.id == "self")
        for target in assigned(function)
    )
