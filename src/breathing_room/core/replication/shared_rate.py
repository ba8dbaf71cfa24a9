"""The sampling rate that holds for all replicas of a room, kept beside the log that they share.

The first replica that finds that the rate should change sets it for all. Clients may act on the rate before
for ``rate_propagation_ms``, and for ``suspect_after_ms`` more, until which every replica that is not suspect
has read the new one.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from breathing_room.core.codec import DAMAGE, read_count, read_number
from breathing_room.core.config import RoomConfig
from breathing_room.core.effects import Step
from breathing_room.core.errors import HostError
from breathing_room.core.events import RateSet
from breathing_room.core.rate import Rate
from breathing_room.core.replication.replica import Replica
from breathing_room.core.summary import Summary


def propose(
    rate_set: RateSet, summaries: Iterable[Summary], config: RoomConfig, *, suspect_after_ms: int, now_ms: int
) -> RateSet | None:
    """Return the rate that a whole room should have, None if it should stay.

    Args:
        rate_set: The current one.
        summaries: The sums of every replica.
        config: The settings of the room.
        suspect_after_ms: How long it may take until every replica has read it.
        now_ms: The time by the clock of the rates' times.
    """
    seats = arrivals_per_ms = 0.0
    for summary in summaries:
        seats += summary.panel.seats
        arrivals_per_ms += summary.panel.arrivals_per_ms
    rate = Rate(config.panel_size, config.rate_propagation_ms + suspect_after_ms, now_ms=now_ms)
    rate.resume(rate_set.rates, rate_set.changed_at_ms, now_ms)
    if not rate.adjust(int(seats), config.reports_share(arrivals_per_ms), now_ms):
        return None
    rate.theta(now_ms)  # drops those that no client acts on any more
    return RateSet(rate.rates, rate.changed_at_ms)


def encode_rate(rate_set: RateSet) -> bytes:
    """Encode a rate, as it is kept beside the log."""
    return json.dumps({"rates": rate_set.rates, "changed_at_ms": rate_set.changed_at_ms}).encode()


def decode_rate(value: bytes) -> RateSet:
    """Decode a rate.

    Raises:
        HostError: It is not one.
    """
    try:
        rate_set = json.loads(value)
        rates = tuple(
            (read_count(until_ms), read_number(rate, least=1e-9, most=1))
            for until_ms, rate in rate_set["rates"]
        )
        if not rates:
            raise ValueError
        return RateSet(rates, read_count(rate_set["changed_at_ms"]))
    except DAMAGE as error:
        raise HostError("a damaged sampling rate") from error


ALL_REPORT: Final = ((0, 1.0),)
"""Every visitor is sampled, and no client acts on any other rate."""


class RateChange(NamedTuple):
    """The result of ``SharedRate.sync``.

    Attributes:
        step: The step in which the room took the rate over, None if it had it.
        wanted: The value to be kept beside the log instead, None for no change.
    """

    step: Step | None
    wanted: bytes | None


class SharedRate:
    """The shared rate as one replica applies and proposes it.

    Args:
        replica: The replica.
        suspect_after_ms: How long it may take until every peer that is not suspect has read a new rate.
    """

    def __init__(self, replica: Replica, *, suspect_after_ms: int) -> None:
        self._replica = replica
        self._suspect_after_ms = suspect_after_ms
        self._seen: bytes | None = None

    def sync(self, value: bytes, *, ahead_ms: int, now_ms: int) -> RateChange:
        """Apply the rate that holds for all replicas, and propose another one if it should change.

        Args:
            value: The rate as it is kept beside the log; empty where there is none.
            ahead_ms: How far the clock of the log is ahead of the host's.
            now_ms: The host's time.
        """
        room = self._replica.room
        own = RateSet(_shifted(room.panel.rates, ahead_ms), room.panel.changed_at_ms + ahead_ms)
        step = None
        if not value:
            if room.panel.rate < 1.0:
                return RateChange(None, encode_rate(own))  # The log lost its memory.
            kept = RateSet(ALL_REPORT, 0)
        else:
            try:
                kept = decode_rate(value)
            except HostError:
                return RateChange(None, encode_rate(own))
            if value != self._seen:
                self._seen = value
                here = RateSet(_shifted(kept.rates, -ahead_ms), kept.changed_at_ms - ahead_ms)
                step = self._replica.step(here, now_ms=now_ms)
                if own.rates[0][1] < min(rate for _, rate in kept.rates):
                    # A lower one was published here while this replica was cut off: clients may act on that
                    # for a while.
                    until_ms = now_ms + ahead_ms + room.config.rate_propagation_ms + self._suspect_after_ms
                    lower = (until_ms, own.rates[0][1])
                    return RateChange(step, encode_rate(replace(kept, rates=(*kept.rates, lower))))
        summaries = [room.summary(now_ms), *room.peers.summaries]
        if summaries[0].panel.is_idle and kept.rates == ALL_REPORT and len(summaries) == 1:
            return RateChange(step, None)
        proposed = propose(
            kept, summaries, room.config, suspect_after_ms=self._suspect_after_ms, now_ms=now_ms + ahead_ms
        )
        return RateChange(step, None if proposed is None else encode_rate(proposed))


def _shifted(rates: Iterable[tuple[int, float]], ms: int) -> tuple[tuple[int, float], ...]:
    """Return rates with their times by another clock; the current rate has no time."""
    return tuple((until_ms and max(0, until_ms + ms), rate) for until_ms, rate in rates)
