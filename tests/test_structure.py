"""Test files mirror source files: `src/breathing_room/a/b.py` has `tests/a/test_b.py`, and a package `a` has `tests/test_a.py`.

What is exempt is listed here with its reason. A list that grows is a sign that tests are hard to find.
"""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import breathing_room

SRC = Path(breathing_room.__file__).parent
TESTS = Path(__file__).parent

TESTED_ELSEWHERE = {
    "web/admin/admin.js": ("web/test_admin_page.py", "a script of a page, which is used in a browser"),
    "__main__.py": (
        "cli/test_watch.py",
        "it only calls the command, as every test does that starts a process",
    ),
    "hosts/server/cost.js": ("web/test_cost_page.py", "the sliders of a page, which are moved in a browser"),
    "lab/sim/simulation.py": (
        "lab/sim/test_depths.py",
        "its two depths are held to each other, to the last bit",
    ),
    "stores/__init__.py": ("stores/test_open_store.py", "`open_store` is all that it has"),
    "testing/host_checks/*.py": (
        "testing/test_host.py",
        "every check is held to a host that breaks its promise, all of them on one server",
    ),
    "web/client/words.*.js": (
        "web/page/test_words.py",
        "the phrases of one language; every language is held to the same",
    ),
}
"""Modules that another file tests: by pattern, that file, and why."""

OTHER_ROOTS = ("bench", "deploy", "docs", "examples", "fuzz", "scripts")
"""Folders beside `src` that have tests, in a folder of the same name."""

CROSS_CUTTING = {
    "core/test_purity.py": "holds for every module of the core",
    "lab/cost/test_against_simulation.py": "the model against what the simulator counts",
    "lab/cost/test_docs.py": "figures in the documentation",
    "lab/cost/test_vendors.py": "the vendors' own examples",
    "hosts/common/rooms/test_ledger.py": "the same scripts on every host",
    "hosts/server/test_bad_input.py": "every way in, with input that no client should send",
    "hosts/server/test_cached_reads.py": "behind a real nginx",
    "hosts/server/test_conformance.py": "the shipped suite against this host",
    "hosts/server/test_data_file_fcd8191.py": "what a server of a past commit stored, through all layers",
    "hosts/server/test_independent_clients.py": "clients of other authors",
    "hosts/server/test_privacy.py": "holds for everything that leaves the server",
    "hosts/server/test_restart.py": "a server that dies and comes back",
    "hosts/server/test_rfc6455.py": "the RFC, from outside",
    "hosts/server/test_storm.py": "many at once",
    "hosts/server/test_usual.py": "history in place of an unknown count, through all layers",
    "hosts/stateless/test_store_fcd8191.py": "what writers of a past commit stored, through all layers",
    "hosts/worker/test_bad_input.py": "every way into workerd",
    "hosts/worker/test_bill.py": "what workerd counts against the price model",
    "hosts/worker/test_conformance.py": "the shipped suite against this host",
    "hosts/worker/test_fixed.py": "panel, object and CDN together",
    "hosts/worker/test_kv_mode.py": "rooms in KV, in workerd",
    "hosts/worker/test_migrate.py": "from KV into an object, with the command",
    "hosts/worker/test_rows_fcd8191.py": "what objects of a past commit stored, through all layers",
    "hosts/worker/test_sharding.py": "several objects in workerd",
    "hosts/worker/test_sleep.py": "sleep and deploys in workerd",
    "hosts/worker/test_storm.py": "many at once",
    "lab/sim/test_accuracy.py": "the table of the documentation",
    "lab/sim/test_depths.py": "one behaviour at two depths",
    "lab/sim/test_shows.py": "the shipped scenarios",
    "stores/test_model.py": "every store against a dict",
    "stores/test_open_store.py": "a store by its setting",
    "test_structure.py": "this file",
    "web/test_admin_page.py": "the operator's page in a browser",
    "web/page/test_battery.py": "what the open page costs a browser",
    "web/page/test_colours.py": "the colors of the style sheet",
    "web/test_cost_page.py": "the cost page in a browser",
    "web/test_files.py": "all files of the page",
    "web/client/test_package.py": "the package on npm",
}
"""Tests of no single module, and of what."""


