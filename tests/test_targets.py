"""What an address to publish to names."""

from pathlib import Path

import pytest

from breathing_room.core.errors import HostError
from breathing_room.hosts.common.rooms.publishing import Publisher
from breathing_room.targets import open_target
from breathing_room.targets.folder import FolderTarget
from breathing_room.targets.object_storage import ObjectStorageTarget


@pytest.mark.parametrize("url", ["gopher://bucket", "s3://", "ftp://user:secret@bucket/x"])
def test_an_invalid_url_is_rejected(url: str) -> None:
    """An invalid URL is rejected at once, and no password is repeated."""
    with pytest.raises(HostError, match="cannot publish") as refused:
        Publisher(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "folder"),
    [("public/files", "public/files"), ("/srv/a b", "/srv/a b"), ("file:///srv/a%20b", "/srv/a b")],
)
def test_a_path_names_a_folder(url: str, folder: str) -> None:
    """A path is taken as it is, and one in a file:// address is decoded."""
    target = open_target(url, {})
    assert isinstance(target, FolderTarget)
    assert target.path == Path(folder)


def test_another_scheme_names_a_bucket() -> None:
    """An address of an object store is a bucket, with the options of the caller."""
    assert isinstance(open_target("s3://site/presence", {"region": "us-east-1"}), ObjectStorageTarget)
