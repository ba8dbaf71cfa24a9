"""The ports of a host: a store, a shared log, a platform for each room, a publishing target, and the wall
clock.

Rules for every store
---------------------
A *key* is 1 to ``KEY_BYTES_MAX`` bytes of printable text in UTF-8, and neither ``.`` nor ``..``. No character
has a meaning of its own: ``%``, ``_``, ``*`` and ``/`` stand for themselves. Keys are compared code point by
code point.

A *value* is 0 to ``VALUE_BYTES_MAX`` bytes, kept as they are.

Both limits are those of Cloudflare's Workers KV, the tightest of the stores we mean to run on, so that what
works on one store works on all (https://developers.cloudflare.com/kv/platform/limits/).

A *time to live* is 1 to ``TTL_MS_MAX`` milliseconds by the wall clock, so that it goes on while no process
runs. A store that cannot keep so short a time (Workers KV: 60 s) rounds it up, never down.

``check_key``, ``check_prefix`` and ``check_put`` are these rules; every store calls them first.
``breathing_room.testing.check_store`` holds a store to all of it.
"""

import builtins
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from breathing_room.core.effects import KeepConnections
from breathing_room.core.errors import HostError
from breathing_room.core.replication.delta import EntryId

KEY_BYTES_MAX: Final = 512
VALUE_BYTES_MAX: Final = 25 * 1024 * 1024

# A century. With it an instant of expiry stays below 2**53, which every store and every JSON reader can hold.
TTL_MS_MAX: Final = 100 * 366 * 86_400_000

Clock: TypeAlias = Callable[[], int]
"""Returns milliseconds since 1970-01-01 UTC. A room host has two times: ``hosts/common/rooms/clock.py``."""


def wall_ms() -> int:
    """Return the wall time, in milliseconds since 1970-01-01 UTC."""
    # At the edge it is a whole millisecond as a floating-point number of nanoseconds, which is up to 128
    # short of it.
    return (time.time_ns() + 500) // 1_000_000


