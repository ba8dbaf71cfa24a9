"""Whom a limit applies to, without knowing whom: keyed hashes of address prefixes.

Two limits ask. How many rooms one prefix may hold open is asked of everybody. How many seats of a panel it may fill
(``prefix_seats_max``) is asked only of networks behind which there is one subscriber; others are *uncapped*. Loopback and private
networks are, unless they are told otherwise: whoever seems to come from there is a proxy that nobody declared, or an
office, and a cap would cut a crowd to 64. A school behind one public address is declared by its operator.

A prefix is one IPv4 address or one IPv6 /64, the least that one subscriber gets. The key lives in memory only and is
drawn anew every day, so a hash means nothing tomorrow or to anybody else.
"""

import hashlib
import secrets
from collections.abc import Iterable
from typing import Final

from breathing_room.hosts.common.access.forwarded import Address, Network, client_address

DAY_MS: Final = 86_400_000
UNKNOWN: Final = b"unknown"


class Prefixes:
    """Hashes addresses.

    Args:
        trusted_proxies: Networks whose ``X-Forwarded-For`` is believed.
        uncapped: Networks whose people may fill a panel.
    """

    def __init__(self, trusted_proxies: Iterable[Network] = (), uncapped: Iterable[Network] = ()) -> None:
        self._trusted = tuple(trusted_proxies)
        self._uncapped = tuple(uncapped)
        self._key = b""
        self._day = -1

    def hash(self, address: str | None, forwarded_for: str | None, *, wall_ms: int) -> bytes:
        """Hash the prefix of whoever is at the other end.

        Args:
            address: The peer of the connection, None if there is none (a Unix socket).
            forwarded_for: The header ``X-Forwarded-For``, if there was one.
            wall_ms: Milliseconds since 1970-01-01 UTC.

        Returns:
            Eight bytes, or ``UNKNOWN``.
        """
        client = client_address(address, forwarded_for, self._trusted)
        return UNKNOWN if client is None else self._hash(client, wall_ms)

    def capped(self, address: str | None, forwarded_for: str | None, *, wall_ms: int) -> bytes | None:
        """Hash the prefix of whoever is at the other end, if a cap on seats applies to it.

        Args:
            address: As for ``hash``.
            forwarded_for: Likewise.
            wall_ms: Likewise.

        Returns:
            Eight bytes; None for uncapped networks, and for a peer without an address, which is a program beside us.
        """
        client = client_address(address, forwarded_for, self._trusted)
        if client is None or any(client in network for network in self._uncapped):
            return None
        return self._hash(client, wall_ms)

    def _hash(self, client: Address, wall_ms: int) -> bytes:
        if wall_ms // DAY_MS != self._day:
            self._day = wall_ms // DAY_MS
            self._key = secrets.token_bytes(32)
        prefix = client.packed if client.version == 4 else client.packed[:8]
        return hashlib.blake2b(prefix, digest_size=8, key=self._key).digest()
