"""The conformance suite of stores: one check for each sentence of the contract in ``ports.py``.

The author of a store runs it in one line of a test, under any test runner or none::

    await check_store(lambda: MyStore.open(address))

Stores differ in consistency and granularity. A store whose reads lag behind its writes is given ``lag_ms``,
one without short times to live ``ttl_ms``; for Workers KV both are 60,000. With ``advance``, which moves the
store's clock, no check waits.
"""

import asyncio
import builtins
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from breathing_room.core.errors import HostError
from breathing_room.ports import KEY_BYTES_MAX, TTL_MS_MAX, VALUE_BYTES_MAX, Store

Make: TypeAlias = Callable[[], Awaitable[Store]]
"""Returns a new, empty store that shares nothing with earlier ones. It is closed after its check."""

Advance: TypeAlias = Callable[[int], Awaitable[None]]
"""Advances the store's clock by so many milliseconds."""

# Long enough to catch a time to live that the store took for another unit, a thousand times shorter.
LONG: Final = 20


class CheckFailedError(AssertionError):
    """A check of a store or host failed.

    Args:
        check: The name of the check.
        message: The sentence that does not hold, and what was seen instead.
    """

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check


async def wait(ms: int) -> None:
    """Wait in real time, and a little longer, since clocks do not tick together."""
    await asyncio.sleep((ms + 25) / 1_000)


async def check_store(
    make: Make, *, advance: Advance = wait, ttl_ms: int = 100, lag_ms: int = 0, keys: int = 1_001
) -> None:
    """Check that a store conforms to the contract in ``ports.py``.

    Args:
        make: Makes a store for each check.
        advance: Advances the store's clock; by default real time passes.
        ttl_ms: The shortest time to live that the store can keep.
        lag_ms: How long after a write every reader sees it. No key is written twice within that time.
        keys: How many keys the longest list has. The default is one more than a page of most stores; where
            writes are billed it may be less.

    Raises:
        ExceptionGroup: Of one ``CheckFailedError`` for each check that failed.
    """
    failed: list[CheckFailedError] = []
    for name, run in CHECKS.items():
        try:
            await run_check(run, StoreCheckContext(await make(), advance, ttl_ms, lag_ms, keys))
        except Exception as error:  # noqa: BLE001 -- a faulty store may raise any exception
            seen = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            failed.append(CheckFailedError(name, f"{run.__doc__} But: {seen}"))
            failed[-1].__cause__ = error
    if failed:
        raise ExceptionGroup(f"{len(failed)} of the {len(CHECKS)} checks of a store failed", failed)


async def run_check(run: "StoreCheck", context: "StoreCheckContext") -> None:
    """Run one check, and close its store."""
    try:
        await run(context)
    finally:
        await context.store.close()


@dataclass(frozen=True)
class StoreCheckContext:
    """One store under one check, and the limits of that store.

    Failures are raised, not asserted with ``assert``, which ``python -O`` would leave out.
    """

    store: Store
    advance: Advance
    ttl_ms: int
    lag_ms: int
    keys: int

    @property
    def long_ms(self) -> int:
        """A time to live that does not expire during a check."""
        return LONG * (self.ttl_ms + self.lag_ms)

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        """Put, and wait until every reader must see it."""
        await self.store.put(key, value, ttl_ms=ttl_ms)
        await self.settle()

    async def delete(self, key: str) -> None:
        """Delete, and wait until every reader must see it."""
        await self.store.delete(key)
        await self.settle()

    async def settle(self) -> None:
        """Wait until every reader must see what was written."""
        if self.lag_ms:
            await self.advance(self.lag_ms)

    async def expire(self) -> None:
        """Wait until a value with the shortest time to live must have expired for every reader."""
        await self.advance(self.ttl_ms)
        await self.settle()

    async def reads(self, key: str, expected: bytes | None) -> None:
        """Expect ``get`` to return a value."""
        value = await self.store.get(key)
        if value != expected:
            raise AssertionError(f"get({short(key)}) returned {short(value)}, not {short(expected)}")
        if expected is not None and type(value) is not bytes:
            raise AssertionError(f"get({short(key)}) returned a {type(value).__name__}, not bytes")

    async def lists(self, prefix: str, expected: builtins.list[str]) -> None:
        """Expect ``list`` to return these keys."""
        found = await self.store.list(prefix)
        if found != expected:
            raise AssertionError(f"list({short(prefix)}) returned {short(found)}, not {short(expected)}")

    async def refuses(self, call: Awaitable[Any], what: str) -> None:
        """Expect a call to raise ``HostError``."""
        try:
            await call
        except HostError:
            return
        raise AssertionError(f"{what} raised no HostError")


def short(value: object) -> str:
    """Return a value's representation, shortened to a line."""
    text = repr(value[:60] if isinstance(value, bytes | str) else value)
    return text if len(text) <= 160 else f"{text[:156]} ..."


