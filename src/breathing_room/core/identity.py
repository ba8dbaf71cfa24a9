"""Identity of visitors and connections: a visitor is a keyed hash of its id, a connection an object of the
host.

A visitor id is a random value that the client made. It is never stored: a room holds only a keyed hash, under
a secret that is drawn again every epoch. Once a secret is deleted, no stored key can be tied to a visitor.
"""

import hashlib
from collections.abc import Hashable
from typing import NewType, TypeAlias

VisitorKey = NewType("VisitorKey", bytes)
"""A visitor in one room during one epoch: the result of ``visitor_key``.

A visitor may have several connections.
"""

Connection: TypeAlias = Hashable
"""A live socket, named by an object of the host's choice."""

KEY_BYTES = 16
"""128 bits: in a room of 10 million two visitors have one key with a probability of 1 in 10^25."""

SECRET_BYTES = 32


def visitor_key(visitor: str, *, room: str, secret: bytes) -> VisitorKey:
    """Hash a visitor id.

    Args:
        visitor: The id as the client sent it.
        room: The room's name, so that one visitor has unrelated keys in two rooms.
        secret: The epoch's secret, ``SECRET_BYTES`` long.

    Returns:
        ``KEY_BYTES`` bytes.

    Source: BLAKE2 in keyed mode is a MAC (RFC 7693, section 1), with no need of the two passes of HMAC.
    """
    message = f"{room}\0{visitor}".encode()
    return VisitorKey(hashlib.blake2b(message, digest_size=KEY_BYTES, key=secret).digest())
