"""Files in a folder."""

from pathlib import Path

import pytest

from breathing_room.targets.folder import FolderTarget, write_whole


async def test_a_file_is_put_where_its_path_says(tmp_path: Path) -> None:
    """Folders on the way are made, a second file replaces the first, and nothing is left beside it."""
    target = FolderTarget(tmp_path / "public")
    for content in (b"1", b"2"):
        await target.put("rooms/lobby/presence.json", content, {"Content-Type": "application/json"})
    folder = tmp_path / "public" / "rooms" / "lobby"
    assert [(file.name, file.read_bytes()) for file in folder.iterdir()] == [("presence.json", b"2")]


def test_a_reader_keeps_the_file_that_it_opened(tmp_path: Path) -> None:
    """A file is replaced, never overwritten: a reader that opened the former one reads it to its end."""
    path = tmp_path / "a.json"
    write_whole(path, b"former")
    with path.open("rb") as reader:
        write_whole(path, b"new")
        assert reader.read() == b"former"
    assert path.read_bytes() == b"new"


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A file that cannot be written raises the system's own error."""
    with pytest.raises(OSError, match="No such file"):
        write_whole(tmp_path / "missing" / "a.json", b"")