def modules() -> Iterator[str]:
    """Name every module, those of the page included; what is built is none."""
    for file in sorted((*SRC.rglob("*.py"), *SRC.rglob("*.js"))):
        if "dist" not in file.relative_to(SRC).parts:
            yield file.relative_to(SRC).as_posix()


def mirror_of(module: str) -> str:
    """Name the test file of a module."""
    path = Path(module)
    if path.name == "__init__.py":
        package = Path(SRC.name, path).parent
        return Path(*package.parts[1:-1], f"test_{package.name}.py").as_posix()
    return path.with_name(f"test_{path.stem.replace('.', '_')}.py").as_posix()


def has_behaviour(module: str) -> bool:
    """Whether a module has a function of its own: types, constants and imports have nothing to test.

    `__getattr__` of a package is an import that comes late.
    """
    if not module.endswith(".py"):
        return True
    functions = [
        node
        for node in ast.walk(ast.parse((SRC / module).read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return module == "__main__.py" or any(node.name != "__getattr__" for node in functions)


def exempt(module: str) -> bool:
    return any(fnmatch(module, pattern) for pattern in TESTED_ELSEWHERE)


def test_every_module_has_its_test_file() -> None:
    """A module without a test file of its name is listed above, or has no function."""
    missing = [
        f"{module}: tests/{mirror_of(module)}"
        for module in modules()
        if not exempt(module) and not (TESTS / mirror_of(module)).is_file() and has_behaviour(module)
    ]
    assert missing == [], "write these tests, or list the module in TESTED_ELSEWHERE with its reason"


def test_no_exemption_is_out_of_date() -> None:
    """An exempt module exists and has no test file of its own, and the file that tests it is there."""
    names = list(modules())
    for pattern, (tested_by, reason) in TESTED_ELSEWHERE.items():
        matching = [module for module in names if fnmatch(module, pattern)]
        assert matching, f"{pattern} is no module any more"
        assert not [module for module in matching if (TESTS / mirror_of(module)).is_file()], pattern
        assert (TESTS / tested_by).is_file(), tested_by
        assert reason


def belongs(test: str, mirrors: set[str]) -> bool:
    """Whether a test file mirrors a module, or looks at one side of it: `test_room_oracle.py` stands beside `test_room.py`."""
    path = Path(test)
    words = path.stem.split("_")
    names = ("_".join(words[:length]) for length in range(2, len(words) + 1))
    return any(path.with_name(f"{name}.py").as_posix() in mirrors for name in names)


def test_generators_of_fixtures_keep_the_names_of_their_commit() -> None:
    """A script in `tests/fixtures` runs with the code of a past commit: a rename in `src` must not reach it."""
    known = set((TESTS / "scripts" / "modules_fcd8191.txt").read_text(encoding="utf-8").split())
    imported = {
        node.module
        for file in (TESTS / "fixtures" / "fcd8191").glob("*.py")
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(SRC.name)
    }
    paths = {name: f"src/{name.replace('.', '/')}" for name in imported}
    assert [name for name, path in paths.items() if not {f"{path}.py", f"{path}/__init__.py"} & known] == []
    assert "breathing_room.core.room" in imported


def test_every_test_file_belongs_to_something() -> None:
    """A test file mirrors a module, or a side of one, or a folder beside `src`, or it is listed above as cross-cutting."""
    mirrors = {mirror_of(module) for module in modules()}
    tests = {file.relative_to(TESTS).as_posix() for file in TESTS.rglob("test_*.py")}
    stray = {test for test in tests if not belongs(test, mirrors) and test.split("/")[0] not in OTHER_ROOTS}
    assert stray - CROSS_CUTTING.keys() == set(), (
        "move these beside their module, or list them in CROSS_CUTTING"
    )
    assert CROSS_CUTTING.keys() - stray == set(), "these are gone, or mirror a module by now"