StoreCheck: TypeAlias = Callable[[StoreCheckContext], Awaitable[None]]
CHECKS: Final[dict[str, StoreCheck]] = {}


def check(run: StoreCheck) -> StoreCheck:
    """Add a check to the suite. Its docstring is its sentence of the contract."""
    CHECKS[run.__name__] = run
    return run


# --- Values -----------------------------------------------------------------------------------------------


@check
async def a_new_store_is_empty(t: StoreCheckContext) -> None:
    """A new store has no keys, and a key that was never put reads None."""
    await t.lists("", [])
    await t.reads("a", None)


@check
async def what_was_put_is_read(t: StoreCheckContext) -> None:
    """What was put is read, byte for byte."""
    await t.put("a", bytes(range(256)))
    await t.put("b", b"\xff\x00")
    await t.reads("a", bytes(range(256)))
    await t.reads("b", b"\xff\x00")


@check
async def empty_is_a_value(t: StoreCheckContext) -> None:
    """An empty value is a value, and not the absence of one."""
    await t.put("a", b"")
    await t.reads("a", b"")
    await t.lists("", ["a"])


@check
async def the_largest_value_is_kept(t: StoreCheckContext) -> None:
    """A value of the largest size is kept."""
    value = bytes(range(256)) * (VALUE_BYTES_MAX // 256)
    await t.put("a", value)
    await t.reads("a", value)


@check
async def a_put_replaces(t: StoreCheckContext) -> None:
    """A put replaces the value of its key, and of no other."""
    await t.put("a", b"a long first value")
    await t.put("b", b"other")
    await t.put("a", b"second")
    await t.reads("a", b"second")
    await t.reads("b", b"other")
    await t.lists("", ["a", "b"])


@check
async def puts_at_once_are_all_kept(t: StoreCheckContext) -> None:
    """Puts that are under way at the same time are all kept."""
    keys = [f"{index:02}" for index in range(20)]
    await asyncio.gather(*(t.store.put(key, key.encode()) for key in keys))
    await t.settle()
    for key in keys:
        await t.reads(key, key.encode())


# --- Time to live -----------------------------------------------------------------------------------------


@check
async def an_expired_value_is_gone(t: StoreCheckContext) -> None:
    """An expired value is not read and not listed."""
    await t.store.put("a", b"short", ttl_ms=t.ttl_ms)
    await t.store.put("b", b"for ever")
    await t.expire()
    await t.reads("a", None)
    await t.lists("", ["b"])


@check
async def a_living_value_is_kept(t: StoreCheckContext) -> None:
    """A value that has not expired is read and listed."""
    await t.store.put("a", b"long", ttl_ms=t.long_ms)
    await t.store.put("b", b"a century", ttl_ms=TTL_MS_MAX)
    await t.expire()
    await t.reads("a", b"long")
    await t.reads("b", b"a century")
    await t.lists("", ["a", "b"])


@check
async def a_put_renews_the_time_to_live(t: StoreCheckContext) -> None:
    """A put replaces the time to live; without one the value does not expire any more."""
    await t.store.put("longer", b"1", ttl_ms=t.ttl_ms + t.lag_ms)
    await t.store.put("ever", b"1", ttl_ms=t.ttl_ms + t.lag_ms)
    await t.put("shorter", b"1")
    await t.store.put("longer", b"2", ttl_ms=t.long_ms)
    await t.store.put("ever", b"2")
    await t.store.put("shorter", b"2", ttl_ms=t.ttl_ms)
    await t.expire()
    await t.reads("longer", b"2")
    await t.reads("ever", b"2")
    await t.reads("shorter", None)


@check
async def an_expired_key_can_be_put_again(t: StoreCheckContext) -> None:
    """An expired key can be put again."""
    await t.store.put("a", b"1", ttl_ms=t.ttl_ms)
    await t.expire()
    await t.put("a", b"2")
    await t.reads("a", b"2")
    await t.lists("", ["a"])


# --- Delete -----------------------------------------------------------------------------------------------


@check
async def a_deleted_value_is_gone(t: StoreCheckContext) -> None:
    """A deleted value is not read and not listed, and the others are."""
    await t.put("a", b"1")
    await t.put("ab", b"2")
    await t.delete("a")
    await t.reads("a", None)
    await t.reads("ab", b"2")
    await t.lists("", ["ab"])
    await t.put("a", b"3")
    await t.reads("a", b"3")


@check
async def deleting_nothing_does_no_harm(t: StoreCheckContext) -> None:
    """Deleting what is not there, or not any more, does no harm."""
    await t.delete("a")
    await t.put("a", b"1")
    await t.delete("a")
    await t.delete("a")
    await t.reads("a", None)


# --- List -------------------------------------------------------------------------------------------------


@check
async def a_list_has_the_keys_with_its_prefix(t: StoreCheckContext) -> None:
    """A list has the keys that begin with its prefix, the prefix itself among them, and no others."""
    for key in ("room/a", "room/ab", "room/b", "broom/a", "Room/a", "room"):
        await t.put(key, b"1")
    await t.lists("room/", ["room/a", "room/ab", "room/b"])
    await t.lists("room/a", ["room/a", "room/ab"])
    await t.lists("room/c", [])
    await t.lists("", ["Room/a", "broom/a", "room", "room/a", "room/ab", "room/b"])


@check
async def a_prefix_is_literal(t: StoreCheckContext) -> None:
    """No character of a prefix is a wildcard."""
    for key in ("ab", "a%", "a_", "a*", "a?", "a[b]", "a\\b", "a'b", 'a"b'):
        await t.put(key, b"1")
    for prefix in ("a%", "a_", "a*", "a?", "a[b]", "a\\b", "a'b", 'a"b'):
        await t.lists(prefix, [prefix])


@check
async def a_list_is_sorted(t: StoreCheckContext) -> None:
    """A list is sorted by code points, which is the order of the bytes in UTF-8, and not that of UTF-16."""
    keys = ["A", "B", "a", "a b", "aa", "b", "z", "é", "\uffee", "\U0001f9d8"]
    for key in keys[::2] + keys[1::2]:
        await t.put(key, b"1")
    await t.lists("", keys)


@check
async def a_long_list_is_whole(t: StoreCheckContext) -> None:
    """A list has every key once, however many there are."""
    keys = [f"{index:06}" for index in range(t.keys)]
    for key in keys:
        await t.store.put(key, b"1")
    await t.settle()
    await t.lists("", keys)
    await t.lists("0", keys)


@check
async def a_list_belongs_to_its_caller(t: StoreCheckContext) -> None:
    """Changing a returned list does not change the store."""
    await t.put("a", b"1")
    (await t.store.list("")).clear()
    await t.lists("", ["a"])


# --- Keys -------------------------------------------------------------------------------------------------


@check
async def similar_keys_are_distinct(t: StoreCheckContext) -> None:
    """Keys that only look alike are different keys, up to the longest."""
    keys = [
        "a",
        "A",
        "a ",
        " a",
        "é",
        "e\u0301",
        "1",
        "01",
        "a/b",
        "a//b",
        "..a",
        "#",
        "k" * KEY_BYTES_MAX,
        "\U0001f9d8" * 128,
    ]
    for key in keys:
        await t.store.put(key, key.encode())
    await t.settle()
    for key in keys:
        await t.reads(key, key.encode())
    await t.lists("", sorted(keys))


@check
async def a_bad_key_is_refused(t: StoreCheckContext) -> None:
    """What cannot be a key is refused by every method, with no effect."""
    bad: list[Any] = [
        "k" * (KEY_BYTES_MAX + 1),
        "\U0001f9d8" * 129,
        "a\nb",
        "a\0b",
        "\ud800",
        "\uffff",
        b"a",
        None,
    ]
    for key in bad:
        await t.refuses(t.store.list(key), f"list({short(key)})")
    for key in ["", ".", "..", *bad]:
        await t.refuses(t.store.get(key), f"get({short(key)})")
        await t.refuses(t.store.put(key, b"1"), f"put({short(key)}, ...)")
        await t.refuses(t.store.delete(key), f"delete({short(key)})")
    await t.settle()
    await t.lists("", [])


@check
async def a_bad_value_is_refused(t: StoreCheckContext) -> None:
    """What cannot be a value is refused, and the former value stays."""
    await t.put("a", b"1")
    bad: list[Any] = [bytes(VALUE_BYTES_MAX + 1), "text", bytearray(b"2"), memoryview(b"2"), None, 2]
    for value in bad:
        await t.refuses(t.store.put("a", value), f"put('a', {type(value).__name__})")
    await t.settle()
    await t.reads("a", b"1")


@check
async def a_bad_time_to_live_is_refused(t: StoreCheckContext) -> None:
    """What cannot be a time to live is refused, and the former value stays."""
    await t.put("a", b"1")
    bad: list[Any] = [0, -1, TTL_MS_MAX + 1, 1_000.5, True, "1000"]
    for ttl_ms in bad:
        await t.refuses(t.store.put("a", b"2", ttl_ms=ttl_ms), f"put(..., ttl_ms={ttl_ms!r})")
    await t.settle()
    await t.reads("a", b"1")


# --- Close ------------------------------------------------------------------------------------------------


@check
async def closing_twice_does_nothing(t: StoreCheckContext) -> None:
    """A second close does nothing."""
    await t.store.close()
    await t.store.close()


@check
async def a_closed_store_is_closed(t: StoreCheckContext) -> None:
    """After close every other call is refused."""
    await t.put("a", b"1")
    await t.store.close()
    await t.refuses(t.store.get("a"), "get")
    await t.refuses(t.store.put("a", b"1"), "put")
    await t.refuses(t.store.list(""), "list")
    await t.refuses(t.store.delete("a"), "delete")
