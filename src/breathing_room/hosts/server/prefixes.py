"""Whom a limit applies to, without knowing whom: keyed hashes of address prefixes.

A prefix is one IPv4 address or one IPv6 /64, the least that one subscriber gets. The key lives in memory only and is
drawn anew every day, so a hash means nothing tomorrow or to anybody else.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Iterable
from typing import Final

from breathing_room.hosts.server.config import Network

DAY_MS: Final = 86_400_000
UNKNOWN: Final = b"unknown"


class Prefixes:
    """Hashes addresses.

    Args:
        trusted_proxies: Networks whose ``X-Forwarded-For`` is believed.
    """

    def __init__(self, trusted_proxies: Iterable[Network] = ()) -> None:
        self._trusted = tuple(trusted_proxies)
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
        if wall_ms // DAY_MS != self._day:
            self._day = wall_ms // DAY_MS
            self._key = secrets.token_bytes(32)
        client = self._client(address, forwarded_for)
        if client is None:
            return UNKNOWN
        prefix = client.packed if client.version == 4 else client.packed[:8]
        return hashlib.blake2b(prefix, digest_size=8, key=self._key).digest()

    def _client(
        self, address: str | None, forwarded_for: str | None
    ) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """Walk back through the proxies that we trust: the first address that is not one of them is the client's."""
        hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
        client = _parse(address)
        while client is not None and hops and any(client in network for network in self._trusted):
            before = _parse(hops.pop())
            if before is None:
                break  # A proxy that passes on rubbish is itself the best that we know.
            client = before
        return client


def _parse(address: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    # A listener of both kinds sees IPv4 peers as ::ffff:192.0.2.1.
    return getattr(parsed, "ipv4_mapped", None) or parsed
