"""The structure of the package: which module may import, name and touch what, and where its test is.

Test files mirror source files: `src/breathing_room/a/b.py` has `tests/a/test_b.py`, and a package `a` has
`tests/test_a.py`. What is exempt is listed here with its reason. A list that grows is a sign that something
is hard to find.

`python -m pytest tests/test_structure.py -rP` prints what each rule of the package finds.
"""

import ast
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from textwrap import dedent

import pytest

import structure
from structure import SRC

TESTS = Path(__file__).parent

SHARED_NAMES = {
    "Room": "the domain's, and the one that a user of the Python client holds",
    "Routes": "the handlers of each host",
}
"""Classes of several modules that may share a name, and why."""

SHARED_NAMES_MAX = 8

CYCLES = "modules import one another"
BETWEEN_HOSTS = "a host imports another host"
OF_LAB = "the product imports what measures it"
UNUSED = "no product code runs a module"
NAMES = "several modules define a class of one name"
LENGTH = "a module has over 600 lines"
EFFECTS = "a host looks at an effect outside of the one `perform`"
EVENTS = "a host looks at an event after the room's step"
WRITES = "a host assigns to an attribute of the core"


UNTIL: dict[str, dict[str, str]] = {
    CYCLES: {},
    BETWEEN_HOSTS: {},
    OF_LAB: {},
    UNUSED: {
        "core/estimate/write_rate.py": "until a server counts from the write rate, as a rung of the planning document"
    },
    NAMES: {},
    LENGTH: {},
    EFFECTS: {},
    EVENTS: {},
    WRITES: {},
}
"""What breaks each rule today, and until when: lines are only taken away."""

