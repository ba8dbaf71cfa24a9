"""Which address a client has, when proxies that we trust stand before us and say so in ``X-Forwarded-For``."""

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(
    address: str | None, forwarded_for: str | None, trusted: Iterable[Network]
) -> Address | None:
    """Walk back through the proxies that we trust: the first address that is not one of them is the client's.

    Args:
        address: The peer of the connection, None if there is none (a Unix socket).
        forwarded_for: The header ``X-Forwarded-For``, if there was one.
        trusted: Networks whose header is believed.

    Returns:
        The address; None for a peer without one that can be read.
    """
    trusted = tuple(trusted)
    hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
    client = _parse(address)
    while client is not None and hops and any(client in network for network in trusted):
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
