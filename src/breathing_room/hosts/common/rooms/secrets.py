"""The secrets of the key epochs, under which visitor ids are hashed.

A secret is drawn once per epoch, and kept until the end of the next: a visitor who joined under the former
secret stays the same visitor. Each host stores them elsewhere; that is a ``SecretSource``, of which there are
three:

=====================================  ==============================================================
``StoreSecrets``                       the store of the host
``hosts/server/cluster_node.py``       the log that the nodes of a cluster share
``hosts/worker/hibernation.py``        the rows of an object, filled from the store or by the coordinator
=====================================  ==============================================================
"""

import logging
import secrets
from collections.abc import Callable
from typing import Final, Protocol

from breathing_room.core.errors import ClientError, StoreError
from breathing_room.core.identity import SECRET_BYTES, VisitorKey, visitor_key
from breathing_room.ports import Clock, Store

log = logging.getLogger("breathing_room.secrets")

SECRET: Final = "secret/"  # noqa: S105 - the prefix of a key, no secret
"""The prefix of the key of a secret in a store; the number of its epoch follows."""


class SecretSource(Protocol):
    """Where the hosts of the same rooms agree on the secrets."""

    async def agree(self, epoch: int, proposed: bytes) -> bytes:
        """Return the secret of an epoch: the proposed one, unless there is one already.

        Raises:
            StoreError: The store or log failed.
            ClientError: The coordinator cannot be reached; the former secret stays in use until it can.
        """
        ...

    async def find(self, epoch: int) -> bytes | None:
        """Return the secret of an epoch, if there is one.

        Raises:
            StoreError: The store or log failed.
            ClientError: The coordinator cannot be reached.
        """
        ...


class StoreSecrets:
    """Secrets in a store.

    Args:
        store: The store.
        epoch_ms: The length of an epoch.
        clock: Returns the wall time in milliseconds.
    """

    def __init__(self, store: Store, *, epoch_ms: int, clock: Clock) -> None:
        self._store = store
        self._epoch_ms = epoch_ms
        self._clock = clock

    async def agree(self, epoch: int, proposed: bytes) -> bytes:
        """Return the secret of an epoch: the proposed one, unless there is one already.

        Raises:
            StoreError: The store failed.
        """
        if (found := await self.find(epoch)) is not None:
            return found
        # It is needed until the end of the next epoch.
        ttl_ms = max(1, (epoch + 2) * self._epoch_ms - self._clock())
        try:
            await self._store.put(f"{SECRET}{epoch}", proposed, ttl_ms=ttl_ms)
        except StoreError:
            # Workers KV takes one write per second and key: another writer may have been faster.
            if (found := await self.find(epoch)) is None:
                raise
            return found
        return proposed

    async def find(self, epoch: int) -> bytes | None:
        """Return the secret of an epoch, None if there is none or its length is wrong.

        Raises:
            StoreError: The store failed.
        """
        found = await self._store.get(f"{SECRET}{epoch}")
        return found if found is not None and len(found) == SECRET_BYTES else None


async def keep_secrets(store: Store, *, epoch: int, epoch_ms: int, clock: Clock) -> None:
    """Put the secrets of an epoch and of the next one into a store, before they are needed.

    Raises:
        StoreError: The store failed. Call it again later.
    """
    source = StoreSecrets(store, epoch_ms=epoch_ms, clock=clock)
    for number in (epoch, epoch + 1):
        await source.agree(number, draw_secret())


def draw_secret() -> bytes:
    """Return a random secret."""
    return secrets.token_bytes(SECRET_BYTES)


class Secrets:
    """The secrets under which visitor ids are hashed now.

    Attributes:
        epoch: The epoch of the current one; -1 before the first is loaded.
        current: The secrets in use, the newest first.
    """

    def __init__(self) -> None:
        self.epoch = -1
        self.current: tuple[bytes, ...] = ()

    async def load(self, source: SecretSource, epoch: int) -> None:
        """Load the secret of an epoch, and that of the epoch before, if there is one.

        Loading the same epoch again restores a secret that the source has lost.

        Raises:
            StoreError: The source failed; the secrets loaded before stay in use.
            ClientError: The coordinator cannot be reached, and there is no former secret.
        """
        held = self.current[0] if epoch == self.epoch else None
        try:
            agreed = await source.agree(epoch, held or draw_secret())
        except ClientError as error:
            last = await source.find(epoch - 1)
            if last is None:
                raise
            # A visitor with connections to other objects may be counted twice until the coordinator can be
            # reached.
            log.warning("the former secret stays in use: %s", error.message)
            self.current = (last,)
            return
        # The source may have lost it, and the other hosts agreed on a new one: then ours is the former one.
        former = held if held is not None and held != agreed else await source.find(epoch - 1)
        self.current = (agreed,) if former is None else (agreed, former)
        self.epoch = epoch

    def visitor_key(self, visitor: str, *, room: str, holds: Callable[[VisitorKey], bool]) -> VisitorKey:
        """Hash a visitor id; a visitor who joined under the former secret keeps that key.

        Args:
            visitor: The id as the client sent it.
            room: The room's name.
            holds: Returns whether the room has a lease for a key.
        """
        key = visitor_key(visitor, room=room, secret=self.current[0])
        for secret in self.current[1:]:
            former = visitor_key(visitor, room=room, secret=secret)
            if not holds(key) and holds(former):
                return former
        return key
