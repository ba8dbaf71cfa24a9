"""The log of a cluster: a stream of Redis, in which everybody reads the same in the same order.

One round trip a tick writes what a node says and reads what all have said since, its own words included. Entries are named by the
time at which Redis took them, so ages need no clock but one, and whoever lost the connection reads on where it stopped. What
is older than ``kept_ms`` is thrown away, and so is the whole log when nobody has written for so long: it holds keys of visitors.

Beside it are the sampling rates, a hash with a field for each room that has one, and the secrets of the epochs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from breathing_room.core.replication.delta import EntryId
from breathing_room.stores.redis_link import RedisLink, read_script

FIELD: Final = b"m"

# A stream is trimmed in whole blocks of a hundred entries or 4 KB, which costs next to nothing.
ROUGHLY: Final = True


@dataclass(frozen=True, slots=True)
class Round:
    """The answer to a tick.

    Attributes:
        own: The entry that was written.
        entries: All that were new, in order; ours is among them.
        paces: The sampling rates, by room.
    """

    own: EntryId
    entries: tuple[tuple[EntryId, bytes], ...]
    paces: Mapping[str, bytes]


class Log:
    """The log that the nodes of a cluster share.

    Args:
        link: The way to Redis.
        kept_ms: How long entries are kept at least.
    """

    def __init__(self, link: RedisLink, *, kept_ms: int) -> None:
        self._link = link
        self._kept_ms = kept_ms
        self._key = link.key("log")
        self._paces = link.key("paces")
        self._swap = link.client.register_script(read_script(__package__, "swap.lua"))

    async def tell(self, value: bytes, *, since: EntryId) -> Round:
        """Write an entry, and read what is new.

        Args:
            value: What to write.
            since: The last entry that was read.

        Raises:
            StoreError: Redis is away, slow, or refuses. The entry may be written all the same.
        """
        async with self._link.client.pipeline(transaction=False) as trip:
            # Before the first entry was read nobody knows the time of Redis; then nothing is trimmed.
            oldest = max(since[0] - self._kept_ms, 0)
            trip.xadd(self._key, {FIELD: value}, minid=oldest, approximate=ROUGHLY)
            trip.xread({self._key: _written(since)})
            trip.hgetall(self._paces)
            trip.pexpire(self._key, self._kept_ms)
            trip.pexpire(self._paces, self._kept_ms)
            own, read, paces, *_ = await self._link.call(trip.execute())
        entries = read[0][1] if read else []
        return Round(
            _entry_id(own),
            tuple(_entry(entry) for entry in entries),
            {room.decode(errors="replace"): pace for room, pace in paces.items()},
        )

    async def read(self) -> tuple[int, tuple[tuple[EntryId, bytes], ...]]:
        """Read all that is kept.

        Returns:
            The time of Redis, in milliseconds since 1970, and the entries, in order.

        Raises:
            StoreError: Redis is away, slow, or refuses.
        """
        async with self._link.client.pipeline(transaction=False) as trip:
            trip.time()
            trip.xrange(self._key)
            (seconds, microseconds), entries = await self._link.call(trip.execute())
        return seconds * 1_000 + microseconds // 1_000, tuple(_entry(entry) for entry in entries)

    async def write(self, value: bytes) -> None:
        """Write an entry, as an operator does.

        Raises:
            StoreError: Redis is away, slow, or refuses.
        """
        await self._link.call(self._link.client.xadd(self._key, {FIELD: value}))

    async def set_pace(self, room: str, before: bytes, after: bytes) -> bool:
        """Set the sampling rate of a room, unless somebody else has done so since we looked.

        Args:
            room: The room's name.
            before: What it was; empty for nothing.
            after: What it should be; empty for nothing.

        Raises:
            StoreError: Redis is away, slow, or refuses.
        """
        return bool(await self._link.call(self._swap(keys=[self._paces], args=[room, before, after])))

    async def secret(self, epoch: int, mine: bytes, *, ttl_ms: int) -> bytes:
        """Agree on the secret of an epoch: ours, unless there is one.

        Args:
            epoch: Its number.
            mine: What it shall be otherwise.
            ttl_ms: How long it is kept.

        Raises:
            StoreError: Redis is away, slow, or refuses.
        """
        key = self._link.key(f"secret/{epoch}")
        agreed = await self._link.call(self._link.client.set(key, mine, nx=True, get=True, px=ttl_ms))
        return agreed if isinstance(agreed, bytes) else mine

    async def known_secret(self, epoch: int) -> bytes | None:
        """Read the secret of an epoch, if there is one.

        Raises:
            StoreError: Redis is away, slow, or refuses.
        """
        secret = await self._link.call(self._link.client.get(self._link.key(f"secret/{epoch}")))
        assert not isinstance(secret, str)
        return secret


def _entry(entry: tuple[bytes, Mapping[bytes, bytes]]) -> tuple[EntryId, bytes]:
    """Read an entry; one of another program has no field of ours, and is as good as empty."""
    name, fields = entry
    return _entry_id(name), fields.get(FIELD, b"") if fields else b""


def _entry_id(name: Any) -> EntryId:
    at_ms, _, number = name.decode().partition("-")
    return int(at_ms), int(number)


def _written(entry: EntryId) -> str:
    return f"{entry[0]}-{entry[1]}"
