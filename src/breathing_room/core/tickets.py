"""Tickets: who is asked to report.

Every visitor holds a ticket, a number in [0, 1) that follows from the visitor id, the room and the epoch. Whoever holds one
below the announced rate reports; the others only read. It is drawn once for a whole stay: lowering the rate keeps a
part of those who reported, raising it adds to them, and nobody flips a coin at every beat.

Clients compute their own ticket, so the mixing is made of what every language has: 32-bit multiplications and
shifts. It need not resist anybody. In an unsigned room whoever forges reports chooses the id, and with it the
ticket, whatever the hash; ``docs/topics/forgers.md`` says what that buys and what signed tickets change.

Source: the finaliser is that of MurmurHash3 (Appleby, public domain), whose every output bit depends on every input bit.
"""

from typing import Final

MASK: Final = 0xFFFF_FFFF
TICKETS: Final = 2**32
"""Tickets are multiples of 1 / TICKETS: each is kept as a whole number of them."""


def _mix(value: int) -> int:
    value ^= value >> 16
    value = value * 0x85EB_CA6B & MASK
    value ^= value >> 13
    value = value * 0xC2B2_AE35 & MASK
    return value ^ value >> 16


def ticket(visitor: str, *, room: str, epoch: int) -> float:
    """Compute the ticket of a visitor.

    Args:
        visitor: The id.
        room: The room's name.
        epoch: The epoch in which the stay began.

    Returns:
        A number in [0, 1), a multiple of 2^-32.
    """
    state = 0x9E37_79B9
    for character in f"{room}\0{epoch}\0{visitor}".encode():
        state = _mix(state ^ character)
    return state / TICKETS