class Store(Protocol):
    """A few values by key.

    Every method raises ``HostError`` for an argument that breaks the rules above and after ``close``, and
    ``StoreError`` when the outside fails. A call that was cancelled may or may not have had its effect.
    """

    async def get(self, key: str) -> bytes | None:
        """Return a value, None when there is none or it has expired."""
        ...

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        """Store a value; it replaces the former one and its time to live.

        Args:
            key: The key.
            value: The value.
            ttl_ms: Its time to live, from now; None for no limit.
        """
        ...

    async def list(self, prefix: str) -> builtins.list[str]:
        """Return all keys with a prefix (empty: all keys) that have not expired, sorted."""
        ...

    async def delete(self, key: str) -> None:
        """Delete a value, if there is one."""
        ...

    async def close(self) -> None:
        """Release all files and connections. A second call does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """The answer to ``EventLog.append``.

    Attributes:
        own: The position of the entry that was appended.
        entries: All entries that were new, in order; the appended one is among them.
        rates: The sampling rates, by room.
    """

    own: EntryId
    entries: tuple[tuple[EntryId, bytes], ...]
    rates: Mapping[str, bytes]


class EventLog(Protocol):
    """The ordered log that the replicas of a cluster share, with their shared rates and secrets.

    All read the same entries in the same order. An entry is named by the time at which the log took it, by
    the log's own clock, so ages need no other clock. Entries, rates and secrets are kept for a limited time,
    as they hold keys of visitors or lead to them.

    Every method raises ``StoreError`` when the log is unreachable, slow, or rejects. A call that failed may
    have had its effect.
    """

    async def append(self, value: bytes, *, since: EntryId) -> Round:
        """Append an entry, and read what is new, in one round trip.

        Args:
            value: The entry.
            since: The last entry that was read.
        """
        ...

    async def read(self) -> tuple[int, tuple[tuple[EntryId, bytes], ...]]:
        """Read all entries that are kept.

        Returns:
            The time of the log, in milliseconds since 1970, and the entries, in order.
        """
        ...

    async def write(self, value: bytes) -> None:
        """Append an entry and read nothing."""
        ...

    async def set_rate(self, room: str, before: bytes, after: bytes) -> bool:
        """Set the sampling rate of a room if it has not changed since it was read; return whether it was set.

        Args:
            room: The room's name.
            before: The value that was read; empty for none.
            after: The value to set; empty for none.
        """
        ...

    async def secret(self, epoch: int, mine: bytes, *, ttl_ms: int) -> bytes:
        """Return the secret of a key epoch; set it to ours if there is none.

        Args:
            epoch: Its number.
            mine: The secret to set if there is none.
            ttl_ms: How long it is kept.
        """
        ...

    async def known_secret(self, epoch: int) -> bytes | None:
        """Return the secret of a key epoch, None if there is none."""
        ...


class Platform(Protocol):
    """The runtime of one room; ``hosts/common/rooms/room_host.py`` calls it.

    A *turn* is one round of an event loop, or one call of the runtime: nothing else runs within it.
    ``hosts/server/platform.py`` is that of an event loop, ``hosts/worker/room_platform.py`` that of an object
    that hibernates.
    """

    def call_soon(self, flush: Callable[[], None]) -> None:
        """Call back when the turn ends, or at once where nothing else happens in it."""

    def send(self, subscribers: Mapping[Any, None], presence: Any) -> None:
        """Push a presence (an ``EncodedPresence``) to the subscribers; a slow reader gets only the latest."""

    def set_timer(self, at_ms: int | None) -> None:
        """Set the room's timer. It is called after every step; an early timer does no harm."""

    def save(self) -> None:
        """Store the room, after this call or in it."""

    def keep(self, effect: KeepConnections) -> None:
        """Keep data with connections for the time after hibernation; nothing where connections end with the
        process.
        """

    def commit(self) -> None:
        """Persist what must outlast the process: an event was applied, and its effects are carried out."""


class PublishTarget(Protocol):
    """A place for published files."""

    async def put(self, path: str, content: bytes, headers: Mapping[str, str]) -> None:
        """Replace a whole file.

        Raises:
            Exception: Any error of the target.
        """


def check_key(key: str) -> None:
    """Reject an invalid key.

    Raises:
        HostError: It is empty, too long, not printable, ``.`` or ``..``.
    """
    check_prefix(key)
    if key in {"", ".", ".."}:
        raise HostError(f"{key!r} cannot be a key")


def check_prefix(prefix: str) -> None:
    """Reject a prefix with which no key can begin.

    Raises:
        HostError: It is too long or not printable.
    """
    if not isinstance(prefix, str) or not prefix.isprintable():
        raise HostError(f"a key must be printable text, not {prefix!r:.80}")
    if len(prefix.encode()) > KEY_BYTES_MAX:
        raise HostError(f"a key has at most {KEY_BYTES_MAX} bytes in UTF-8, not {len(prefix.encode()):,}")


def check_put(key: str, value: bytes, ttl_ms: int | None) -> None:
    """Reject an invalid put.

    Raises:
        HostError: The key, the value or the time to live breaks the rules.
    """
    check_key(key)
    # Its owner could still change a bytearray.
    if not isinstance(value, bytes):
        raise HostError(f"a value must be bytes, not {type(value).__name__}")
    if len(value) > VALUE_BYTES_MAX:
        raise HostError(f"a value has at most {VALUE_BYTES_MAX:,} bytes, not {len(value):,}")
    if ttl_ms is None:
        return
    if not isinstance(ttl_ms, int) or isinstance(ttl_ms, bool) or not 1 <= ttl_ms <= TTL_MS_MAX:
        raise HostError(f"ttl_ms must be a whole number from 1 to {TTL_MS_MAX:,}, not {ttl_ms!r}")
