"""Which address a client has behind proxies."""

from ipaddress import ip_address, ip_network

import pytest

from breathing_room.hosts.common.access.forwarded import client_address

TRUSTED = (ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize(
    ("address", "forwarded_for", "client"),
    [
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # no proxy of ours
        ("10.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),  # as a listener of both kinds sees the proxy
        ("10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
    ],
)
def test_client_is_the_last_address_that_no_trusted_proxy_has(
    address: str, forwarded_for: str | None, client: str
) -> None:
    """The header is believed from trusted proxies alone, and read from its end."""
    assert client_address(address, forwarded_for, TRUSTED) == ip_address(client)


@pytest.mark.parametrize("address", [None, "", "a-socket-file", "192.0.2"])
def test_peer_without_an_address_has_none(address: str | None) -> None:
    """A peer whose address cannot be parsed is not taken for a proxy, regardless of its header."""
    assert client_address(address, "203.0.113.9", (ip_network("0.0.0.0/0"),)) is None
