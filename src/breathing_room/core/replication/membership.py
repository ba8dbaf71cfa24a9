"""Membership: the peers that hold parts of a room, what each sent last, and what follows from all of it.

Theory of operation
-------------------
A replica holds its own visitors, and knows the sums that every peer sent last. To describe a room it adds
those to its own. So the work of a tick grows with rooms × peers, and never with visitors; no replica sends
requests to another one.

Two topologies share this. Servers read each other's deltas from a log, each with a membership of its own. The
objects of one room have one between them, that of their coordinator (``coordinator.py``).

*Leases of peers.* A peer that sends nothing for longer than ``suspect_after_ms`` is suspect, with all its
visitors (``as_suspect``). After its lease it is gone, and its visitors with it: by then they came back
elsewhere, or never will. Its seats of the panel stay suspect for as long as a seat has a lease, since their
visitors go on reporting, to another replica. When the suspicion begins depends on the topology. Servers send
at every tick, so it begins with a server's last delta. Objects hibernate while nothing happens, so it begins
when a call to an object fails, and not at all while calls succeed. Membership is handed that instant, and
needs to know nothing else of it.

*Every visitor is counted once.* A delta names, by their keys, the visitors who came since the last one: its
sender claims them. A replica that holds a claimed visitor releases it; so the last one to claim a visitor
counts it, and as the log has one order, all agree which that is. Until the release is known, the visitor is
in the sums of two. Those are few, and bounded: a delta holds the position up to which its sender had read the
log, so they are the claims after the least of those positions, and our own that are not in the log yet. The
interval covers both cases: ``low`` is less by so many. Most of them are visitors who return: while a server
is drained, or has died, its visitors are suspect there, and join elsewhere. So the count takes joins for
suspects of peers, as long as there are any.

*Cut off.* A server that does not read its own deltas reads none. It goes on with the last sums that it knows:
``low`` is its own visitors, ``high`` is all of them, and as many joins as there were before in such a time.
Leases of peers do not end meanwhile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, inf, sqrt
from typing import Final

from breathing_room.core.estimate import Z
from breathing_room.core.replication.delta import BEGINNING, Delta, EntryId, PeerId
from breathing_room.core.summary import PeerState, Summary, add_up, as_suspect, without_members

SUSPECT_TICKS: Final = 6
"""A peer that missed so many ticks is suspect. A busy machine may miss a few."""

UNKNOWN: Final = 2**53
"""An upper bound of claims that cannot be counted any more."""


@dataclass(slots=True)
class Peer:
    """The last known state of a peer.

    Attributes:
        id: Its name and epoch.
        lease_ms: How long it may send nothing before it is gone.
        read: The last entry of the log that its sums reflect.
        sums: Its rooms.
        suspect_since_ms: Since when nothing was received from it; ``inf`` while calls to it succeed.
        is_gone: Whether its lease has ended, so that only seats are left of it.
    """

    id: PeerId
    lease_ms: int
    read: EntryId
    sums: dict[str, Summary]
    suspect_since_ms: float
    is_gone: bool = False


class Claims:
    """The claims of a room that a peer may not have read, in the order of the log."""

    def __init__(self) -> None:
        self._entries: list[tuple[EntryId, int]] = []

    def add(self, entry: EntryId, count: int) -> None:
        """Add the claims of an entry."""
        self._entries.append((entry, count))

    def since(self, read: EntryId) -> int:
        """Return how many come after an entry."""
        return sum(count for entry, count in self._entries if entry > read)

    def trim(self, read: EntryId) -> bool:
        """Drop those up to an entry; return whether any are left."""
        self._entries = [(entry, count) for entry, count in self._entries if entry > read]
        return bool(self._entries)


class Membership:
    """The peers of a replica.

    Args:
        own: The replica itself.
        suspect_after_ms: How long a peer may send nothing before it is suspect.
        seat_lease_ms: How long a seat of the panel has a lease after a report, in any room.
        now_ms: The time; ``inf`` for a replica that cannot be cut off, as it keeps the log itself.
        end: The last entry of the log so far.

    Attributes:
        end: The last entry of the log.
    """

    def __init__(
        self,
        own: PeerId,
        *,
        suspect_after_ms: int,
        seat_lease_ms: int,
        now_ms: float,
        end: EntryId = BEGINNING,
    ) -> None:
        self.own = own
        self.suspect_after_ms = suspect_after_ms
        self.end = end
        self._seat_lease_ms = seat_lease_ms
        self._peers: dict[PeerId, Peer] = {}
        self._claims: dict[str, Claims] = {}
        self._trimmed_to = end
        self._own_received_at_ms = now_ms

    def __iter__(self) -> Iterator[Peer]:
        """Yield the peers, those of which only seats are left included."""
        return iter(self._peers.values())

    def is_cut_off(self, now_ms: int) -> bool:
        """Return whether our own deltas have been missing for too long: those of peers would be, too."""
        return now_ms - self._own_received_at_ms > self.suspect_after_ms

    def is_suspect(self, peer: Peer, now_ms: int) -> bool:
        """Return whether nothing was received from a peer for too long."""
        return peer.is_gone or now_ms - peer.suspect_since_ms > self.suspect_after_ms

    def suspects(self, now_ms: int) -> list[PeerId]:
        """Return the peers that are suspect."""
        return [name for name, peer in self._peers.items() if self.is_suspect(peer, now_ms)]

    def successor(self, now_ms: int) -> PeerId | None:
        """Return the peer that takes over our seats: one on which all agree, None if there is no peer."""
        return min((peer.id for peer in self if not self.is_suspect(peer, now_ms)), default=None)

    # --- Deltas --------------------------------------------------------------------------------------------

    def receive(self, delta: Delta, entry: EntryId, *, received_at_ms: int, now_ms: int) -> None:
        """Apply a delta of the log, our own included.

        Args:
            delta: The delta.
            entry: Where it is in the log.
            received_at_ms: When the log took it, by our clock.
            now_ms: The time.
        """
        received_at_ms = min(received_at_ms, now_ms)
        self.claim(delta, entry)
        if delta.sender == self.own:
            if self.is_cut_off(now_ms):
                # The peers may be alive: each has the rest of its lease to send a delta.
                for peer in self:
                    peer.suspect_since_ms = max(peer.suspect_since_ms, now_ms - self.suspect_after_ms - 1)
            self._own_received_at_ms = max(self._own_received_at_ms, received_at_ms)
        elif delta.leaving:
            self.drop(delta.sender)
        else:
            # No peer has read what comes after its own delta: that position is of a log that is lost.
            read = delta.read if delta.read < entry else BEGINNING
            sums = {room: part.summary for room, part in delta.rooms.items()}
            self.put(Peer(delta.sender, delta.lease_ms, read, sums, received_at_ms))

    def claim(self, delta: Delta, entry: EntryId) -> None:
        """Apply the claims of an entry of the log, and nothing else of it."""
        if entry <= self.end:  # Another log, whose clock is behind.
            self._claims.clear()
            self._trimmed_to = BEGINNING
        self.end = entry
        for room, part in delta.rooms.items():
            if claims := len(part.connected) + len(part.reported):
                self._claims.setdefault(room, Claims()).add(entry, claims)

    def put(self, peer: Peer) -> None:
        """Put a peer in the place of its last known state."""
        self._peers[peer.id] = peer

    def drop(self, name: PeerId) -> None:
        """Remove a peer, if it is there."""
        self._peers.pop(name, None)

    def remove(self, name: str) -> list[PeerId]:
        """Remove every peer of a name, at an operator's command; return them."""
        removed = [peer for peer in self._peers if peer[0] == name]
        for peer in removed:
            self.drop(peer)
        return removed

    # --- Expiry --------------------------------------------------------------------------------------------

    def expire(self, now_ms: int) -> list[PeerId]:
        """Remove the peers whose leases have ended; return those whose lease ended now.

        While this replica is cut off no lease ends.
        """
        expired: list[PeerId] = []
        if self.is_cut_off(now_ms):
            return expired
        for name, peer in list(self._peers.items()):
            elapsed_ms = now_ms - peer.suspect_since_ms
            if not peer.is_gone and elapsed_ms > peer.lease_ms:
                expired.append(name)
                peer.is_gone = True
                peer.sums = {
                    room: without_members(summary)
                    for room, summary in peer.sums.items()
                    if summary.panel.seats
                }
            if peer.is_gone and not (peer.sums and elapsed_ms <= self._seat_lease_ms):
                self.drop(name)
        return expired

    def trim(self, now_ms: int) -> EntryId:
        """Drop the claims that all peers have read; return the last entry that all have read.

        While this replica is cut off none is dropped: a peer of which it knows nothing may have read less.
        """
        read = min((peer.read for peer in self if not peer.is_gone), default=self.end)
        if read > self._trimmed_to and not self.is_cut_off(now_ms):
            self._trimmed_to = read
            self._claims = {room: claims for room, claims in self._claims.items() if claims.trim(read)}
        return read

    # --- Queries -------------------------------------------------------------------------------------------

    def peer_state(self, room: str, now_ms: int, *, without: PeerId | None = None) -> PeerState:
        """Return what is known of the parts of a room that peers hold.

        Args:
            room: The room's name.
            now_ms: The time.
            without: A peer that is left out, because it is the one to be informed.
        """
        summaries: list[Summary] = []
        read: list[EntryId] = []
        suspect_read: list[EntryId] = []
        until_ms = self._own_received_at_ms + self.suspect_after_ms
        expected = 0.0
        for peer in self:
            summary = peer.sums.get(room)
            if summary is None or peer.id == without:
                continue
            if self.is_suspect(peer, now_ms):
                expected += summary.arrivals_per_s * (now_ms - peer.suspect_since_ms) / 1_000
                summary = as_suspect(summary)
            else:
                until_ms = min(until_ms, peer.suspect_since_ms + self.suspect_after_ms)
                if summary.leases:  # A peer without visitors has none to release.
                    read.append(peer.read)
            if any(summary.suspect):
                suspect_read.append(peer.read)
            summaries.append(summary)
        stale = self.is_cut_off(now_ms)
        return PeerState(
            add_up(summaries),
            unread=self._unread(room, min(read)) if read else None,
            suspect=tuple(map(sum, zip(*(summary.suspect for summary in summaries), strict=True))),
            suspect_unread=self._unread(room, min(suspect_read)) if suspect_read else 0,
            unseen_joins=poisson_upper_bound(expected),
            stale=stale,
            until_ms=inf if stale else until_ms,
        )

    def _unread(self, room: str, read: EntryId) -> int:
        """Return how many claims come after an entry."""
        if read < self._trimmed_to:
            return UNKNOWN
        claims = self._claims.get(room)
        return 0 if claims is None else claims.since(read)


def poisson_upper_bound(expected: float) -> int:
    """Return the upper end, at 95 %, of a Poisson number with this mean."""
    return ceil(expected + Z * sqrt(expected))
