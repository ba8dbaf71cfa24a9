"""Keyed hashes of address prefixes: limits per address without storing an address.

Two limits use them. The number of rooms that one prefix may hold open applies to every network. The number of
seats of a panel that it may fill (``prefix_seats_max``) applies only to networks with one subscriber behind a
prefix; others are *uncapped*. Loopback and private networks are uncapped by default: a peer from there is an
undeclared proxy or an office, and a cap would cut a crowd to 64. The operator declares a school behind one
public address (``uncapped_networks``).

A prefix is one IPv4 address or one IPv6 /64, the least that one subscriber gets. The key is held in memory
only and rotated every day, so hashes of two days or of two processes cannot be linked.
"""

import hashlib
import secrets
from collections.abc import Iterable
from typing import Final

from breathing_room.hosts.common.access.forwarded import Address, Network, client_address

DAY_MS: Final = 86_400_000
UNKNOWN: Final = b"unknown"


class Prefixes:
    """Hashes the prefixes of client addresses.

    Args:
        trusted_proxies: Networks whose ``X-Forwarded-For`` is trusted.
        uncapped: Networks to which the cap on seats does not apply.
    """

    def __init__(self, trusted_proxies: Iterable[Network] = (), uncapped: Iterable[Network] = ()) -> None:
        self._trusted = tuple(trusted_proxies)
        self._uncapped = tuple(uncapped)
        self._key = b""
        self._day = -1

    def hash(self, address: str | None, forwarded_for: str | None, *, wall_ms: int) -> bytes:
        """Hash the prefix of the client's address.

        Args:
            address: The peer of the connection, None if there is none (a Unix socket).
            forwarded_for: The header ``X-Forwarded-For``, if there was one.
            wall_ms: Milliseconds since 1970-01-01 UTC.

        Returns:
            Eight bytes, or ``UNKNOWN``.
        """
        client = client_address(address, forwarded_for, self._trusted)
        return UNKNOWN if client is None else self._hash(client, wall_ms)

    def hash_if_capped(self, address: str | None, forwarded_for: str | None, *, wall_ms: int) -> bytes | None:
        """Hash the prefix of the client's address, if the cap on seats applies to it.

        Args:
            address: As for ``hash``.
            forwarded_for: Likewise.
            wall_ms: Likewise.

        Returns:
            Eight bytes; None for uncapped networks, and for a peer without an address (a Unix socket).
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
