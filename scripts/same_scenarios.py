"""Compare the scenarios of the virtual-time cluster and of the shards before and after the room was rebuilt.

    python scripts/same_scenarios.py

Between commits fcd8191 and 14b8d0e the room was rebuilt (``docs/decisions/0016-one-room.md``), and these
tests show that its behavior stayed the same. So nothing in them may differ but names, which
``0016-moves.csv`` of the later commit translates back, and ``tests/support/room_adapter.py``: how events go
in, and how presences come out. Each top-level function, class and constant of the old files is searched in
the new ones and compared as code, without docstrings, comments, line breaks and the tiers of the tests: how
often ``make soak`` repeats a test does not belong to its scenario. The exit status says whether only the
adapter differs.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from where import COMMIT, MOVES, ROOT, NotFoundError, parse_moves

# The commit that closed the rebuild. Both sides and the map are read from history, since the words of these
# tests change after it, and a comparison with the working tree would show those changes and not the
# rebuild's.
REBUILT = "14b8d0e56ee64dc69285acfdfa2c95cb11777558"

ADAPTER = "tests/support/room_adapter.py"

# Decorators that say how often or in which tier a test runs, and not what it tests.
TIER = re.compile(r"settings\(|pytest\.mark\.(soak|slow)$")

# The files before the rebuild, and those that hold their definitions after it.
SUITES: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("tests/simulated_cluster.py", "tests/hosts/server/test_cluster_simulated.py"): (
        "tests/support/simulated_cluster.py",
        "tests/hosts/server/test_cluster_node_simulated.py",
        ADAPTER,
    ),
    ("tests/hosts/worker/objects.py", "tests/hosts/worker/test_shards.py"): (
        "tests/hosts/worker/objects.py",
        "tests/hosts/worker/test_shards.py",
        ADAPTER,
    ),
}


def at_commit(commit: str, path: str) -> str:
    """Return a file as it was at a commit.

    Raises:
        NotFoundError: This clone does not have the commit.
    """
    command = ["git", "-C", str(ROOT), "show", f"{commit}:{path}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    if shown.returncode:
        raise NotFoundError(f"no {commit[:7]} in this clone: git fetch --unshallow")
    return shown.stdout


def old_names() -> dict[str, str]:
    """Map each name that the rebuild gave to the one before; of a method its own part."""
    names = {}
    for move in parse_moves(at_commit(REBUILT, MOVES.relative_to(ROOT).as_posix())):
        (owner, _, old), (new_owner, _, new) = move.symbol.rpartition("."), move.new_symbol.rpartition(".")
        # A function that became a method is called another way, so no test of these calls it.
        if old and new and old != new and bool(owner) == bool(new_owner):
            names[new] = old
    return names


class Bare(ast.NodeTransformer):
    """Removes docstrings and tiers from code."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Remove a docstring, and the marks and numbers of examples of a test."""
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            body[:] = body[1:] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.decorator_list = [mark for mark in node.decorator_list if not TIER.match(ast.unparse(mark))]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replace ``longer(repeats of make test, repeats of make soak)`` by the repeats of ``make test``."""
        if ast.unparse(node.func) == "longer":
            return node.args[0]
        return self.generic_visit(node)


def definitions(source: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the code of each top-level definition of a module, imports left out."""
    tree = Bare().visit(ast.parse(source))
    for node in tree.body:
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                yield name, ast.unparse(node)
            case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)):
                yield name, ast.unparse(node)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def differing(old: Sequence[str], new: Sequence[str]) -> dict[str, str]:
    """Name each definition of old files that differs in the new ones, with the new file it is in, or
    "nowhere".
    """
    names = old_names()
    word = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b")
    now = {}
    for path in new:
        for name, code in definitions(at_commit(REBUILT, path)):
            now[names.get(name, name)] = path, word.sub(lambda found: names[found[0]], code)
    differs = {}
    for path in old:
        for name, code in definitions(at_commit(COMMIT, path)):
            home, is_now = now.get(names.get(name, name), ("nowhere", ""))
            # The old files may use a new name already, so both sides are translated.
            if is_now != word.sub(lambda found: names[found[0]], code):
                differs[name] = home
    return differs


def main() -> int:
    """Print the definitions that differ, and return the exit status."""
    elsewhere = 0
    for old, new in SUITES.items():
        count = sum(1 for path in old for _ in definitions(at_commit(COMMIT, path)))
        differs = differing(old, new)
        print(f"{', '.join(old)}: {count} definitions, {count - len(differs)} the same")
        for name, home in differs.items():
            print(f"  {name} differs, in {home}")
        elsewhere += sum(home != ADAPTER for home in differs.values())
    return int(elsewhere > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NotFoundError as error:
        sys.exit(str(error))
