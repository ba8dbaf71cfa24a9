"""The words of the repository: the banned ones are not used, and prose ends at 110 columns.

`docs/reference/glossary.md` has the words to use. A banned word stands for one that a reader would search
for: a connection, a lease, a visitor, a replica instead of "somebody"; a heartbeat instead of a "sign of
life".
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CODE_WORDS = (
    r"whoever|whomever|somebody|someone|nobody|no[ _]one|everybody|anybody|anew|signs?[ _]of[ _]life|goodbyes?"
    r"|lets?[ _]go[ _]of|heard[ _]from|told|tells?|whatever"
)
"""In programs and their tests: in comments, docstrings, names and strings."""

DOCS_WORDS = r"whoever|somebody|nobody|anew|sign[ _]of[ _]life|goodbye|let[ _]go[ _]of|heard[ _]from"
"""In README and docs."""

FOLDERS = (".", "bench", "deploy", "docs", "examples", "fuzz", "scripts", "src", "tests")
CODE_SUFFIXES = {".py", ".js", ".ts", ".mjs", ".html", ".css", ".lua", ".c", ".toml", ".sh"}
COLUMNS = 110
DIRECTIVES = ("# noqa", "# type: ignore")
"""Comments that tools read have to stand in the line that they are about, however long it is."""

EXEMPT = {
    "tests/test_words.py": "lists the words",
    "docs/reference/glossary.md": "names words of older reports",
    "src/breathing_room/web/client/words.*.js": "words shown to visitors",
    "tests/fixtures/*": "written with the code of a past commit, and in its names",
    "*/dist/*": "built from what is checked",
    "*/build/*": "likewise",
    "*/node_modules/*": "of others",
}
"""Files in which the words may stand, and why."""

STORED = {"told_apart"}
"""Names that stored data has."""


def files(*suffixes: str) -> Iterator[Path]:
    """List the files of the repository with these suffixes, the exempt ones left out."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).glob("**/*" if folder != "." else "*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in suffixes and not any(fnmatch(name, pattern) for pattern in EXEMPT):
                yield path.relative_to(ROOT)


def found(text: str, words: str) -> Iterator[str]:
    """Find the banned words of a text, as words or as parts of names."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    for stored in STORED:
        parts = parts.replace(stored, "")
    for match in re.finditer(rf"(?<![A-Za-z])(?:{words})(?![A-Za-z])", parts, re.IGNORECASE):
        yield match[0]


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that are prose, with their numbers: the formatter looks after code, and
    tables stay whole.
    """
    text = (ROOT / path).read_text(encoding="utf-8")
    match path.suffix:
        case ".py":
            yield from prose_of_python(text)
        case ".md":
            yield from prose_of_markdown(text)
        case _:
            for number, line in enumerate(text.splitlines(), 1):
                if line.lstrip().startswith(("//", "/*", "*")):
                    yield number, line


def prose_of_python(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of comments and docstrings."""
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith(DIRECTIVES):
            yield token.start[0], lines[token.start[0] - 1]
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                yield number, lines[number - 1]


def prose_of_markdown(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page that are neither of a table nor of code, a picture or HTML."""
    in_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith(("|", "![", "    ", "<")):
            yield number, line


def is_unbreakable(line: str) -> bool:
    """Whether a line is a table, or has no space at which it could be broken before the margin."""
    start = len(line) - len(line.lstrip(" #*/"))
    return " " not in line[start:COLUMNS].strip() or "  " in line.strip() or "](http" in line


@pytest.mark.parametrize(
    ("suffixes", "words"), [(sorted(CODE_SUFFIXES), CODE_WORDS), ([".md"], DOCS_WORDS)], ids=["code", "docs"]
)
def test_no_banned_word_is_used(suffixes: list[str], words: str) -> None:
    """A comment, name, string or page names its object instead."""
    used = [
        f"{path}:{number}: {word}"
        for path in files(*suffixes)
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        for word in found(line, words)
    ]
    assert used == []


def test_a_banned_word_is_found() -> None:
    """Words are found in any case, and as parts of names of both kinds; parts of other words are not."""
    text = "Nobody a_goodbye_is_at_once toldAtMs isToldApart retold anewspaper told_apart no one"
    assert list(found(text, CODE_WORDS)) == ["Nobody", "goodbye", "told", "Told", "no one"]


@pytest.mark.slow
def test_prose_ends_at_the_margin() -> None:
    """Comments, docstrings and pages end at 110 columns, as the formatter has it for code: two of them stand
    side by side.
    """
    beyond = [
        f"{path}:{number}"
        for path in files(".py", ".js", ".ts", ".md")
        for number, line in prose(path)
        if len(line) > COLUMNS and not is_unbreakable(line)
    ]
    assert beyond == []


def test_headings_of_docstrings_stand_on_lines_of_their_own() -> None:
    """A heading and its underline are not part of a paragraph: a script that breaks lines joined them once."""
    joined = [
        f"{path}:{number}"
        for path in files(".py")
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if re.match(r" *[A-Z][\w ]* -{8,} ", line)
    ]
    assert joined == []
