"""Whom a limit applies to, without knowing whom: keyed hashes of address prefixes.

Two limits ask. How many rooms one prefix may hold open is asked of everybody. How many seats of a panel it may fill
(``prefix_seats_max``) is asked only of networks behind which there is one subscriber; others are *uncapped*. Loopback and private
networks are, unless they are told otherwise: whoever seems to come from there is a proxy that nobody declared, or an
office, and a cap would cut a crowd to 64. A school behind one public address is declared by its operator.

A prefix is one IPv4 address or one IPv6 /64, the least that one subscriber gets. The key lives in memory only and is
drawn anew every day, so a hash means nothing tomorrow or to anybody else.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Iterable
from typing import Final, TypeAlias

from breathing_room.hosts.common.settings import Network

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

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
        client = self._client(address, forwarded_for)
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
        client = self._client(address, forwarded_for)
        if client is None or any(client in network for network in self._uncapped):
            return None
        return self._hash(client, wall_ms)

    def _hash(self, client: Address, wall_ms: int) -> bytes:
        if wall_ms // DAY_MS != self._day:
            self._day = wall_ms // DAY_MS
            self._key = secrets.token_bytes(32)
        prefix = client.packed if client.version == 4 else client.packed[:8]
        return hashlib.blake2b(prefix, digest_size=8, key=self._key).digest()

    def _client(self, address: str | None, forwarded_for: str | None) -> Address | None:
        """Walk back through the proxies that we trust: the first address that is not one of them is the client's."""
        hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
        client = _parse(address)
        while client is not None and hops and any(client in network for network in self._trusted):
            before = _parse(hops.pop())
            if before is None:
                break  # A proxy that passes on rubbish is itself the best that we know.
            client = before
        return client


def _parse(address: str | None) -> Address | None:
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    # A listener of both kinds sees IPv4 peers as ::ffff:192.0.2.1.
    return getattr(parsed, "ipv4_mapped", None) or parsed
