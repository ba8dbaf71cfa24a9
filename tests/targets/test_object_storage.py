"""Files in a bucket, which here is one in memory."""

from obstore.store import MemoryStore

from breathing_room.targets.object_storage import ObjectStorageTarget


async def test_an_object_has_its_bytes_and_headers() -> None:
    """Each put replaces the object, and its headers are those that readers will get."""
    store = MemoryStore()
    target = ObjectStorageTarget(store)
    headers = {"Content-Type": "application/json", "Cache-Control": "public, max-age=5"}
    for content in (b"1", b"2"):
        await target.put("rooms/lobby/presence.json", content, headers)
    found = await store.get_async("rooms/lobby/presence.json")
    assert bytes(await found.bytes_async()) == b"2"
    assert found.attributes == headers
