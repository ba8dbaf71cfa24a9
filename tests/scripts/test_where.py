"""The map of moved files and symbols: it has every file of commit fcd8191, and the script that reads it
answers.
"""

import importlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MODULES = (Path(__file__).with_name("modules_fcd8191.txt")).read_text(encoding="utf-8").split()

MAP = """\
old,symbol,new,new_symbol,how,note
src/breathing_room/core/agenda.py,,src/breathing_room/core/deadlines.py,,moves,
src/breathing_room/core/agenda.py,Agenda,src/breathing_room/core/deadlines.py,DeadlineQueue,moves,
src/breathing_room/core/cluster.py,,src/breathing_room/core/delta.py;src/breathing_room/core/broadcaster.py,,splits,
src/breathing_room/core/cluster.py,Part,src/breathing_room/core/delta.py,RoomDelta,moves,
src/breathing_room/core/cluster.py,Whole,gone,,goes,the broadcaster
src/breathing_room/hosts/cluster.py,,src/breathing_room/hosts/node.py,,moves,
src/breathing_room/hosts/cost.py,,gone,,goes,a command
src/breathing_room/core/room.py,,src/breathing_room/core/room.py,,stays,
"""


@pytest.fixture
def where(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("where")


@pytest.fixture
def tree(where: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A small tree in which one file has moved, one is split in part, and the others stayed."""
    monkeypatch.setattr(where, "ROOT", tmp_path)
    core, hosts = tmp_path / "src/breathing_room/core", tmp_path / "src/breathing_room/hosts"
    core.mkdir(parents=True)
    hosts.mkdir()
    (core / "deadlines.py").write_text(
        "TICK_MS = 100\n\n\nclass DeadlineQueue:\n    def put(self) -> None: ...\n"
    )
    (core / "delta.py").write_text("class RoomDelta: ...\n")
    (core / "room.py").write_text("@final\nclass Room:\n    def step(self) -> None: ...\n")
    (hosts / "cluster.py").write_text("class Cluster: ...\n")
    (tmp_path / "moves.csv").write_text(MAP)
    return tmp_path


@pytest.fixture
def ask(where: Any, tree: Path) -> Any:
    """Asks the script about the small tree."""
    moves = where.read_moves(tree / "moves.csv")
    return lambda *arguments: list(where.where(arguments, moves))


def test_every_module_has_one_row_of_its_own(where: Any) -> None:
    """Each of the 169 modules of the commit is in the map exactly once, with a home or a replacement."""
    rows = [move for move in where.read_moves() if not move.symbol]
    modules = [move.old for move in rows if move.old.startswith("src/") and move.old.endswith(".py")]

    assert len(MODULES) == 169
    assert sorted(modules) == MODULES
    assert [move.old for move in rows if not (move.homes or move.note)] == []


def test_how_a_module_goes_agrees_with_its_homes(where: Any) -> None:
    """A file that stays has its own path as its home, one that splits has several, and one that moves has
    another.
    """
    for move in where.read_moves():
        if move.symbol:
            continue
        fits = {
            "stays": move.homes == (move.old,),
            "splits": len(set(move.homes)) > 1,
            "moves": len(move.homes) == 1 and move.old not in move.homes,
            "merges": len(move.homes) == 1 and move.old not in move.homes,
            "goes": not move.homes,
        }
        assert fits[move.how], move


def test_a_symbol_stands_behind_the_row_of_its_file(where: Any) -> None:
    """Each symbol of the map belongs to a file of the map, and is in it once."""
    moves = where.read_moves()
    files = {move.old for move in moves if not move.symbol}
    symbols = [(move.old, move.symbol) for move in moves if move.symbol]

    assert {old for old, _ in symbols} <= files
    assert len(set(symbols)) == len(symbols)


def test_what_left_its_place_is_where_the_map_says(where: Any) -> None:
    """A source file that is not at its old path has all of its homes."""
    for move in where.read_moves():
        if not move.symbol and move.old.startswith("src/") and not (ROOT / move.old).exists():
            assert [home for home in move.homes if not (ROOT / home).exists()] == [], move.old


SUPPORT_SINCE = {
    "acted_strategies",
    "cost_page",
    "program",
    "room_adapter",
    "schemas_of_v1",
    "structure",
    "tiers",
    "wheel",
    "written",
}
"""Helpers of tests that the commit did not have."""


def test_the_helpers_of_tests_are_in_the_map(where: Any) -> None:
    """Every helper that was in `tests` itself is in the map: reports cite it by that path, and the script did
    not find it.
    """
    homes = {home: move.old for move in where.read_moves() if not move.symbol for home in move.homes}
    for file in sorted((ROOT / "tests" / "support").glob("*.py")):
        if file.stem not in SUPPORT_SINCE:
            assert homes.get(file.relative_to(ROOT).as_posix()) == f"tests/{file.name}", file.name


def test_a_symbol_is_mapped_to_where_it_is_defined(where: Any) -> None:
    """The home that the map names for a symbol that kept its name defines it, once that file is there."""
    for move in where.read_moves():
        homes = [home for home in move.homes if home.endswith(".py") and (ROOT / home).exists()]
        if move.symbol and move.symbol == move.new_symbol and len(homes) == len(move.homes) > 0:
            found = [home for home in homes if where.line_of(home, move.symbol) is not None]
            assert found, f"{move.old} {move.symbol}"


def test_a_file_that_moved(ask: Any) -> None:
    """A file that moved is answered with its home, for its path, its name or its module."""
    answer = ["src/breathing_room/core/agenda.py -> src/breathing_room/core/deadlines.py"]

    assert ask("agenda.py") == answer
    assert ask("src/breathing_room/core/agenda.py") == answer
    assert ask("breathing_room.core.agenda") == answer


def test_a_file_on_its_way(ask: Any) -> None:
    """The answer for a file that has not moved yet, or in part, says so."""
    core = "src/breathing_room/core/"
    assert ask("hosts/cluster.py") == [
        "src/breathing_room/hosts/cluster.py has not moved yet; it goes to src/breathing_room/hosts/node.py"
    ]
    assert ask("core/cluster.py") == [
        f"{core}cluster.py -> {core}delta.py, {core}broadcaster.py (not there yet)"
    ]


def test_what_goes_is_answered_by_what_replaces_it(ask: Any) -> None:
    """A file, a class or a method that is gone is answered with its replacement."""
    assert ask("hosts/cost.py") == ["src/breathing_room/hosts/cost.py is gone  (a command)"]
    assert ask("Whole") == ["src/breathing_room/core/cluster.py Whole goes  (the broadcaster)"]
    assert ask("core/cluster.py", "Whole.facts")[1:] == [
        "src/breathing_room/core/cluster.py Whole.facts goes  (the broadcaster)"
    ]


def test_a_symbol_is_found_under_its_new_name(ask: Any) -> None:
    """A class and its methods are found where they are defined now, also under a new name."""
    moved = "src/breathing_room/core/agenda.py {} -> src/breathing_room/core/deadlines.py:{}"

    assert ask("Agenda") == [moved.format("Agenda", "4 DeadlineQueue")]
    assert ask("core/agenda.py", "Agenda.put")[1:] == [moved.format("Agenda.put", "5 DeadlineQueue.put")]
    assert ask("core/agenda.py", "TICK_MS")[1:] == [moved.format("TICK_MS", "1 TICK_MS")]
    assert ask("step") == ["src/breathing_room/core/room.py:3 Room.step"]


def test_a_line_is_answered_by_what_stood_there(where: Any) -> None:
    """A line of the commit is answered with the innermost definition around it."""
    source = "A = 1\n\n\n@wraps\nclass Room:\n    def step(self):\n        pass\n"
    found = list(where.definitions(where.ast.parse(source)))

    assert found == [("A", 1, 1), ("Room", 4, 7), ("Room.step", 6, 7)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["core/agent.py"], "fcd8191 has no core/agent.py; near it: src/breathing_room/core/agenda.py"),
        (["cluster.py"], "may be src/breathing_room/core/cluster.py, src/breathing_room/hosts/cluster.py: say more"),
        (["core/agenda.py", "Agent"], "Agent is neither in the map nor in .*near it: Agenda"),
        (["Agent"], "neither the map nor the tree has Agent; near it: Agenda"),
        (["agenda.py:1"], "git fetch --unshallow"),
    ],
)  # fmt: skip
def test_what_is_not_there_names_what_is_near(
    ask: Any, where: Any, arguments: list[str], message: str
) -> None:
    """A wrong path, symbol or line is an error with the nearest names, or with what to do."""
    with pytest.raises(where.NotFoundError, match=message):
        ask(*arguments)


def test_the_command_ends_with_a_status(where: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The command exits with 0 after an answer, with 1 after an error, and with 2 after its usage."""
    assert where.main(["hosts/server/session.py"]) == 0
    assert "hosts/common/rooms/connection.py" in capsys.readouterr().out
    assert where.main(["hosts/server/sesion.py"]) == 1
    assert "near it: src/breathing_room/hosts/server/session.py" in capsys.readouterr().err
    assert where.main([]) == 2
    assert "python scripts/where.py" in capsys.readouterr().out
