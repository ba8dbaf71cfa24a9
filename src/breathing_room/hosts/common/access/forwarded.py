"""The address of a client behind trusted proxies, read from ``X-Forwarded-For``."""

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(
    address: str | None, forwarded_for: str | None, trusted: Iterable[Network]
) -> Address | None:
    """Return the address of a client: the last one of the chain that is not a trusted proxy.

    Args:
        address: The peer of the connection, None if there is none (a Unix socket).
        forwarded_for: The header ``X-Forwarded-For``, if there was one.
        trusted: Networks whose header is trusted.

    Returns:
        The address; None for a peer whose address is missing or cannot be parsed.
    """
    trusted = tuple(trusted)
    hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
    client = _parse(address)
    while client is not None and hops and any(client in network for network in trusted):
        before = _parse(hops.pop())
        if before is None:
            # The header is malformed here: the proxy that sent it is the last address known to be true.
            break
        client = before
    return client


def _parse(address: str | None) -> Address | None:
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    # A dual-stack listener sees IPv4 peers as ::ffff:192.0.2.1.
    return getattr(parsed, "ipv4_mapped", None) or parsed
