"""The conformance suite of stores: conforming stores pass, and every check in it catches a faulty store."""

import asyncio
import builtins
import fnmatch
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from breathing_room.core.errors import HostError, StoreError
from breathing_room.ports import Store, check_key, check_put
from breathing_room.stores import MemoryStore
from breathing_room.testing import CheckFailedError, check_store
from breathing_room.testing.store import CHECKS

LAG_MS = 60_000


class HandClock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now_ms = 1_767_225_600_000

    def __call__(self) -> int:
        return self.now_ms

    async def advance(self, ms: int) -> None:
        self.now_ms += ms


async def failed_checks(kind: Callable[..., Store], **options: int) -> dict[str, str]:
    """Run the suite on a kind of store, and return the checks that fail with their messages."""
    clock = HandClock()
    broken: dict[str, str] = {}

    async def make() -> Store:
        return kind(clock=clock)

    try:
        await check_store(make, advance=clock.advance, **options)
    except* CheckFailedError as group:
        broken = {
            error.check: str(error) for error in group.exceptions if isinstance(error, CheckFailedError)
        }
    return broken


# --- Bad stores: each has one fault -----------------------------------------------------------------------

CAUGHT_BY: dict[type[MemoryStore], str] = {}


def caught_by(check: str) -> Callable[[type[MemoryStore]], type[MemoryStore]]:
    """Record the check that a bad store must fail."""

    def note(kind: type[MemoryStore]) -> type[MemoryStore]:
        CAUGHT_BY[kind] = check
        return kind

    return note


@caught_by("a_new_store_is_empty")
class HasSomethingInIt(MemoryStore):
    async def list(self, prefix: str) -> builtins.list[str]:
        return sorted([*await super().list(prefix), "schema"])


@caught_by("what_was_put_is_read")
class KeepsText(MemoryStore):
    async def get(self, key: str) -> bytes | None:
        value = await super().get(key)
        return value and value.decode(errors="replace").encode()


@caught_by("what_was_put_is_read")
class ReturnsAnAlias(MemoryStore):
    async def get(self, key: str) -> Any:
        value = await super().get(key)
        return None if value is None else bytearray(value)


@caught_by("empty_is_a_value")
class TakesEmptyForNothing(MemoryStore):
    async def get(self, key: str) -> bytes | None:
        return await super().get(key) or None


@caught_by("the_largest_value_is_kept")
class KeepsSmallValuesOnly(MemoryStore):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        if len(value) > 1_048_576:
            raise StoreError("too large", temporary=False)
        await super().put(key, value, ttl_ms=ttl_ms)


@caught_by("a_put_replaces")
class PutsOnlyOnce(MemoryStore):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        if await self.get(key) is None:
            await super().put(key, value, ttl_ms=ttl_ms)


@caught_by("puts_at_once_are_all_kept")
class LosesRaces(MemoryStore):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        before = dict(self._live())
        await asyncio.sleep(0)
        self._values = before
        await super().put(key, value, ttl_ms=ttl_ms)


@caught_by("an_expired_value_is_gone")
class IgnoresTimeToLive(MemoryStore):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        await super().put(key, value, ttl_ms=ttl_ms)
        await super().put(key, value)


@caught_by("an_expired_value_is_gone")
class TakesMillisecondsForSeconds(MemoryStore):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        await super().put(key, value, ttl_ms=ttl_ms)
        if ttl_ms is not None:
            self._live()[key] = (value, self._clock() + 1_000 * ttl_ms)


@caught_by("an_expired_value_is_gone")
class ListsTheExpired(MemoryStore):
    async def list(self, prefix: str) -> builtins.list[str]:
        await super().list(prefix)
        return sorted(key for key in self.keys_ever if key.startswith(prefix))

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        await super().put(key, value, ttl_ms=ttl_ms)
        self.keys_ever.add(key)

    def __init__(self, *, clock: Callable[[], int]) -> None:
        super().__init__(clock=clock)
        self.keys_ever: set[str] = set()


