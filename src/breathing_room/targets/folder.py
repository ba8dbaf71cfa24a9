"""Publishing into a folder, from which a file server serves."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the former one or the new one, never a part.

    Raises:
        OSError: It cannot be written.
    """
    # One name per process: a file left by a crash is overwritten.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)


class FolderTarget:
    """A folder from which a file server serves. That server sets the content types and cache times."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def put(self, path: str, content: bytes, headers: Mapping[str, str]) -> None:
        """Write a temporary file, and rename it."""
        del headers
        await asyncio.to_thread(self._put, self.path / path, content)

    @staticmethod
    def _put(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
