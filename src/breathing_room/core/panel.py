"""The panel: visitors without a connection, estimated from a sample of them, who report.

Theory of operation
-------------------
Every visitor holds a ticket (``tickets.py``), the room publishes a rate (``rate.py``), and the visitors whose
tickets are below the rate report: when they come, on a change of mood, when they leave, and otherwise rarely.
A report whose ticket is not below the rate is answered and not kept, so a surge leaves nothing behind. Each
visitor whose reports are kept has a *seat*: a lease. There are about as many as ``panel_size``, however large
the crowd.

Seats below theta are counted; the others wait until every client knows the rate that admitted them. The
estimate of ``estimate/panel.py`` needs the rate at which leases expire; expiries are counted over a window of
a few leases, and the expiry of a visitor who comes back after all is not counted.

A sender of forged reports chooses the ids, and with them the tickets. So one address prefix fills no more
than ``prefix_seats_max`` seats. Seats beyond are *over quota*: they are kept, so that an operator sees what
the count would be with them, but they are not counted, do not move the rate, and leave no ghosts. There are
never more of them than ``panel_size``; further ones are rejected, and a seat that moves to such a prefix is
removed. (Seats do move: they have no prefix after a restart, and another one when the address or the key of
the hashes changes.) When a counted seat of a prefix is removed, one over quota takes its place. Prefixes are
hashes that are valid in this process only, so they are in no snapshot, and neither are the seats over quota.

Work per report is constant. A change of theta visits every seat once; it is rare, and seats are few by
design.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from math import exp, sqrt
from typing import Final

from breathing_room.core.config import RoomConfig
from breathing_room.core.deadlines import NO_DEADLINE, TICK_MS, DeadlineQueue, quantize
from breathing_room.core.estimate import Estimate
from breathing_room.core.estimate.panel import (
    PanelSums,
    crowd_estimate,
    expected_ghosts,
    panel_estimate,
    panel_variance,
)
from breathing_room.core.identity import VisitorKey
from breathing_room.core.leases import RESTORED, SUSPECT, Leases
from breathing_room.core.rate import Rate
from breathing_room.core.snapshot import PanelSnapshot
from breathing_room.core.tickets import TICKETS

# Expiries are counted over this many leases: the more, the better known their rate; the fewer, the sooner it
# follows a change.
WINDOW_LEASES: Final = 4

# Reports that arrive are averaged over this time before they are compared with the budget of a day.
ARRIVALS_MS: Final = 600_000


class Seat:
    """The lease of a visitor who reports.

    Attributes:
        key: The visitor's key.
        ticket: In [0, 1).
        mood: An index into the declared moods; one past the last: unspoken.
        prefix: The seats of the address prefix that it reported from last; None where no quota applies.
        over_quota: Whether it is beyond the quota of its prefix.
        was_over_quota: Whether it ever was. Then it was not counted all the time, so its expiry would stand
            for too many ghosts.
        suspect: Whether its heartbeat is overdue.
        restored: Whether it is left from before a restart; restored seats are suspect.
        expires_at_ms: The end of the lease.
        due_at_ms: The deadline queue's.
    """

    __slots__ = (
        "due_at_ms",
        "expires_at_ms",
        "key",
        "mood",
        "over_quota",
        "prefix",
        "restored",
        "suspect",
        "ticket",
        "was_over_quota",
    )  # fmt: skip

    def __init__(self, key: VisitorKey, ticket: float, mood: int) -> None:
        self.key = key
        self.ticket = ticket
        self.mood = mood
        self.prefix: PrefixSeats | None = None
        self.over_quota = False
        self.was_over_quota = False
        self.suspect = False
        self.restored = False
        self.expires_at_ms = 0
        self.due_at_ms = NO_DEADLINE


@dataclass(slots=True)
class PrefixSeats:
    """The seats of one address prefix.

    Attributes:
        prefix: Its hash.
        counted: The number of seats within the quota.
        over_quota: The seats beyond it, the longest waiting first: the keys of a dict.
    """

    prefix: bytes
    counted: int = 0
    over_quota: dict[Seat, None] = field(default_factory=dict)

    @property
    def seats(self) -> int:
        """All of them."""
        return self.counted + len(self.over_quota)


class Panel:
    """The seats of a room, by mood.

    Args:
        config: How the room works.
        moods_count: Declared moods, and one for the unspoken.
        now_ms: The room's time. Every later time given is at least as late.
        rate_is_shared: Whether the rate is set for several panels together, by ``set_rate``.
    """

    def __init__(
        self, config: RoomConfig, moods_count: int, *, now_ms: int, rate_is_shared: bool = False
    ) -> None:
        self._config = config
        self._rate = Rate(
            config.panel_size, config.rate_propagation_ms, now_ms=now_ms, is_shared=rate_is_shared
        )
        self._theta = self._rate.current
        self._since_ms = now_ms
        self._seats: dict[VisitorKey, Seat] = {}
        self._deadlines: DeadlineQueue[Seat] = DeadlineQueue()
        self._window_ms = WINDOW_LEASES * config.heartbeat_lease_ms
        self._prefixes: dict[bytes, PrefixSeats] = {}
        self._over_quota_count = 0
        self._over_quota_counted = 0
        self.rejected_count = 0
        """Reports that were rejected, in all: their prefix was at its quota, and there were as many seats
        over quota as are kept.
        """
        empty = (0,) * moods_count
        self._empty = PanelSums(tally=empty, restored_tally=empty)
        self._tally = [0] * moods_count
        self._counted = 0
        self._suspect_count = 0
        self._restored_count = 0
        self._restored_tally = [0] * moods_count
        self._restored_counted = 0
        # Leases that expired within the window, the oldest first: when, and with which ticket.
        self._expired: dict[VisitorKey, tuple[int, float]] = {}
        self._expired_counted = 0
        self._arrivals_per_ms = 0.0
        self._arrived_at_ms = now_ms

    # --- Queries -------------------------------------------------------------------------------------------

    @property
    def rate(self) -> float:
        """The sampling rate: the share of visitors without a connection who are sampled, and report."""
        return self._rate.current

    @property
    def rates(self) -> tuple[tuple[int, float], ...]:
        """The rate in force, and those that a client may still act on, each with the time until then."""
        return self._rate.rates

    @property
    def changed_at_ms(self) -> int:
        """When the rate last changed."""
        return self._rate.changed_at_ms

    @property
    def theta(self) -> float:
        """The lowest rate that a client may still act on: seats below it are counted."""
        return self._theta

    @property
    def seat_count(self) -> int:
        """Seats that are counted, or will be when theta has risen."""
        return len(self._seats) - self._over_quota_count

    @property
    def over_quota_count(self) -> int:
        """Seats over quota."""
        return self._over_quota_count

    @property
    def largest_prefix_seats(self) -> int:
        """Seats of the address prefix that has most of them, those over quota included."""
        return max((prefix.seats for prefix in self._prefixes.values()), default=0)

    def largest_prefixes(self, most: int) -> list[tuple[bytes, int]]:
        """Return the address prefixes with most seats, those over quota included: hashes, and how many each
        has.
        """
        by_seats = sorted(self._prefixes.values(), key=lambda prefix: prefix.seats, reverse=True)
        return [(prefix.prefix, prefix.seats) for prefix in by_seats[:most]]

    @property
    def prefix_seats_max(self) -> int:
        """The quota of one prefix."""
        return self._config.prefix_seats_max or max(64, self._config.panel_size // 10)

    @property
    def is_idle(self) -> bool:
        """Whether there is no seat while every visitor is sampled: then the estimate is exactly 0."""
        return not self._seats and self._theta == 1.0

    @property
    def next_at_ms(self) -> int | None:
        """When to call ``expire``, None for never."""
        expiry_cleared_at_ms = (
            next(iter(self._expired.values()))[0] + self._window_ms if self._expired else None
        )
        times = (self._deadlines.next_at_ms, self._rate.next_at_ms, expiry_cleared_at_ms)
        return min((time for time in times if time is not None), default=None)

    def holds(self, visitor: VisitorKey) -> bool:
        """Return whether a visitor has a seat."""
        return visitor in self._seats

    @property
    def tally(self) -> Sequence[int]:
        """Seats that are counted, by mood."""
        return self._tally

    def sums(self, now_ms: int) -> PanelSums:
        """Return the sums from which an estimate follows."""
        if not (self._seats or self._expired) and self._theta == self._rate.current == 1.0:
            return self._empty  # A join over a connection pays for no new object.
        return PanelSums(
            tally=tuple(self._tally),
            restored_tally=tuple(self._restored_tally),
            seats=self.seat_count,
            restored=self._restored_count,
            fresh=self._suspect_count < len(self._seats),
            expired=self._expired_counted,
            window_ms=self._observed_ms(now_ms),
            theta=self._theta,
            rate=self._rate.current,
            arrivals_per_ms=self._arrivals_at(now_ms),
        )

    def estimate(self, now_ms: int) -> tuple[Estimate, list[Estimate]]:
        """Estimate the crowd behind the seats, and that of each mood."""
        return crowd_estimate(self.sums(now_ms), ghost_ms=self._config.ghost_ms)

    def raw_estimate(self, now_ms: int) -> Estimate:
        """Estimate the crowd without quotas, for the operator."""
        ghosts, ghost_ms, window_ms = self._ghosts(now_ms)
        seats = self._counted + self._over_quota_counted
        if self._counted:
            ghosts *= seats / self._counted
        return panel_estimate(seats, min(ghosts, seats), self._theta, ghost_ms=ghost_ms, window_ms=window_ms)

    def standard_error(self, people: float, now_ms: int) -> float:
        """Return the standard error of a crowd of so many people now, in people."""
        ghosts, ghost_ms, window_ms = self._ghosts(now_ms)
        variance = panel_variance(
            people * self._theta, ghosts, self._theta, ghost_ms=ghost_ms, window_ms=window_ms
        )
        return sqrt(variance) / self._theta

    def _ghosts(self, now_ms: int) -> tuple[float, float, float]:
        """Return the expected ghosts, for how long each is one, and the window of expiries."""
        ghost_ms, window_ms = self._config.ghost_ms, self._observed_ms(now_ms)
        ghosts = expected_ghosts(self._expired_counted, ghost_ms=ghost_ms, window_ms=window_ms)
        return ghosts, ghost_ms, window_ms

    def _observed_ms(self, now_ms: int) -> int:
        """Return for how long expiries were counted; before a whole lease is over there can be none."""
        lease_ms = self._config.heartbeat_lease_ms
        return max(lease_ms, min(self._window_ms, now_ms - self._since_ms - lease_ms))

    # --- Changes -------------------------------------------------------------------------------------------

    def report(
        self, visitor: VisitorKey, ticket: float, mood: int | None, now_ms: int, prefix: bytes | None = None
    ) -> bool:
        """Apply a report: renew the lease of a seat, or give the visitor one.

        Args:
            visitor: Whose.
            ticket: In [0, 1).
            mood: None leaves it as it is.
            now_ms: The room's time.
            prefix: Which address prefix it came from; None where no quota applies.

        Returns:
            Whether the panel changed. If not, the visitor is not in the sample, or is new and its prefix is
            at its quota.
        """
        if ticket >= self._rate.current:
            return False
        seat = self._seats.get(visitor)
        if seat is None:
            if not self._has_place(prefix):
                self.rejected_count += 1
                return False
            seat = self._add(visitor, ticket, prefix)
        elif prefix != (seat.prefix and seat.prefix.prefix):
            self._detach(seat)
            if not self._has_place(prefix):  # As for a new seat, or moves would get around the quota.
                self.rejected_count += 1
                self._remove_seat(seat)
                return True
            self._attach(seat, prefix)
        if mood is not None and mood != seat.mood:
            self._weigh(seat, -1)
            seat.mood = mood
            self._weigh(seat, +1)
        self._confirm(seat)
        seat.expires_at_ms = quantize(now_ms + self._config.heartbeat_lease_ms)
        self._deadlines.schedule_by(seat, self._overdue_at_ms(seat))
        if not seat.over_quota:  # One prefix must not spend the budget of all.
            self._arrivals_per_ms = self._arrivals_at(now_ms) + 1 / ARRIVALS_MS
            self._arrived_at_ms = now_ms
        self._adjust_rate(now_ms)
        return True

    def set_rate(self, rates: tuple[tuple[int, float], ...], changed_at_ms: int, now_ms: int) -> None:
        """Act on a rate that was set for several panels of one room together.

        Args:
            rates: The rate in force, and those that a client may still act on, each with the time until which
                it may.
            changed_at_ms: When it last changed.
            now_ms: The room's time.
        """
        before = self._rate.current
        self._rate.resume(rates, changed_at_ms, now_ms)
        self._arrivals_per_ms *= self._rate.current / before
        self._remove_unsampled(now_ms)

    def remove(self, visitor: VisitorKey) -> bool:
        """Remove the seat of a visitor who left or joined over a connection; return whether there was one."""
        seat = self._seats.get(visitor)
        if seat is not None:
            self._remove_seat(seat)
        return seat is not None

    def expire(self, now_ms: int) -> bool:
        """Check every lease, rate and expiry that is due; return whether anything changed."""
        changed = False
        check_at_ms = self._rate.next_at_ms
        for seat, at_ms in self._deadlines.pop_due(now_ms):
            if not seat.suspect:
                overdue_at_ms = self._overdue_at_ms(seat)
                if overdue_at_ms > at_ms:
                    self._deadlines.put(seat, overdue_at_ms)
                    continue
                seat.suspect = True
                self._suspect_count += 1
                changed = True
            if seat.expires_at_ms > at_ms:
                self._deadlines.put(seat, seat.expires_at_ms)
                continue
            self._remove_seat(seat)
            changed = True
            if not (seat.restored or seat.was_over_quota):
                self._expired[seat.key] = (at_ms, seat.ticket)
                self._expired_counted += seat.ticket < self._theta
        while self._expired:
            visitor, (at_ms, _) = next(iter(self._expired.items()))
            if at_ms > now_ms - self._window_ms:
                break
            self._clear_expiry(visitor)
            changed = True
        if self._rate.theta(now_ms) != self._theta:
            self._recount(now_ms)
            changed = True
        # An entry of the queue without a due item is no reason to check the rate: a resumed panel has no such
        # entries.
        if changed or (check_at_ms is not None and check_at_ms <= now_ms):
            changed |= self._adjust_rate(now_ms)
        return changed

    # --- Snapshots -----------------------------------------------------------------------------------------

    def snapshot(self, now_ms: int) -> PanelSnapshot:
        """Return the state to resume or restore from."""
        seats = [seat for seat in self._seats.values() if not seat.over_quota]
        expired = self._expired.values()
        return PanelSnapshot(
            seats=Leases(
                keys=b"".join(seat.key for seat in seats),
                mood_of=bytes(seat.mood for seat in seats),
                flags=bytes(SUSPECT * seat.suspect | RESTORED * seat.restored for seat in seats),
                left_ms=tuple(max(0, seat.expires_at_ms - now_ms) for seat in seats),
                tickets=tuple(round(seat.ticket * TICKETS) for seat in seats),
            ),
            expired=Leases(
                keys=b"".join(self._expired),
                mood_of=bytes(len(expired)),
                flags=bytes(len(expired)),
                left_ms=tuple(now_ms - at_ms for at_ms, _ in expired),
                tickets=tuple(round(ticket * TICKETS) for _, ticket in expired),
            ),
            since_ms=self._since_ms,
            rates=self._rate.rates,
            changed_at_ms=self._rate.changed_at_ms,
            arrivals_per_ms=self._arrivals_per_ms,
            arrived_at_ms=self._arrived_at_ms,
        )

    def resume(self, snapshot: PanelSnapshot, *, now_ms: int) -> None:
        """Resume after hibernation; the panel is new."""
        self._since_ms = snapshot.since_ms
        self._arrivals_per_ms = snapshot.arrivals_per_ms
        self._arrived_at_ms = snapshot.arrived_at_ms
        self._rate.resume(snapshot.rates, snapshot.changed_at_ms, now_ms)
        for (key, _, _, ago_ms), ticket in zip(snapshot.expired, snapshot.expired.tickets, strict=True):
            self._expired[key] = (now_ms - ago_ms, ticket / TICKETS)
        for (key, mood, flags, left_ms), ticket in zip(snapshot.seats, snapshot.seats.tickets, strict=True):
            self._admit(key, ticket / TICKETS, mood, flags, now_ms + left_ms)
        self._recount(now_ms)

    def restore(
        self, snapshot: PanelSnapshot, mood_here: Sequence[int], *, elapsed_ms: int, now_ms: int
    ) -> None:
        """Restore after a restart: seats keep what is left of their leases, and are suspect until a report.

        Clients go on acting on the rate that they know, so that is kept too. The rate of expiries is
        learned again, since most restored leases expire for another reason.
        """
        self._rate.resume(snapshot.rates, snapshot.changed_at_ms, now_ms)
        for (key, mood, _, left_ms), ticket in zip(snapshot.seats, snapshot.seats.tickets, strict=True):
            if left_ms > elapsed_ms:
                expires_at_ms = now_ms + min(left_ms - elapsed_ms, self._config.heartbeat_lease_ms + TICK_MS)
                self._admit(key, ticket / TICKETS, mood_here[mood], SUSPECT | RESTORED, expires_at_ms)
        self._recount(now_ms)

    def add_seats(self, seats: Leases, counted: Container[VisitorKey], now_ms: int) -> None:
        """Add the seats of another panel under the same rate, with what is left of their leases.

        Args:
            seats: Those seats.
            counted: Visitors who are counted otherwise.
            now_ms: The room's time.
        """
        for (key, mood, flags, left_ms), ticket in zip(seats, seats.tickets, strict=True):
            if key not in self._seats and key not in counted and ticket / TICKETS < self._rate.current:
                self._admit(key, ticket / TICKETS, mood, flags, now_ms + left_ms)
        self._recount(now_ms)

    def _admit(self, key: VisitorKey, ticket: float, mood: int, flags: int, expires_at_ms: int) -> None:
        """Add a seat of a snapshot."""
        seat = self._seats[key] = Seat(key, ticket, mood)
        seat.suspect = bool(flags & SUSPECT)
        seat.restored = bool(flags & RESTORED)
        seat.expires_at_ms = quantize(expires_at_ms)
        self._suspect_count += seat.suspect
        self._restored_count += seat.restored
        self._deadlines.put(seat, seat.expires_at_ms if seat.suspect else self._overdue_at_ms(seat))

    # --- Inside --------------------------------------------------------------------------------------------

    def _overdue_at_ms(self, seat: Seat) -> int:
        """Return when the next heartbeat of a seat is overdue."""
        return quantize(seat.expires_at_ms - self._config.heartbeat_lease_ms + self._config.fresh_ms)

    def _add(self, visitor: VisitorKey, ticket: float, prefix: bytes | None) -> Seat:
        seat = self._seats[visitor] = Seat(visitor, ticket, len(self._tally) - 1)
        self._weigh(seat, +1)
        self._attach(seat, prefix)
        self._clear_expiry(visitor)
        return seat

    def _remove_seat(self, seat: Seat) -> None:
        del self._seats[seat.key]
        self._detach(seat)
        self._weigh(seat, -1)
        self._suspect_count -= seat.suspect
        self._restored_count -= seat.restored
        seat.due_at_ms = NO_DEADLINE

    def _weigh(self, seat: Seat, weight: int) -> None:
        """Add a seat to the tallies, or subtract it."""
        if seat.ticket >= self._theta:
            return
        if seat.over_quota:
            self._over_quota_counted += weight
            return
        self._tally[seat.mood] += weight
        self._counted += weight
        if seat.restored:
            self._restored_tally[seat.mood] += weight
            self._restored_counted += weight

    def _confirm(self, seat: Seat) -> None:
        """Clear the suspect and restored flags of a seat, as `Members` does for a lease."""
        self._suspect_count -= seat.suspect
        if seat.restored:
            self._weigh(seat, -1)
            self._restored_count -= 1
            seat.restored = False
            self._weigh(seat, +1)
        seat.suspect = False

    # --- Prefixes ------------------------------------------------------------------------------------------

    def _has_place(self, prefix: bytes | None) -> bool:
        """Return whether a new seat of a prefix would be kept."""
        if prefix is None or self._over_quota_count < self._config.panel_size:
            return True
        seats = self._prefixes.get(prefix)
        return seats is None or seats.counted < self.prefix_seats_max

    def _attach(self, seat: Seat, prefix: bytes | None) -> None:
        """Count a seat against the prefix that it reported from."""
        if prefix is None:
            return
        seat.prefix = self._prefixes.get(prefix) or self._prefixes.setdefault(prefix, PrefixSeats(prefix))
        if seat.prefix.counted < self.prefix_seats_max:
            seat.prefix.counted += 1
        else:
            seat.prefix.over_quota[seat] = None
            self._set_over_quota(seat, over_quota=True)

    def _detach(self, seat: Seat) -> None:
        """Remove a seat from its prefix; the longest waiting seat over quota takes its place."""
        prefix, seat.prefix = seat.prefix, None
        if prefix is None:
            return
        if seat.over_quota:
            del prefix.over_quota[seat]
            self._set_over_quota(seat, over_quota=False)
        elif prefix.over_quota:
            successor = next(iter(prefix.over_quota))
            del prefix.over_quota[successor]
            self._set_over_quota(successor, over_quota=False)
        else:
            prefix.counted -= 1
        if not prefix.seats:
            del self._prefixes[prefix.prefix]

    def _set_over_quota(self, seat: Seat, *, over_quota: bool) -> None:
        self._weigh(seat, -1)
        seat.over_quota = over_quota
        seat.was_over_quota = True
        self._weigh(seat, +1)
        self._over_quota_count += 1 if over_quota else -1

    def _clear_expiry(self, visitor: VisitorKey) -> None:
        """Remove a visitor from the expired leases."""
        _, ticket = self._expired.pop(visitor, (0, 1.0))
        self._expired_counted -= ticket < self._theta

    def _arrivals_at(self, now_ms: int) -> float:
        return self._arrivals_per_ms * exp((self._arrived_at_ms - now_ms) / ARRIVALS_MS)

    def _adjust_rate(self, now_ms: int) -> bool:
        """Adjust the rate to the seats and the reports; seats that are not below it any more are removed.

        Returns:
            Whether the rate changed.
        """
        share = self._config.reports_share(self._arrivals_at(now_ms))
        before = self._rate.current
        changed = self._rate.adjust(self.seat_count, share, now_ms)
        if changed:
            # Arrivals are proportional to the rate. An average that adapted by itself would charge the
            # reports of a surge to the few visitors who are asked after it.
            self._arrivals_per_ms *= self._rate.current / before
            self._remove_unsampled(now_ms)
        return changed

    def _remove_unsampled(self, now_ms: int) -> None:
        """Remove the seats that are not below the rate."""
        for seat in [seat for seat in self._seats.values() if seat.ticket >= self._rate.current]:
            self._remove_seat(seat)
        self._recount(now_ms)

    def _recount(self, now_ms: int) -> None:
        """Compute the tallies of seats and expiries below a new theta."""
        self._theta = self._rate.theta(now_ms)
        self._tally = [0] * len(self._tally)
        self._restored_tally = [0] * len(self._tally)
        self._counted = self._restored_counted = self._over_quota_counted = 0
        for seat in self._seats.values():
            self._weigh(seat, +1)
        self._expired_counted = sum(ticket < self._theta for _, ticket in self._expired.values())
