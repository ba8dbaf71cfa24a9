"""The places in the map for maintainers exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "breathing_room"
PLACE = re.compile(r"`([a-z_/]+\.py):([\w.]+)`")


def names(file: Path) -> set[str]:
    """Return the names that a module defines: functions, classes, constants, and methods with their class."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name, body=body):
                methods = (
                    item.name for item in body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
                )
                found |= {name, *(f"{name}.{method}" for method in methods)}
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                found.add(name)
            case ast.AnnAssign(target=ast.Name(name)) | ast.Assign(targets=[ast.Name(name)]):
                found.add(name)
    return found


def test_every_place_that_answers_a_question_is_there() -> None:
    """Each `file:symbol` of CONTRIBUTING names a module of the package and something that it defines."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    places = PLACE.findall(text)
    assert len(places) >= 15
    assert [f"{file}:{symbol}" for file, symbol in places if symbol not in names(SRC / file)] == []


def test_every_path_of_the_map_is_there() -> None:
    """Each path in a table of CONTRIBUTING is a file or folder, of the package or of the repository."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    paths = [path for row in rows for path in re.findall(r"`([\w./]+/|[\w./]+\.py)`", row)]
    assert len(paths) >= 30
    assert [path for path in paths if not ((SRC / path).exists() or (ROOT / path).exists())] == []
