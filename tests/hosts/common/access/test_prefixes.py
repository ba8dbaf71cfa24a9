"""Whom a limit applies to, without knowing whom."""

from ipaddress import ip_network

import pytest

from breathing_room.hosts.common.access.prefixes import DAY_MS, UNKNOWN, Prefixes
from breathing_room.hosts.common.settings import ServerConfig

PROXY = "127.0.0.1"
TRUSTED = (ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def same(
    prefixes: Prefixes, one: tuple[str | None, str | None], other: tuple[str | None, str | None]
) -> bool:
    """Return whether two peers, each an address and an X-Forwarded-For, have one prefix."""
    return prefixes.hash(*one, wall_ms=0) == prefixes.hash(*other, wall_ms=0)


def test_prefix_is_one_ipv4_address_or_one_ipv6_64() -> None:
    """An IPv4 address is by itself; all addresses of an IPv6 /64 are one, and the next /64 is another."""
    prefixes = Prefixes()
    assert same(prefixes, ("192.0.2.1", None), ("192.0.2.1", None))
    assert not same(prefixes, ("192.0.2.1", None), ("192.0.2.2", None))
    assert same(prefixes, ("2001:db8::1", None), ("2001:db8::ffff:1:2:3", None))
    assert not same(prefixes, ("2001:db8:0:1::1", None), ("2001:db8:0:2::1", None))
    assert same(prefixes, ("::ffff:192.0.2.1", None), ("192.0.2.1", None))


def test_hash_reveals_nothing_without_the_key() -> None:
    """A hash is short, holds nothing of the address, is another in every process and another tomorrow."""
    prefixes = Prefixes()
    today = prefixes.hash("192.0.2.1", None, wall_ms=0)
    assert len(today) == 8
    assert bytes([192, 0, 2]) not in today
    assert today == prefixes.hash("192.0.2.1", None, wall_ms=DAY_MS - 1)
    assert today != prefixes.hash("192.0.2.1", None, wall_ms=DAY_MS)
    assert today != Prefixes().hash("192.0.2.1", None, wall_ms=0)


@pytest.mark.parametrize("address", [None, "", "a-socket-file", "192.0.2"])
def test_unknown_peers_are_one(address: str | None) -> None:
    """Peers without an address that can be read share one limit."""
    assert Prefixes().hash(address, None, wall_ms=0) == UNKNOWN


def test_forwarded_for_of_an_untrusted_peer_is_ignored() -> None:
    """A peer that is no trusted proxy is counted by its own address, regardless of its header."""
    assert same(Prefixes(TRUSTED), ("192.0.2.1", "203.0.113.9"), ("192.0.2.1", None))
    assert same(Prefixes(), (PROXY, "203.0.113.9"), (PROXY, None))


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),  # what the client claims stands first
        ("203.0.113.9,10.1.2.3", "203.0.113.9"),  # through two proxies of ours
        ("10.9.9.9, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        (" 203.0.113.9 ,, 10.1.2.3 ", "203.0.113.9"),
        ("2001:db8::7, fd00::1", "2001:db8::8"),
        ("10.1.2.3", "10.1.2.3"),  # one of our own machines is the client
        ("nonsense", PROXY),
        ("nonsense, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, nonsense", PROXY),
        ("", PROXY),
    ],
)
def test_forwarded_for_is_walked_back(forwarded_for: str, client: str) -> None:
    """Behind trusted proxies the client is the last address in the header that is none of them."""
    prefixes = Prefixes(TRUSTED)
    assert prefixes.hash(PROXY, forwarded_for, wall_ms=0) == Prefixes.hash(prefixes, client, None, wall_ms=0)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "::1", "10.0.0.7", "172.31.0.1", "192.168.1.1", "::ffff:192.168.1.1"),
        *("fd12::7", "fe80::1", None, "a-socket-file"),
    ],
)
def test_a_private_address_is_not_capped(address: str | None) -> None:
    """
    By default no cap holds for loopback and private networks, nor for a peer without an address: it may be a
    proxy that the operator did not declare.
    """
    prefixes = Prefixes(uncapped=ServerConfig().networks_without_cap)
    assert prefixes.hash_if_capped(address, "203.0.113.9", wall_ms=0) is None


def test_a_public_address_is_capped() -> None:
    """
    Public addresses are capped, by the same hash as for any limit: the client behind a trusted proxy, and not
    the proxy.
    """
    prefixes = Prefixes(TRUSTED, ServerConfig().networks_without_cap)
    for address, forwarded_for in (
        ("203.0.113.9", None),
        ("172.32.0.1", None),
        ("2001:db8::7", None),
        (PROXY, "10.9.9.9, 203.0.113.9"),
    ):
        hashed = prefixes.hash_if_capped(address, forwarded_for, wall_ms=0)
        assert hashed is not None
        assert hashed == prefixes.hash(address, forwarded_for, wall_ms=0)
    assert prefixes.hash_if_capped(PROXY, "192.168.1.1", wall_ms=0) is None


def test_the_operator_declares_uncapped_networks() -> None:
    """A school behind one public address is declared, and then private networks are capped like others."""
    school = Prefixes(uncapped=ServerConfig(uncapped_networks=("203.0.113.0/24",)).networks_without_cap)
    assert school.hash_if_capped("203.0.113.9", None, wall_ms=0) is None
    assert school.hash_if_capped("203.0.114.9", None, wall_ms=0) is not None
    assert school.hash_if_capped("10.0.0.7", None, wall_ms=0) is not None


def test_proxy_is_trusted_on_a_dual_stack_listener() -> None:
    """
    A proxy of an IPv4 network is trusted also where the listener is ``::`` and its address reads
    ``::ffff:127.0.0.1``.
    """
    prefixes = Prefixes(TRUSTED)
    assert same(prefixes, ("::ffff:127.0.0.1", "203.0.113.9"), ("203.0.113.9", None))
