"""Publishing into a bucket of an object store."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class ObjectStorageTarget:
    """A bucket of an object store."""

    def __init__(self, store: "ObjectStore") -> None:
        self.store = store

    async def put(self, path: str, content: bytes, headers: Mapping[str, str]) -> None:
        """Put an object with the headers that its readers will get."""
        await self.store.put_async(path, content, attributes=dict(headers), use_multipart=False)
