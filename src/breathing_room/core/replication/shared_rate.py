"""The sampling rate that holds for all replicas of a room, kept beside the log that they share.

The first replica to see that the rate should change sets it for all. What was announced before goes on being
acted on for ``spread_ms``, and for ``late_ms`` more, until which every replica that is not suspect has read
the new one.
"""

import json
from collections.abc import Iterable

from breathing_room.core.codec import DAMAGE, read_count, read_number
from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import HostError
from breathing_room.core.events import Paced
from breathing_room.core.rate import Rate
from breathing_room.core.summary import Summary


def propose(
    pace: Paced, summaries: Iterable[Summary], config: RoomConfig, *, late_ms: int, now_ms: int
) -> Paced | None:
    """Return what the rate of a whole room should become, None if it should stay.

    Args:
        pace: What it is.
        summaries: The sums of every replica.
        config: The settings of the room.
        late_ms: How long it may take until every replica has read it.
        now_ms: The time by the clock that the rates' times are of.
    """
    seats = arrivals_per_ms = 0.0
    for summary in summaries:
        seats += summary.panel.seats
        arrivals_per_ms += summary.panel.arrivals_per_ms
    rate = Rate(config.panel_size, config.spread_ms + late_ms, now_ms=now_ms)
    rate.wake(pace.rates, pace.changed_at_ms, now_ms)
    if not rate.follow(int(seats), config.reports_share(arrivals_per_ms), now_ms):
        return None
    rate.theta(now_ms)  # drops those that no client acts on any more
    return Paced(rate.rates, rate.changed_at_ms)


def encode_rate(pace: Paced) -> bytes:
    """Encode a rate for the place from which all replicas read it."""
    return json.dumps({"rates": pace.rates, "changed_at_ms": pace.changed_at_ms}).encode()


def decode_rate(value: bytes) -> Paced:
    """Decode a rate.

    Raises:
        HostError: It is not one.
    """
    try:
        pace = json.loads(value)
        rates = tuple(
            (read_count(until_ms), read_number(rate, least=1e-9, most=1)) for until_ms, rate in pace["rates"]
        )
        if not rates:
            raise ValueError
        return Paced(rates, read_count(pace["changed_at_ms"]))
    except DAMAGE as error:
        raise HostError("a damaged sampling rate") from error