@caught_by("a_living_value_is_kept")
class TakesMillisecondsForMicroseconds(MemoryStore):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        await super().put(key, value, ttl_ms=ttl_ms)
        if ttl_ms is not None:
            self._live()[key] = (value, self._clock() + ttl_ms // 1_000)


@caught_by("a_put_renews_the_time_to_live")
class KeepsTheFirstTimeToLive(MemoryStore):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        former = self._live().get(key)
        await super().put(key, value, ttl_ms=ttl_ms)
        if former is not None:
            self._live()[key] = (value, former[1])


@caught_by("an_expired_key_can_be_put_again")
class BuriesTheExpired(ListsTheExpired):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        if key not in self.keys_ever or await self.get(key) is not None:
            await super().put(key, value, ttl_ms=ttl_ms)


@caught_by("a_deleted_value_is_gone")
class NeverDeletes(MemoryStore):
    async def delete(self, key: str) -> None:
        await super().get(key)


@caught_by("a_deleted_value_is_gone")
class DeletesByPrefix(MemoryStore):
    async def delete(self, key: str) -> None:
        await super().delete(key)
        for longer in await self.list(key):
            await super().delete(longer)


@caught_by("deleting_nothing_does_no_harm")
class DeletesWithAKeyError(MemoryStore):
    async def delete(self, key: str) -> None:
        if await self.get(key) is None:
            raise KeyError(key)
        await super().delete(key)


@caught_by("a_list_has_the_keys_with_its_prefix")
class ListsSubstrings(MemoryStore):
    async def list(self, prefix: str) -> builtins.list[str]:
        await super().list(prefix)
        return sorted(key for key in self._live() if prefix in key)


@caught_by("a_list_has_the_keys_with_its_prefix")
class ListsInAnyCase(MemoryStore):
    async def list(self, prefix: str) -> builtins.list[str]:
        await super().list(prefix)
        return sorted(key for key in self._live() if key.lower().startswith(prefix.lower()))


@caught_by("a_prefix_is_literal")
class ListsByPattern(MemoryStore):
    async def list(self, prefix: str) -> builtins.list[str]:
        await super().list(prefix)
        return sorted(key for key in self._live() if fnmatch.fnmatchcase(key, f"{prefix}*"))


@caught_by("a_list_is_sorted")
class ListsInOrderOfPuts(MemoryStore):
    async def list(self, prefix: str) -> builtins.list[str]:
        await super().list(prefix)
        return [key for key in self._live() if key.startswith(prefix)]


@caught_by("a_list_is_sorted")
class ListsInOrderOfUtf16(MemoryStore):
    async def list(self, prefix: str) -> builtins.list[str]:
        return sorted(await super().list(prefix), key=lambda key: key.encode("utf-16-be"))


@caught_by("a_long_list_is_whole")
class ListsOnePage(MemoryStore):
    async def list(self, prefix: str) -> builtins.list[str]:
        return (await super().list(prefix))[:1_000]


@caught_by("a_list_belongs_to_its_caller")
class SharesItsList(MemoryStore):
    def __init__(self, *, clock: Callable[[], int]) -> None:
        super().__init__(clock=clock)
        self.lists: dict[str, builtins.list[str]] = {}

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        await super().put(key, value, ttl_ms=ttl_ms)
        self.lists.clear()

    async def list(self, prefix: str) -> builtins.list[str]:
        return self.lists.setdefault(prefix, await super().list(prefix))


@caught_by("similar_keys_are_distinct")
class NormalisesKeys(MemoryStore):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        await super().put(unicodedata.normalize("NFC", key), value, ttl_ms=ttl_ms)

    async def get(self, key: str) -> bytes | None:
        return await super().get(unicodedata.normalize("NFC", key))


@caught_by("a_bad_key_is_refused")
class TakesAnyKey(MemoryStore):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        try:
            await super().put(key, value, ttl_ms=ttl_ms)
        except HostError:
            await super().put("a", value, ttl_ms=ttl_ms)


@caught_by("a_bad_value_is_refused")
class KeepsAnAlias(MemoryStore):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        await super().put(key, bytes(value), ttl_ms=ttl_ms)
        self._live()[key] = (value, self._live()[key][1])


@caught_by("a_bad_value_is_refused")
class ChecksTooLate(MemoryStore):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        await super().delete(key)
        await super().put(key, value, ttl_ms=ttl_ms)


@caught_by("a_bad_time_to_live_is_refused")
class TakesAnyTimeToLive(MemoryStore):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        await super().put(key, value, ttl_ms=None if ttl_ms is None else max(1, int(ttl_ms)))


@caught_by("closing_twice_does_nothing")
class ClosesOnce(MemoryStore):
    async def close(self) -> None:
        self._live()
        await super().close()


@caught_by("a_closed_store_is_closed")
class NeverCloses(MemoryStore):
    async def close(self) -> None:
        pass


class Lags(MemoryStore):
    """Shows a write only after LAG_MS, takes one write a key in that time, and keeps nothing for less: as
    Workers KV.
    """

    def __init__(self, *, clock: Callable[[], int]) -> None:
        super().__init__(clock=clock)
        self.writes: list[tuple[int, str, bytes | None, int | None]] = []

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        check_put(key, value, ttl_ms)
        self.write(key, value, None if ttl_ms is None else self._clock() + max(ttl_ms, LAG_MS))

    async def delete(self, key: str) -> None:
        check_key(key)
        self.write(key, None, None)

    def write(self, key: str, value: bytes | None, until_ms: int | None) -> None:
        self._live()
        if any(key == pending for _, pending, _, _ in self.writes):
            raise StoreError("429 Too Many Requests", temporary=True)
        self.writes.append((self._clock() + LAG_MS, key, value, until_ms))

    def _live(self) -> dict[str, tuple[bytes, int | None]]:
        """Apply the writes that are old enough to be seen."""
        while self._values is not None and self.writes and self.writes[0][0] <= self._clock():
            _, key, value, until_ms = self.writes.pop(0)
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = (value, until_ms)
        return super()._live()


class LagsAndIgnoresTimeToLive(Lags):
    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        check_put(key, value, ttl_ms)
        await super().put(key, value)


# --- Tests ------------------------------------------------------------------------------------------------


async def test_a_good_store_passes_every_check() -> None:
    """The memory store fails no check, with a clock of the test's."""
    assert await failed_checks(MemoryStore) == {}


@pytest.mark.parametrize(
    ("kind", "check"), CAUGHT_BY.items(), ids=lambda value: getattr(value, "__name__", None)
)
async def test_a_bad_store_is_caught(kind: type[MemoryStore], check: str) -> None:
    """A store with one fault fails the check of it, and not all the others."""
    broken = await failed_checks(kind)

    assert check in broken
    assert broken.keys() != CHECKS.keys()


def test_every_check_can_fail() -> None:
    """Each check of the suite catches at least one bad store."""
    assert set(CAUGHT_BY.values()) == CHECKS.keys()


async def test_the_message_of_a_failed_check() -> None:
    """The message has the sentence, the call, what it returned and what was expected."""
    assert await failed_checks(TakesEmptyForNothing) == {
        "empty_is_a_value": "An empty value is a value, and not the absence of one. But: get('a') returned None, not b''"
    }
    assert (
        "But: KeyError: 'a'" in (await failed_checks(DeletesWithAKeyError))["deleting_nothing_does_no_harm"]
    )


async def test_a_store_may_lag() -> None:
    """A store whose reads lag, and without short times to live, passes with `lag_ms` and `ttl_ms`, and only
    then.
    """
    assert await failed_checks(Lags, lag_ms=LAG_MS, ttl_ms=LAG_MS, keys=50) == {}
    assert "what_was_put_is_read" in await failed_checks(Lags)


async def test_a_fault_does_not_hide_behind_a_lag() -> None:
    """A store that lags and also ignores the time to live is caught."""
    broken = await failed_checks(LagsAndIgnoresTimeToLive, lag_ms=LAG_MS, ttl_ms=LAG_MS, keys=50)

    assert "an_expired_value_is_gone" in broken


async def test_the_suite_runs_in_real_time() -> None:
    """Without a clock to advance the suite waits, with short times to live."""

    async def make() -> Store:
        return MemoryStore()

    await check_store(make)


@pytest.mark.slow
def test_the_suite_does_not_rest_on_assert() -> None:
    """A bad store is caught under ``python -O`` as well."""
    program = """
import asyncio
from breathing_room.stores import MemoryStore
from breathing_room.testing import check_store
class Forgets(MemoryStore):
    async def get(self, key): return None
async def make(): return Forgets()
asyncio.run(check_store(make))
"""
    run = subprocess.run(
        [sys.executable, "-O", "-c", program], capture_output=True, text=True, check=False, timeout=60
    )

    assert run.returncode == 1
    assert "What was put is read, byte for byte." in run.stderr
