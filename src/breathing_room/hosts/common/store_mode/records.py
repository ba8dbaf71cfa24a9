"""What lies in the store, and where: batches of reports, secrets, and the one key that the job writes."""

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

log = logging.getLogger("breathing_room.stateless")

CONTROL: Final = "control"
REPORTS: Final = "reports/"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomControl:
    """What the job says about a room.

    Attributes:
        rates: The current rate, and those that somebody may still act on, each with the time until when.
        changed_at_ms: When the rate last changed.
        since_ms: Since when the job has watched this room.
        expired: Leases that ended in silence lately: when, and the ticket times 2^32. Nobody can tell whose.
        arrivals_per_ms: Reports that were stored, on average over ten minutes.
    """

    rates: tuple[tuple[int, float], ...] = ((0, 1.0),)
    changed_at_ms: int
    since_ms: int
    expired: tuple[tuple[int, int], ...] = ()
    arrivals_per_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What the job says.

    Attributes:
        as_of_ms: When.
        epoch: The epoch in which stays begin.
        rooms: By name. A room that is not in it has a rate of 1.
    """

    as_of_ms: int
    epoch: int
    rooms: Mapping[str, RoomControl] = field(default_factory=dict)

    def room(self, name: str) -> RoomControl:
        """What it says about a room; about one that it does not know: that it is new."""
        return self.rooms.get(name) or RoomControl(changed_at_ms=self.as_of_ms, since_ms=self.as_of_ms)


def encode_control(control: Control) -> bytes:
    """Write it as one value."""
    value = asdict(control)
    for room in value["rooms"].values():
        room["lapsed"] = room.pop("expired")  # What commit fcd8191 wrote, which stores still hold.
    return encode(value)


def decode_control(value: bytes) -> Control:
    """Read it.

    Raises:
        HostError: It is damaged.
    """
    try:
        body = json.loads(value)
        rooms = {
            str(name): RoomControl(
                rates=tuple((int(until_ms), float(rate)) for until_ms, rate in room["rates"]),
                changed_at_ms=int(room["changed_at_ms"]),
                since_ms=int(room["since_ms"]),
                expired=tuple((int(at_ms), int(drawn)) for at_ms, drawn in room["lapsed"]),
                arrivals_per_ms=float(room["arrivals_per_ms"]),
            )
            for name, room in body["rooms"].items()
        }
        if not all(room.rates and 0 < min(rate for _, rate in room.rates) <= 1 for room in rooms.values()):
            raise ValueError  # noqa: TRY301 - said once, below
        return Control(as_of_ms=int(body["as_of_ms"]), epoch=int(body["epoch"]), rooms=rooms)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise HostError("a damaged control key") from error


async def read_control(store: Store) -> Control | None:
    """Read what the job said last; None when it never ran, or said what cannot be read."""
    value = await store.get(CONTROL)
    try:
        return None if value is None else decode_control(value)
    except HostError as error:
        log.error("%s; the next run of the job writes it anew", error)
        return None


async def read_values(store: Store, room: str) -> list[bytes]:
    """Read all that writers put under a room's prefix, in the order of their keys; what is damaged is left out."""
    values = []
    keys = await store.list(f"{REPORTS}{room}/")
    for key, value in zip(keys, await asyncio.gather(*map(store.get, keys)), strict=True):
        if value is None:
            continue  # Its time ended just now.
        try:
            decode_records(value)
        except HostError as error:
            log.error("%s: %s", key, error)
        else:
            values.append(value)
    return values
