"""The secrets of the key epochs: one for all who hold the same rooms, two at a time."""

import pytest

from breathing_room.core.config import DAY_MS
from breathing_room.core.errors import ClientError, StoreError
from breathing_room.core.identity import SECRET_BYTES, VisitorKey, visitor_key
from breathing_room.hosts.common.rooms.secrets import Secrets, StoreSecrets, draw_secret, keep_secrets
from breathing_room.stores import MemoryStore

VISITOR = "visitor-0123456789"
EPOCH = 20_000


class Clock:
    """A wall clock that stands."""

    def __init__(self) -> None:
        self.ms = EPOCH * DAY_MS + 5

    def __call__(self) -> int:
        return self.ms


class Busy(MemoryStore):
    """A store in which another writer is faster with every value, as in Workers KV."""

    async def put(self, key: str, value: bytes, *, ttl_ms: int | None = None) -> None:
        await super().put(key, value[::-1], ttl_ms=ttl_ms)
        raise StoreError("too many requests", temporary=True)


class Away:
    """A source that knows one secret, and cannot reach those on whose secrets it agrees."""

    def __init__(self, known: dict[int, bytes]) -> None:
        self.known = known

    async def agree(self, epoch: int, proposed: bytes) -> bytes:
        raise ClientError("unavailable", f"epoch {epoch} of {len(proposed)} bytes", status=503)

    async def find(self, epoch: int) -> bytes | None:
        return self.known.get(epoch)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
def source(store: MemoryStore, clock: Clock) -> StoreSecrets:
    return StoreSecrets(store, epoch_ms=DAY_MS, clock=clock)


async def test_secrets_are_kept_ahead_of_their_epoch(store: MemoryStore, clock: Clock) -> None:
    """Reconciling puts the secrets of this epoch and the next into the
    store once, each of the right length.
    """
    await keep_secrets(store, epoch=EPOCH, epoch_ms=DAY_MS, clock=clock)
    found = [await store.get(f"secret/{epoch}") for epoch in (EPOCH, EPOCH + 1)]
    assert [secret and len(secret) for secret in found] == [SECRET_BYTES] * 2
    clock.ms += 1
    await keep_secrets(store, epoch=EPOCH, epoch_ms=DAY_MS, clock=clock)
    assert [await store.get(f"secret/{epoch}") for epoch in (EPOCH, EPOCH + 1)] == found


async def test_a_secret_is_drawn_once_and_lasts_until_the_next_epoch_ends(
    source: StoreSecrets, clock: Clock
) -> None:
    """All who ask get the first that was proposed, in its epoch and in the next, and none after that."""
    first = draw_secret()
    assert [await source.agree(EPOCH, secret) for secret in (first, draw_secret())] == [first, first]
    clock.ms = (EPOCH + 2) * DAY_MS - 1
    assert await source.find(EPOCH) == first
    clock.ms += 1
    assert await source.find(EPOCH) is None


async def test_a_writer_that_was_faster_has_drawn_the_secret(clock: Clock) -> None:
    """Where a write fails because another has just put a secret there, that one holds."""
    source = StoreSecrets(Busy(clock=clock), epoch_ms=DAY_MS, clock=clock)
    proposed = draw_secret()
    assert await source.agree(EPOCH, proposed) == proposed[::-1]


async def test_a_secret_of_another_length_is_none(source: StoreSecrets, store: MemoryStore) -> None:
    """A damaged secret is not used, and another is drawn in its place."""
    await store.put(f"secret/{EPOCH}", b"short")
    assert await source.find(EPOCH) is None
    proposed = draw_secret()
    assert await source.agree(EPOCH, proposed) == proposed
    assert await source.find(EPOCH) == proposed


async def test_a_visitor_keeps_the_key_of_the_former_epoch(source: StoreSecrets) -> None:
    """A visitor whom the room holds under the last secret keeps that key; another is hashed under the current
    one.
    """
    secrets = Secrets()
    held: set[VisitorKey] = set()
    await secrets.load(source, EPOCH)
    first = secrets.visitor_key(VISITOR, room="lobby", holds=held.__contains__)
    assert first == visitor_key(VISITOR, room="lobby", secret=secrets.current[0])
    await secrets.load(source, EPOCH + 1)
    second = secrets.visitor_key(VISITOR, room="lobby", holds=held.__contains__)
    assert second != first
    held.add(first)
    assert secrets.visitor_key(VISITOR, room="lobby", holds=held.__contains__) == first
    held.add(second)
    assert secrets.visitor_key(VISITOR, room="lobby", holds=held.__contains__) == second


async def test_a_secret_that_the_source_lost_becomes_the_former_one(
    source: StoreSecrets, store: MemoryStore
) -> None:
    """When all agree on another secret within an epoch, visitors who joined under ours keep their keys."""
    secrets = Secrets()
    await secrets.load(source, EPOCH)
    (ours,) = secrets.current
    theirs = draw_secret()
    await store.put(f"secret/{EPOCH}", theirs)
    await secrets.load(source, EPOCH)
    assert secrets.current == (theirs, ours)


async def test_a_secret_that_was_lost_with_the_store_is_put_back(
    source: StoreSecrets, store: MemoryStore
) -> None:
    """To load an epoch again puts its secret where it is missing."""
    secrets = Secrets()
    await secrets.load(source, EPOCH)
    await store.delete(f"secret/{EPOCH}")
    await secrets.load(source, EPOCH)
    assert secrets.current == (await store.get(f"secret/{EPOCH}"),)


async def test_the_former_secret_stays_in_use_while_the_coordinator_cannot_be_reached() -> None:
    """Without the others a room goes on with the last secret, and asks again the next time; without that it
    fails.
    """
    secrets, last = Secrets(), draw_secret()
    await secrets.load(Away({EPOCH - 1: last}), EPOCH)
    assert (secrets.current, secrets.epoch) == ((last,), -1)
    with pytest.raises(ClientError):
        await Secrets().load(Away({}), EPOCH)
