"""The keys and values of store mode: batches of reports, and the control that the controller writes."""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

from breathing_room.core.errors import HostError
from breathing_room.core.wire import encode
from breathing_room.core.write_policies.records import decode_records
from breathing_room.ports import Store

log = logging.getLogger("breathing_room.store_mode")

CONTROL: Final = "control"
REPORTS: Final = "reports/"

EXPIRED_KEY: Final = "lapsed"
"""The name of ``RoomControl.expired`` in stored values: that of the first version, whose values are still
read.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomControl:
    """The control of a room.

    Attributes:
        rates: The current rate, and those that a client may still act on, each with the time until when.
        changed_at_ms: When the rate last changed.
        since_ms: When the controller first recorded this room.
        expired: Leases that expired lately: when, and the ticket times 2^32. It does not identify the
            visitor.
        arrivals_per_ms: Reports stored, on average over ten minutes.
    """

    rates: tuple[tuple[int, float], ...] = ((0, 1.0),)
    changed_at_ms: int
    since_ms: int
    expired: tuple[tuple[int, int], ...] = ()
    arrivals_per_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The state that the controller shares with all writers.

    Attributes:
        as_of_ms: When it was written.
        epoch: The epoch of visits that begin now.
        rooms: By name. A room that is not in it has a rate of 1.
    """

    as_of_ms: int
    epoch: int
    rooms: Mapping[str, RoomControl] = field(default_factory=dict)

    def room(self, name: str) -> RoomControl:
        """Return the control of a room; an unknown room is new."""
        return self.rooms.get(name) or RoomControl(changed_at_ms=self.as_of_ms, since_ms=self.as_of_ms)


def encode_control(control: Control) -> bytes:
    """Encode the control as one value."""
    body = asdict(control)
    for room in body["rooms"].values():
        room[EXPIRED_KEY] = room.pop("expired")
    return encode(body)


def decode_control(value: bytes) -> Control:
    """Decode the control.

    Raises:
        HostError: The value is damaged.
    """
    try:
        body = json.loads(value)
        rooms = {
            str(name): RoomControl(
                rates=tuple((int(until_ms), float(rate)) for until_ms, rate in room["rates"]),
                changed_at_ms=int(room["changed_at_ms"]),
                since_ms=int(room["since_ms"]),
                expired=tuple((int(at_ms), int(drawn)) for at_ms, drawn in room[EXPIRED_KEY]),
                arrivals_per_ms=float(room["arrivals_per_ms"]),
            )
            for name, room in body["rooms"].items()
        }
        if not all(room.rates and 0 < min(rate for _, rate in room.rates) <= 1 for room in rooms.values()):
            raise ValueError  # noqa: TRY301 - one message for every kind of damage, below
        return Control(as_of_ms=int(body["as_of_ms"]), epoch=int(body["epoch"]), rooms=rooms)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise HostError("the control key is damaged") from error


async def read_control(store: Store) -> Control | None:
    """Read the control; None if the controller never ran, or the value cannot be decoded."""
    value = await store.get(CONTROL)
    try:
        return None if value is None else decode_control(value)
    except HostError as error:
        log.error("%s; the next run of `breathing-room reconcile` replaces it", error)
        return None


async def read_values(store: Store, room: str) -> list[bytes]:
    """Read the values of all writers of a room, in the order of their keys; damaged ones are skipped."""
    values = []
    keys = await store.list(f"{REPORTS}{room}/")
    for key, value in zip(keys, await asyncio.gather(*map(store.get, keys)), strict=True):
        if value is None:
            continue  # It expired between the list and the get.
        try:
            decode_records(value)
        except HostError as error:
            log.error("%s: %s", key, error)
        else:
            values.append(value)
    return values
