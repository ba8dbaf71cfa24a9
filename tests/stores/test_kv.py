"""The store in Workers KV, over a fake of the binding with the documented limits; the real one is used in
tests/hosts/worker.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from breathing_room.core.errors import StoreError
from breathing_room.stores.kv import TTL_S_MIN, KvStore
from breathing_room.testing import check_store

PAGE = 1_000


class Buffer:
    """What JavaScript calls an ArrayBuffer."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def to_bytes(self) -> bytes:
        return self._value


class Namespace:
    """A KV namespace, as the runtime binds it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.failing = False
        self._values: dict[str, tuple[bytes, float]] = {}

    def _check(self) -> None:
        if self.failing:
            raise RuntimeError("injected")
        self._values = {key: held for key, held in self._values.items() if held[1] > self.now_s}

    async def get(self, key: str, kind: str) -> Buffer | None:
        assert kind == "arrayBuffer"
        self._check()
        return Buffer(self._values[key][0]) if key in self._values else None

    async def put(self, key: str, value: bytes, options: Mapping[str, Any]) -> None:
        self._check()
        ttl_s = options.get("expirationTtl", float("inf"))
        assert ttl_s >= TTL_S_MIN
        self._values[key] = value, self.now_s + ttl_s

    async def list(self, options: Mapping[str, Any]) -> SimpleNamespace:
        self._check()
        keys = sorted(key for key in self._values if key.startswith(options["prefix"]))
        begin = int(options.get("cursor", 0))
        page = [SimpleNamespace(name=key) for key in keys[begin : begin + PAGE]]
        complete = begin + PAGE >= len(keys)
        return SimpleNamespace(keys=page, list_complete=complete, cursor=str(begin + PAGE))

    async def delete(self, key: str) -> None:
        self._check()
        self._values.pop(key, None)


def as_it_is(value: Any) -> Any:
    return value


async def test_it_is_a_store() -> None:
    """
    The store keeps every promise of one whose shortest time to live is a minute, lists of several pages
    included.
    """
    namespace = Namespace()

    async def make() -> KvStore:
        namespace._values.clear()
        return KvStore(namespace, as_it_is)

    async def advance(length_ms: int) -> None:
        namespace.now_s += length_ms / 1_000

    await check_store(make, advance=advance, ttl_ms=1_000 * TTL_S_MIN)


async def test_a_short_time_to_live_is_rounded_up() -> None:
    """What is to be kept for a second is kept for the minute that is the least, and is gone afterwards."""
    namespace = Namespace()
    store = KvStore(namespace, as_it_is)
    await store.put("a", b"1", ttl_ms=1_000)
    namespace.now_s = 59
    assert await store.get("a") == b"1"
    namespace.now_s = 60
    assert await store.get("a") is None


async def test_a_failure_is_one_that_may_pass() -> None:
    """Every failure of KV becomes a temporary error, from every method."""
    namespace = Namespace()
    store = KvStore(namespace, as_it_is)
    namespace.failing = True
    for call in (store.get("a"), store.put("a", b"1"), store.list(""), store.delete("a")):
        with pytest.raises(StoreError) as failed:
            await call
        assert failed.value.temporary
