"""Tickets: which visitors are in the sample, and report.

Every visitor holds a ticket, a number in [0, 1) that follows from the visitor id, the room and the epoch.
Visitors with a ticket below the published rate report; the others only read. A ticket is drawn once for a
whole visit: lowering the rate keeps a part of those who reported, raising it adds to them, and no random
number is drawn for a heartbeat.

Clients compute their own ticket, so the mixing is made of what every language has: 32-bit multiplications and
shifts. It need not resist an attacker. In an unsigned room a sender of forged reports chooses the id, and
with it the ticket, under any hash; ``docs/topics/forgers.md`` describes what that allows and what signed
tickets change.

Source: the finalizer is that of MurmurHash3 (Appleby, public domain), whose every output bit depends on every
input bit.
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
        epoch: The epoch in which the visit began.

    Returns:
        A number in [0, 1), a multiple of 2^-32.
    """
    state = 0x9E37_79B9
    for character in f"{room}\0{epoch}\0{visitor}".encode():
        state = _mix(state ^ character)
    return state / TICKETS
