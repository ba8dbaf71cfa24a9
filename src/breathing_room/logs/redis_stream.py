"""The log that the servers of a cluster share (``ports.EventLog``): a stream of Redis.

One round trip a tick appends an entry and reads what is new. Entries are named by the time at which Redis
took them, and a server that lost the connection reads on where it stopped. Entries older than ``kept_ms`` are
dropped, and so is the whole stream when no server has appended for so long: it holds keys of visitors.

Beside it are the sampling rates, a hash with a field for each room that has one, and the secrets of the
epochs.
"""

from collections.abc import Mapping
from typing import Any, Final

from breathing_room.core.replication.delta import EntryId
from breathing_room.ports import Round
from breathing_room.stores.redis_link import RedisLink, read_script

FIELD: Final = b"m"

# A stream is trimmed in whole blocks of a hundred entries or 4 KB, which costs next to nothing.
ROUGHLY: Final = True


class RedisStream:
    """An ``EventLog`` in Redis.

    Args:
        link: The client.
        kept_ms: How long entries are kept at least.
    """

    def __init__(self, link: RedisLink, *, kept_ms: int) -> None:
        self._link = link
        self._kept_ms = kept_ms
        self._key = link.key("log")
        self._rates = link.key("paces")
        self._swap = link.client.register_script(read_script(__package__, "swap.lua"))

    async def append(self, value: bytes, *, since: EntryId) -> Round:
        """Append an entry, and read what is new."""
        async with self._link.client.pipeline(transaction=False) as trip:
            # Before the first entry was read the time of Redis is not known; then nothing is trimmed.
            oldest = max(since[0] - self._kept_ms, 0)
            trip.xadd(self._key, {FIELD: value}, minid=oldest, approximate=ROUGHLY)
            trip.xread({self._key: _position(since)})
            trip.hgetall(self._rates)
            trip.pexpire(self._key, self._kept_ms)
            trip.pexpire(self._rates, self._kept_ms)
            own, read, rates, *_ = await self._link.call(trip.execute())
        entries = read[0][1] if read else []
        return Round(
            _entry_id(own),
            tuple(_entry(entry) for entry in entries),
            {room.decode(errors="replace"): rate for room, rate in rates.items()},
        )

    async def read(self) -> tuple[int, tuple[tuple[EntryId, bytes], ...]]:
        """Return the time of Redis, and all entries that are kept."""
        async with self._link.client.pipeline(transaction=False) as trip:
            trip.time()
            trip.xrange(self._key)
            (seconds, microseconds), entries = await self._link.call(trip.execute())
        return seconds * 1_000 + microseconds // 1_000, tuple(_entry(entry) for entry in entries)

    async def write(self, value: bytes) -> None:
        """Append an entry, and read nothing."""
        await self._link.call(self._link.client.xadd(self._key, {FIELD: value}))

    async def set_rate(self, room: str, before: bytes, after: bytes) -> bool:
        """Set the sampling rate of a room if it has not changed since it was read."""
        return bool(await self._link.call(self._swap(keys=[self._rates], args=[room, before, after])))

    async def secret(self, epoch: int, mine: bytes, *, ttl_ms: int) -> bytes:
        """Return the secret of a key epoch; set it to ours if there is none."""
        key = self._link.key(f"secret/{epoch}")
        agreed = await self._link.call(self._link.client.set(key, mine, nx=True, get=True, px=ttl_ms))
        return agreed if isinstance(agreed, bytes) else mine

    async def known_secret(self, epoch: int) -> bytes | None:
        """Return the secret of a key epoch, None if there is none."""
        secret = await self._link.call(self._link.client.get(self._link.key(f"secret/{epoch}")))
        assert not isinstance(secret, str)
        return secret


def _entry(entry: tuple[bytes, Mapping[bytes, bytes]]) -> tuple[EntryId, bytes]:
    """Decode an entry; one of another program has no field of ours, and is read as empty."""
    name, fields = entry
    return _entry_id(name), fields.get(FIELD, b"") if fields else b""


def _entry_id(name: Any) -> EntryId:
    at_ms, _, number = name.decode().partition("-")
    return int(at_ms), int(number)


def _position(entry: EntryId) -> str:
    return f"{entry[0]}-{entry[1]}"