TESTED_ELSEWHERE = {
    "web/admin/admin.js": ("web/test_admin_page.py", "a script of a page, which is used in a browser"),
    "__main__.py": (
        "cli/test_watch.py",
        "it only calls the command, as every test does that starts a process",
    ),
    "web/cost/cost.js": ("web/test_cost_page.py", "the sliders of a page, which are moved in a browser"),
    "hosts/worker/shard_calls.py": (
        "hosts/worker/test_shards.py",
        "a room over several objects, which are all there",
    ),
    "lab/sim/simulation.py": (
        "lab/sim/test_modes.py",
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
    "hosts/stateless/test_conformance.py": "the shipped suite against this host",
    "hosts/stateless/test_store_fcd8191.py": "what writers of a past commit stored, through all layers",
    "hosts/worker/test_bad_input.py": "every way into workerd",
    "hosts/worker/test_bill.py": "what workerd counts against the price model",
    "hosts/worker/test_conformance.py": "the shipped suite against this host",
    "hosts/worker/test_fixed.py": "panel, object and CDN together",
    "hosts/worker/test_kv_mode.py": "rooms in KV, in workerd",
    "hosts/worker/test_migrate.py": "from KV into an object, with the command",
    "hosts/worker/test_rows_fcd8191.py": "what objects of a past commit stored, through all layers",
    "hosts/worker/test_shards.py": "a room over several objects, through all layers",
    "hosts/worker/test_sharding.py": "several objects in workerd",
    "hosts/worker/test_sleep.py": "sleep and deploys in workerd",
    "hosts/worker/test_storm.py": "many at once",
    "lab/sim/test_accuracy.py": "the table of the documentation",
    "lab/sim/test_modes.py": "one behavior in two modes",
    "lab/sim/test_shows.py": "the shipped scenarios",
    "logs/test_event_log.py": "every log, and the one of the virtual-time cluster",
    "stores/test_model.py": "every store against a dict",
    "stores/test_open_store.py": "a store by its setting",
    "test_structure.py": "this file",
    "test_words.py": "every text of the repository",
    "test_trace.py": "one join through every layer",
    "web/test_admin_page.py": "the operator's page in a browser",
    "web/page/test_battery.py": "what the open page costs a browser",
    "web/page/test_colors.py": "the colors of the style sheet",
    "web/test_cost_page.py": "the cost page in a browser",
    "web/test_files.py": "all files of the page",
    "web/client/test_package.py": "the package on npm",
}
"""Tests of no single module, and of what."""


def broken() -> dict[str, set[str]]:
    """Find what breaks each rule."""
    trees = structure.package()
    graph = structure.imports(trees)
    effects = structure.names_of_union(trees["core/effects.py"], "Effect")
    looks = structure.in_hosts(trees, lambda function: structure.dispatches(function, effects))
    performs = {name for name in looks if name.startswith("hosts/common/") and name.endswith("perform")}
    core = structure.attributes_of_core_alone(trees)
    return {
        CYCLES: structure.cycles(graph),
        BETWEEN_HOSTS: structure.between_hosts(graph),
        OF_LAB: structure.of_lab(graph),
        UNUSED: structure.run_by_no_product(graph),
        NAMES: structure.shared_class_names(trees) - SHARED_NAMES.keys(),
        LENGTH: structure.too_long(),
        EFFECTS: looks - performs if len(performs) == 1 else looks,
        EVENTS: structure.in_hosts(trees, structure.reads_event_after_step),
        WRITES: structure.in_hosts(trees, lambda function: structure.writes_into_core(function, core)),
    }


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    """What breaks each rule today; read once, since it reads every module."""
    return broken()


@pytest.mark.parametrize("rule", UNTIL)
def test_a_rule_of_the_package_is_broken_only_where_that_is_listed(
    rule: str, found: dict[str, set[str]]
) -> None:
    """What breaks a rule is listed with its end, and what is listed breaks it still: the list can only
    shrink.
    """
    print(f"{rule}: {len(found[rule])}", *sorted(found[rule]), sep="\n  ")  # noqa: T201
    assert found[rule] - UNTIL[rule].keys() == set(), "this is new: mend it, rather than list it"
    assert UNTIL[rule].keys() - found[rule] == set(), "this is mended: take its lines out of UNTIL"
    assert all(UNTIL[rule].values())


def test_few_classes_share_a_name_and_each_has_its_reason(found: dict[str, set[str]]) -> None:
    """The names that stay shared are few, have a reason, and are shared still."""
    shared = structure.shared_class_names(structure.package())
    assert len(SHARED_NAMES) <= SHARED_NAMES_MAX
    assert SHARED_NAMES.keys() <= shared
    assert all(SHARED_NAMES.values())
    assert found[NAMES] == shared - SHARED_NAMES.keys()


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
    """Whether a test file mirrors a module, or looks at one side of it: `test_room_oracle.py` stands beside
    `test_room.py`.
    """
    path = Path(test)
    words = path.stem.split("_")
    names = ("_".join(words[:length]) for length in range(2, len(words) + 1))
    return any(path.with_name(f"{name}.py").as_posix() in mirrors for name in names)


def test_generators_of_fixtures_keep_the_names_of_their_commit() -> None:
    """A script in `tests/fixtures` runs with the code of a past commit:
    a rename in `src` must not reach it.
    """
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
    """A test file mirrors a module, or a side of one, or a folder beside `src`, or it is listed above as
    cross-cutting.
    """
    mirrors = {mirror_of(module) for module in modules()}
    tests = {file.relative_to(TESTS).as_posix() for file in TESTS.rglob("test_*.py")}
    stray = {test for test in tests if not belongs(test, mirrors) and test.split("/")[0] not in OTHER_ROOTS}
    assert stray - CROSS_CUTTING.keys() == set(), (
        "move these beside their module, or list them in CROSS_CUTTING"
    )
    assert CROSS_CUTTING.keys() - stray == set(), "these are gone, or mirror a module by now"


# --- The rules themselves ---------------------------------------------------------------------------------


def module(source: str) -> ast.Module:
    return ast.parse(dedent(source))


def test_a_cycle_is_seen_through_functions_and_types() -> None:
    """Imports go round also where one is for types alone, or comes late; one module by itself does not."""
    trees = {
        "core/a.py": module("from breathing_room.core.b import B"),
        "core/b.py": module("if TYPE_CHECKING:\n    from breathing_room.core import c"),
        "core/c.py": module("def late():\n    import breathing_room.core.a"),
        "core/d.py": module("from breathing_room.core import a, d"),
    }
    assert structure.cycles(structure.imports(trees)) == {"core/a.py, core/b.py, core/c.py"}


def test_an_import_of_another_host_or_of_the_lab_is_seen() -> None:
    """A host may import what is common to hosts and itself; the command alone may import what measures the
    product.
    """
    trees = {
        "hosts/server/a.py": module("from breathing_room.hosts.worker.b import B"),
        "hosts/worker/b.py": module(
            "from breathing_room.hosts.common import c\nfrom breathing_room.hosts.worker import d"
        ),
        "hosts/worker/d.py": module(""),
        "hosts/common/c.py": module("import breathing_room.lab.e"),
        "lab/e.py": module(""),
        "cli/f.py": module("import breathing_room.lab.e"),
    }
    graph = structure.imports(trees)
    assert structure.between_hosts(graph) == {"hosts/server/a.py"}
    assert structure.of_lab(graph) == {"hosts/common/c.py"}


def test_a_module_that_only_measures_run_is_seen() -> None:
    """What a host reaches through other modules runs in the product; what the simulator alone imports does
    not.
    """
    trees = {
        "hosts/server/a.py": module("from breathing_room.core import b"),
        "core/b.py": module("def late():\n    from breathing_room.core import c"),
        "core/c.py": module(""),
        "core/d.py": module("from breathing_room.core import c"),
        "core/e/__init__.py": module(""),
        "lab/f.py": module("from breathing_room.core import d"),
        "cli/g.py": module("from breathing_room.lab import f"),
    }
    assert structure.run_by_no_product(structure.imports(trees)) == {"core/d.py"}


def test_classes_of_one_name_are_seen() -> None:
    """Two modules share the name of a class; one module may define it twice, for two platforms."""
    trees = {
        "a.py": module("class Twice: ...\nclass Same: ..."),
        "b.py": module("def make():\n    class Same: ..."),
        "c.py": module("if a:\n    class Other: ...\nelse:\n    class Other: ..."),
    }
    assert structure.shared_class_names(trees) == {"Same"}


HOST = """
    class RoomHost:
        def by_class(self, effect):
            return isinstance(effect, Broadcast | Send)

        def by_match(self, effect):
            match effect:
                case Close(connection, code):
                    connection.close(code)

        def after(self, event):
            step = self.room.step(event, now_ms=1)
            return step if isinstance(event, Joined) else None

        def before(self, event):
            self.seen.add(event)
            self.room.step(event, now_ms=1)

        def either(self, event):
            if self.part is None:
                self.room.step(event)
            else:
                self.part.step(event)

        def writes(self):
            self.room.subscriber_count = 3
            self.room.shards //= 2

        def keeps(self):
            self.subscriber_count = 3
            self.connection.mood = 2
"""


def test_what_a_host_does_with_effects_events_and_the_core_is_seen() -> None:
    """A rule names the functions that break it, and not those that come close."""
    trees = {"hosts/server/host.py": module(HOST), "core/room.py": module(HOST)}

    def broken_by(offends: Callable[[ast.AST], bool]) -> set[str]:
        return {
            name.removeprefix("hosts/server/host.py: RoomHost.")
            for name in structure.in_hosts(trees, offends)
        }

    effects = structure.names_of_union(module("Effect: TypeAlias = Broadcast | Send | Close"), "Effect")
    assert effects == {"Broadcast", "Send", "Close"}
    assert broken_by(lambda function: structure.dispatches(function, effects)) == {"by_class", "by_match"}
    assert broken_by(structure.reads_event_after_step) == {"after"}
    assert broken_by(
        lambda function: structure.writes_into_core(function, {"subscriber_count", "shards"})
    ) == {"writes"}


def test_an_attribute_is_the_cores_if_no_host_has_it() -> None:
    """Fields and attributes of classes count; what a host has as well may be its own."""
    trees = {
        "core/room.py": module(
            "class Room:\n    size: int\n    def __init__(self):\n        self.mood = 1\n        self.whole = 2"
        ),
        "hosts/server/host.py": module("class Host:\n    def __init__(self):\n        self.mood = 1"),
        "client/room.py": module("class Room:\n    def __init__(self):\n        self.label = 1"),
    }
    assert structure.attributes_of_core_alone(trees) == {"size", "whole"}
