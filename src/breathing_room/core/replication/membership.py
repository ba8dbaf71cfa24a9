"""One room over many machines: what they tell each other, and what follows from it.

Theory of operation
-------------------
Every machine that holds a part of a room is a *node*. It holds its own people, and tells the others the sums (``summary.py``) at
every tick, in one *message* for all its rooms. Messages travel through a log that has one order for everybody (a stream of
Redis). Nobody asks anybody for anything: to say who is in a room, a node adds its own sums to the last that it heard. So the
work of a tick grows with rooms × nodes, and never with people.

*Leases of nodes.* A node that was not heard from for ``late_ms`` is in doubt, with all its people (``doubted``). After the lease that
its messages name it is gone, and its people with it: by then they came back elsewhere, or never will. Its seats of the panel stay in
doubt for as long as a seat has a lease, since their people go on reporting, to somebody else.

*Nobody is counted twice.* A message names, by their keys, those who came in since the last one: it claims them. Whoever holds the
same visitor lets go; so the last to claim a visitor counts it, and as the log has one order, all agree who that is. Until the others
hear that somebody let go, the visitor is in the sums of two. Those are few, and bounded: a message says up to where its node had read
the log, so they are the claims after the least of those places, and ours that are not in the log yet. The interval leaves them open:
``low`` is less by so many. Most of them are people who come back: while a node is drained, or has died, its people are silent, and
somebody else's newcomers. So the count takes newcomers for silent people of other nodes, as long as there are any.

*Cut off.* A node that does not hear itself hears nobody. It goes on with the last sums that it knows: ``low`` is its own people,
``high`` is everybody, and as many newcomers as came before in such a time. Leases of other nodes do not end meanwhile.

*The rate.* One sampling rate holds for all nodes. It is kept beside the log and set by whoever first sees that it should change; what was
announced before goes on being acted on for ``spread_ms``, and ``late_ms`` more, until which a node that is not in doubt has read it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, inf, sqrt
from typing import Final

from breathing_room.core.estimate import Z
from breathing_room.core.replication.delta import BEGINNING, Delta, EntryId, PeerId
from breathing_room.core.summary import PeerState, Summary, add_up, doubted, without_people

LATE_TICKS: Final = 6
"""A node that missed so many ticks is in doubt. A busy machine may be a few late."""


@dataclass(slots=True)
class Peer:
    """A node as it was last heard of.

    Attributes:
        message: Its last message.
        read: The last entry that it had read by then.
        heard_at_ms: When that was, by our clock.
        sums: Its rooms.
        is_gone: Whether its lease has ended, so that only seats are left of it.
    """

    message: Delta
    read: EntryId
    heard_at_ms: int
    sums: dict[str, Summary]
    is_gone: bool = False


class Claims:
    """The claims of a room that somebody may not have read, in the order of the log."""

    def __init__(self) -> None:
        self._entries: list[tuple[EntryId, int]] = []

    def add(self, entry: EntryId, count: int) -> None:
        """Take the claims of an entry."""
        self._entries.append((entry, count))

    def since(self, read: EntryId) -> int:
        """Count those after an entry."""
        return sum(count for entry, count in self._entries if entry > read)

    def trim(self, read: EntryId) -> bool:
        """Forget those up to an entry; tell whether any are left."""
        self._entries = [(entry, count) for entry, count in self._entries if entry > read]
        return bool(self._entries)


UNKNOWN: Final = 2**53
"""As many claims as there may be, where they are not told apart any more."""


class Membership:
    """The other nodes of a cluster.

    Args:
        own: Who we are.
        late_ms: After how long a node is in doubt.
        seat_lease_ms: How long a seat of the panel has a lease after a report, in any room.
        now_ms: Our time.
    """

    def __init__(self, own: PeerId, *, late_ms: int, seat_lease_ms: int, now_ms: int) -> None:
        self.own = own
        self.late_ms = late_ms
        self._seat_lease_ms = seat_lease_ms
        self._nodes: dict[PeerId, Peer] = {}
        self._claims: dict[str, Claims] = {}
        self._last = self._trimmed_to = BEGINNING
        self._heard_self_at_ms = now_ms

    def __iter__(self) -> Iterator[Peer]:
        """Go through them; those of whom only seats are left, too."""
        return iter(self._nodes.values())

    def rooms(self) -> set[str]:
        """Name every room that anybody is in, as far as we know."""
        return {room for node in self for room in node.sums}

    def is_cut_off(self, now_ms: int) -> bool:
        """Tell whether we have not heard ourselves for too long, and so would not hear others either."""
        return now_ms - self._heard_self_at_ms > self.late_ms

    def is_suspect(self, node: Peer, now_ms: int) -> bool:
        """Tell whether a node is in doubt."""
        return node.is_gone or now_ms - node.heard_at_ms > self.late_ms

    def successor(self, now_ms: int) -> PeerId | None:
        """Say who takes over what we leave: one that all agree on, None if nobody is there."""
        return min((node.message.node for node in self if not self.is_suspect(node, now_ms)), default=None)

    def hear(self, message: Delta, entry: EntryId, *, heard_at_ms: int, now_ms: int) -> None:
        """Take a message, our own included.

        Args:
            message: What was said.
            entry: Where it stands in the log.
            heard_at_ms: When it was put there, by our clock.
            now_ms: Our time.
        """
        heard_at_ms = min(heard_at_ms, now_ms)
        if entry <= self._last:  # Another log, whose clock is behind.
            self._claims.clear()
            self._trimmed_to = BEGINNING
        self._last = entry
        for room, part in message.rooms.items():
            if claims := len(part.came) + len(part.reported):
                self._claims.setdefault(room, Claims()).add(entry, claims)
        if message.node == self.own:
            if self.is_cut_off(now_ms):
                # The others may be as they were: they get what a lease leaves after lateness to show it.
                for node in self:
                    node.heard_at_ms = max(node.heard_at_ms, now_ms - self.late_ms - 1)
            self._heard_self_at_ms = max(self._heard_self_at_ms, heard_at_ms)
        elif message.leaving:
            self._nodes.pop(message.node, None)
        else:
            # Nobody has read what comes after their own words: that place is of a log that is lost.
            read = message.read if message.read < entry else BEGINNING
            sums = {room: part.summary for room, part in message.rooms.items()}
            self._nodes[message.node] = Peer(message, read, heard_at_ms, sums)

    def remove(self, name: str) -> list[PeerId]:
        """Let go of every node of a name, at an operator's word; return them."""
        forgotten = [node for node in self._nodes if node[0] == name]
        for node in forgotten:
            del self._nodes[node]
        return forgotten

    def suspects(self, now_ms: int) -> list[PeerId]:
        """Name those who are in doubt."""
        return [name for name, node in self._nodes.items() if self.is_suspect(node, now_ms)]

    def expire(self, now_ms: int) -> None:
        """Let go of nodes whose leases have ended, and of claims that everybody has read. While we are cut off none does."""
        if self.is_cut_off(now_ms):
            return
        for name, node in list(self._nodes.items()):
            silent_ms = now_ms - node.heard_at_ms
            if not node.is_gone and silent_ms > node.message.lease_ms:
                node.is_gone = True
                node.sums = {
                    room: without_people(summary)
                    for room, summary in node.sums.items()
                    if summary.panel.seats
                }
            if node.is_gone and not (node.sums and silent_ms <= self._seat_lease_ms):
                del self._nodes[name]
        read = min((node.read for node in self if not node.is_gone), default=self._last)
        if read > self._trimmed_to:
            self._trimmed_to = read
            self._claims = {room: claims for room, claims in self._claims.items() if claims.trim(read)}

    def _unread(self, room: str, read: EntryId) -> int:
        """Count the claims that come after an entry."""
        if read < self._trimmed_to:
            return UNKNOWN
        claims = self._claims.get(room)
        return 0 if claims is None else claims.since(read)

    def peer_state(self, room: str, now_ms: int) -> PeerState:
        """Say what is known of a room on the other nodes."""
        summaries: list[Summary] = []
        read: list[EntryId] = []
        silent_read: list[EntryId] = []
        changes_at_ms = [self._heard_self_at_ms]
        expected = 0.0
        for node in self:
            summary = node.sums.get(room)
            if summary is None:
                continue
            if self.is_suspect(node, now_ms):
                expected += summary.arrivals_per_s * (now_ms - node.heard_at_ms) / 1_000
                summary = doubted(summary)
            else:
                changes_at_ms.append(node.heard_at_ms)
                if summary.leases:  # Who holds nobody has nobody to let go of.
                    read.append(node.read)
            if any(summary.silent):
                silent_read.append(node.read)
            summaries.append(summary)
        stale = self.is_cut_off(now_ms)
        return PeerState(
            add_up(summaries),
            unread=self._unread(room, min(read)) if read else None,
            silent=tuple(map(sum, zip(*(summary.silent for summary in summaries), strict=True))),
            silent_unread=self._unread(room, min(silent_read)) if silent_read else 0,
            newcomers=ceil(expected + Z * sqrt(expected)),
            stale=stale,
            until_ms=inf if stale else min(changes_at_ms) + self.late_ms,
        )
