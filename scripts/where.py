"""Find where a file, a line or a symbol of commit fcd8191 is now.

    python scripts/where.py hosts/server/front.py
    python scripts/where.py hosts/server/host.py:139
    python scripts/where.py hosts/server/host.py RoomHost.feed
    python scripts/where.py EncodedPresence

Reports cite that commit. ``docs/decisions/0016-moves.csv`` says where each of its files went, and each symbol
that went elsewhere or has another name now. Paths may be given from the end (``front.py``) or as modules
(``breathing_room.hosts.server.front``).
"""

import ast
import csv
import io
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOVES = ROOT / "docs" / "decisions" / "0016-moves.csv"
COMMIT = "fcd8191"
GONE = "gone"


class NotFoundError(Exception):
    """There is no such file, line or symbol; the message says what there is."""


@dataclass(frozen=True)
class Move:
    """A row of the map.

    Attributes:
        old: A path at the commit.
        symbol: A name in it, ``Class.method`` of a method; empty for the whole file.
        homes: Where that is now or will be; none where it goes.
        new_symbol: What the symbol is called there.
        how: ``stays``, ``moves``, ``splits``, ``merges`` or ``goes``.
        note: What else is to be said; of what goes, what replaces it.
    """

    old: str
    symbol: str
    homes: tuple[str, ...]
    new_symbol: str
    how: str
    note: str


def parse_moves(text: str) -> list[Move]:
    """Parse a map."""
    return [
        Move(
            row["old"],
            row["symbol"],
            () if row["new"] == GONE else tuple(row["new"].split(";")),
            row["new_symbol"],
            row["how"],
            row["note"],
        )
        for row in csv.DictReader(io.StringIO(text, newline=""))
    ]


def read_moves(path: Path = MOVES) -> list[Move]:
    """Read the map of the working tree."""
    return parse_moves(path.read_text(encoding="utf-8"))


def resolve(text: str, moves: Sequence[Move]) -> str:
    """Return the path at the commit that a text names, from its end or as a module.

    Raises:
        NotFoundError: None, or several.
    """
    olds = list(dict.fromkeys(move.old for move in moves))
    wanted = text if "/" in text or text.endswith((".py", ".js")) else text.replace(".", "/")
    endings = {f"/{ending}" for ending in (wanted, f"{wanted}.py", f"{wanted}/__init__.py")}
    found = [old for old in olds if f"/{old}".endswith(tuple(endings))]
    exact = [old for old in found if f"/{old}" in endings]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise NotFoundError(f"{text} may be {', '.join(found)}: say more of the path")
    short = {old.removeprefix("src/breathing_room/"): old for old in olds}
    near = get_close_matches(text.removeprefix("src/breathing_room/"), short, n=3, cutoff=0.5)
    hint = f"; near it: {', '.join(short[name] for name in near)}" if near else ""
    raise NotFoundError(f"{COMMIT} has no {text}{hint}")


def definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, int, int]]:
    """List functions, classes, methods and constants of a module: name, first line, last line."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                yield prefix + node.name, first, node.end_lineno or node.lineno
                if isinstance(node, ast.ClassDef):
                    yield from definitions(node, f"{prefix}{node.name}.")
            case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)) if not prefix:
                yield name, node.lineno, node.end_lineno or node.lineno


def symbol_at(old: str, line: int) -> str:
    """Return the innermost name that a line of a file stood in at the commit; empty between two.

    Raises:
        NotFoundError: This clone does not have the commit, or the file is shorter.
    """
    command = ["git", "-C", str(ROOT), "show", f"{COMMIT}:{old}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    if shown.returncode:
        raise NotFoundError(f"a line needs the history: git fetch --unshallow (no {COMMIT} in this clone)")
    if not 1 <= line <= shown.stdout.count("\n"):
        raise NotFoundError(f"{old} had {shown.stdout.count(chr(10))} lines, so none is {line}")
    if not old.endswith(".py"):
        return ""
    around = [found for found in definitions(ast.parse(shown.stdout)) if found[1] <= line <= found[2]]
    return min(around, key=lambda found: found[2] - found[1], default=("", 0, 0))[0]


def line_of(path: str, symbol: str) -> int | None:
    """Return the line at which a file of the tree defines a symbol, None where it does not."""
    file = ROOT / path
    if not file.is_file() or file.suffix != ".py":
        return None
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return next((line for name, line, _ in definitions(tree) if name == symbol), None)


def of_file(old: str, moves: Sequence[Move]) -> Iterator[str]:
    """Yield where a file is now."""
    move = next(move for move in moves if move.old == old and not move.symbol)
    note = f"  ({move.note})" if move.note else ""
    if not move.homes:
        yield f"{old} {'is still there and goes' if (ROOT / old).exists() else 'is gone'}{note}"
        return
    if (ROOT / old).exists() and old not in move.homes:
        yield f"{old} has not moved yet; it goes to {', '.join(move.homes)}{note}"
        return
    homes = (home if (ROOT / home).exists() else f"{home} (not there yet)" for home in move.homes)
    yield f"{old} -> {', '.join(homes)}{note}"


def of_symbol(old: str, symbol: str, moves: Sequence[Move]) -> Iterator[str]:
    """Yield where a symbol of a file is now.

    Raises:
        NotFoundError: Neither the map nor the tree has it.
    """
    of_old = [move for move in moves if move.old == old]
    move = next((move for move in of_old if move.symbol == symbol), None)
    owner, _, method = symbol.partition(".")
    above = next((move for move in of_old if move.symbol == owner), None) if method else None
    if (row := move or above) is not None and not row.homes:
        yield f"{old} {symbol} goes  ({row.note})"
        return
    whole = next(move for move in of_old if not move.symbol)
    names = {symbol, move.new_symbol if move else symbol}
    names |= {f"{above.new_symbol}.{method}"} if above else set()
    homes = dict.fromkeys((*(move or above or whole).homes, *whole.homes, old))
    for home in homes:
        for name in sorted(names):
            if (line := line_of(home, name)) is not None:
                yield f"{old} {symbol} -> {home}:{line} {name}"
                return
    if move is not None:
        yield f"{old} {symbol} -> {', '.join(move.homes)} {move.new_symbol}: neither old nor new name is there now"
        return
    known = [name for move in of_old if (name := move.symbol)]
    near = get_close_matches(symbol, known, n=3, cutoff=0.4)
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise NotFoundError(f"{symbol} is neither in the map nor in {', '.join(homes)}{hint}")


def anywhere(symbol: str, moves: Sequence[Move]) -> Iterator[str]:
    """Yield where a symbol is, in any file.

    Raises:
        NotFoundError: Neither the map nor the tree has it.
    """
    rows = [move for move in moves if symbol in {move.symbol, move.symbol.partition(".")[2]} - {""}]
    if rows:
        for move in rows:
            yield from of_symbol(move.old, move.symbol, moves)
        return
    found = [
        f"{path.relative_to(ROOT).as_posix()}:{line} {name}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        for name, line, _ in definitions(ast.parse(path.read_text(encoding="utf-8")))
        if symbol in {name, name.rpartition(".")[2]}
    ]
    if not found:
        near = get_close_matches(symbol, {move.symbol for move in moves} - {""}, n=3, cutoff=0.6)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise NotFoundError(f"neither the map nor the tree has {symbol}{hint}")
    yield from found


def where(arguments: Sequence[str], moves: Sequence[Move]) -> Iterator[str]:
    """Yield where a file, a line or a symbol is now.

    Raises:
        NotFoundError: There is no such thing.
    """
    place, *symbols = arguments
    path, colon, line = place.rpartition(":")
    if colon and line.isdigit():
        old = resolve(path, moves)
        yield from of_file(old, moves)
        if symbol := symbol_at(old, int(line)):
            yield from of_symbol(old, symbol, moves)
        return
    if not symbols and "/" not in place and not place.startswith("breathing_room.") and "." not in place:
        yield from anywhere(place, moves)
        return
    old = resolve(place, moves)
    yield from of_file(old, moves)
    for symbol in symbols:
        yield from of_symbol(old, symbol, moves)


def main(arguments: Sequence[str]) -> int:
    """Print where a file, a line or a symbol is now; return the exit status."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(__doc__)
        return 0 if arguments else 2
    try:
        for line in where(arguments, read_moves()):
            print(line)
    except NotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
