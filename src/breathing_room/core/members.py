"""Members: the visitors of a room who are here over connections, each held by a lease.

Theory of operation
-------------------
A visitor is a *member* from the first join until the lease ends. A heartbeat renews the lease; a leave ends
it at once; a connection that ends without a leave shortens it to ``grace_ms``, since most of those visitors
come back. The count is the number of leases: nothing is counted up and down.

A member is *suspect* while the lease goes on without a connection: the connection ended, or the room was
restored from a snapshot and the visitor did not come back since (*restored*). Suspects are counted in
``high`` and not in ``low``.

Leases are renewed far more often than they end, so a renewal moves no deadline: the deadline stays where it
was, and when it comes the lease is checked (``deadlines.py``). On a host that reports every disconnect an
open connection needs no heartbeat (``connection_is_lease``): it *is* the lease, and only those of suspects
end by time.

Every method is of constant cost. Sums by mood are kept beside the leases, so that a summary visits no member.
"""

from collections.abc import Iterator

from breathing_room.core.config import RoomConfig
from breathing_room.core.deadlines import NO_DEADLINE, DeadlineQueue, quantize
from breathing_room.core.errors import ClientError, HostError
from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.leases import RESTORED, SUSPECT, Leases


class Member:
    """A visitor with a lease.

    Attributes:
        key: The visitor's key.
        mood: An index into the declared moods; one past the last: unspoken.
        connections: The open connections of this visitor, nearly always one.
        suspect: Whether the lease goes on without a connection.
        restored: Whether it is left from before a restart; restored members are suspect.
        expires_at_ms: The end of the lease.
        due_at_ms: The deadline queue's.
    """

    __slots__ = ("connections", "due_at_ms", "expires_at_ms", "key", "mood", "restored", "suspect")

    def __init__(self, key: VisitorKey, mood: int) -> None:
        self.key = key
        self.mood = mood
        self.connections: tuple[Connection, ...] = ()
        self.suspect = False
        self.restored = False
        self.expires_at_ms = 0
        self.due_at_ms = NO_DEADLINE


class Members:
    """The leases of connections, and their sums by mood.

    Args:
        config: How the room works.
        connection_is_lease: Whether the host reports every disconnect, so that an open connection needs no
            heartbeat.

    Attributes:
        changes: Rises with every change of the sums.
        unsaved_changes: Rises with every change that a snapshot would hold.
        suspect_changes: Rises whenever a member becomes suspect, or is suspect no more.
        tally: Members by mood, the unspoken last; to be read only.
        suspect_tally: The suspects among them; to be read only.
        suspects: The suspects, in the order in which they became so; to be read only.
        restored_count: How many of them are left from before a restart.
    """

    def __init__(self, config: RoomConfig, *, connection_is_lease: bool = False) -> None:
        self.changes = 0
        self.unsaved_changes = 0
        self.suspect_changes = 0
        self.tally = [0] * (len(config.moods) + 1)
        self.suspect_tally = [0] * (len(config.moods) + 1)
        self.suspects: dict[VisitorKey, Member] = {}
        self.restored_count = 0
        self._config = config
        self._connection_is_lease = connection_is_lease
        self._by_visitor: dict[VisitorKey, Member] = {}
        self._by_connection: dict[Connection, Member] = {}
        self._deadlines: DeadlineQueue[Member] = DeadlineQueue()

    # --- Queries -------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._by_visitor)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._by_visitor.values())

    def __contains__(self, visitor: object) -> bool:
        return visitor in self._by_visitor

    def get(self, visitor: VisitorKey) -> Member | None:
        """Return the member of a visitor, to be read only."""
        return self._by_visitor.get(visitor)

    def by_connection(self, connection: Connection) -> Member | None:
        """Return the member behind a connection, to be read only."""
        return self._by_connection.get(connection)

    @property
    def connection_count(self) -> int:
        """Open connections of members."""
        return len(self._by_connection)

    @property
    def next_at_ms(self) -> int | None:
        """When to call ``expire``, None for never."""
        return self._deadlines.next_at_ms

    def leases(self, now_ms: int, *, connected: bool = True) -> Leases:
        """Return the leases as a snapshot holds them.

        Args:
            now_ms: The room's time.
            connected: Whether members with a connection are included.
        """
        members = (self._by_visitor if connected else self.suspects).values()
        return Leases(
            keys=b"".join(member.key for member in members),
            mood_of=bytes(member.mood for member in members),
            flags=bytes(SUSPECT * member.suspect | RESTORED * member.restored for member in members),
            left_ms=tuple(self._left_ms(member, now_ms) for member in members),
        )

    def _left_ms(self, member: Member, now_ms: int) -> int:
        """Return what is left of a lease; a connection that is the lease renews it all the time."""
        if self._connection_is_lease and member.connections:
            return self._config.lease_ms
        return max(0, member.expires_at_ms - now_ms)

    # --- Changes -------------------------------------------------------------------------------------------

    def check_join(self, connection: Connection, visitor: VisitorKey, *, now_ms: int) -> None:
        """Check whether a connection may join. Connections whose lease is over by now count as closed.

        Raises:
            HostError: The connection joined before.
            ClientError: The visitor has too many connections.
        """
        if connection in self._by_connection:
            raise HostError("a connection joined twice")
        member = self._by_visitor.get(visitor)
        if member is None or not (self._connection_is_lease or member.expires_at_ms > now_ms):
            return
        if len(member.connections) >= self._config.connections_per_visitor_max:
            raise ClientError("too_many_sockets", "this visitor has too many connections open", status=429)

    def join(self, connection: Connection, visitor: VisitorKey, mood: int | None, *, now_ms: int) -> None:
        """Add a connection, and with the first of a visitor the member.

        Args:
            connection: One that passed ``check_join``.
            visitor: The visitor behind it.
            mood: The mood that came with it, None for none.
            now_ms: The room's time.
        """
        member = self._by_visitor.get(visitor)
        if member is None:
            unspoken = len(self.tally) - 1
            member = self._by_visitor[visitor] = Member(visitor, unspoken)
            self.tally[unspoken] += 1
            self.changes += 1
        self._attach(connection, member)
        if mood is not None:
            self.set_mood(member, mood)
        self.renew(member, now_ms=now_ms)

    def set_mood(self, member: Member, mood: int) -> None:
        """Move a member from one mood to another."""
        if mood == member.mood:
            return
        self.tally[member.mood] -= 1
        self.tally[mood] += 1
        self.suspect_tally[member.mood] -= member.suspect
        self.suspect_tally[mood] += member.suspect
        member.mood = mood
        self.changes += 1

    def renew(self, member: Member, *, now_ms: int) -> None:
        """Renew a lease and clear its suspicion, after a heartbeat or any other message of the visitor."""
        self._confirm(member)
        member.expires_at_ms = quantize(now_ms + self._config.lease_ms)
        if self._connection_is_lease:
            member.due_at_ms = NO_DEADLINE
        else:
            self._deadlines.schedule_by(member, member.expires_at_ms)
        self.unsaved_changes += 1

    def disconnect(self, connection: Connection) -> Member | None:
        """Remove a connection; return its member if that has none left, else None."""
        member = self._by_connection.pop(connection, None)
        if member is None:
            return None
        member.connections = tuple(other for other in member.connections if other != connection)
        return None if member.connections else member

    def mark_suspect(self, member: Member, *, now_ms: int) -> None:
        """Mark a member suspect whose last connection ended without a leave: ``grace_ms`` are left of the
        lease.
        """
        member.suspect = True
        self.suspect_tally[member.mood] += 1
        self.suspects[member.key] = member
        self.suspect_changes += 1
        grace_ends_at_ms = quantize(now_ms + self._config.grace_ms)
        if self._connection_is_lease:  # Until now the connection was the lease.
            member.expires_at_ms = grace_ends_at_ms
        else:
            member.expires_at_ms = min(member.expires_at_ms, grace_ends_at_ms)
        self._deadlines.schedule_by(member, member.expires_at_ms)
        self.changes += 1
        self.unsaved_changes += 1

    def remove(self, member: Member) -> None:
        """Remove a member, with the connections that are left."""
        self._confirm(member)
        for connection in member.connections:
            del self._by_connection[connection]
        del self._by_visitor[member.key]
        self.tally[member.mood] -= 1
        member.due_at_ms = NO_DEADLINE
        self.changes += 1
        self.unsaved_changes += 1

    def expire(self, now_ms: int) -> list[Connection]:
        """Remove the members whose leases are over; return their connections, which are to be closed."""
        closed: list[Connection] = []
        for member, at_ms in self._deadlines.pop_due(now_ms):
            if member.expires_at_ms > at_ms:
                self._deadlines.put(member, member.expires_at_ms)
                continue
            closed += member.connections
            self.remove(member)
        return closed

    def _confirm(self, member: Member) -> None:
        """Clear the suspect and restored flags of a lease."""
        if not member.suspect:
            return
        member.suspect = False
        self.suspect_tally[member.mood] -= 1
        del self.suspects[member.key]
        self.suspect_changes += 1
        self.changes += 1
        if member.restored:
            member.restored = False
            self.restored_count -= 1

    def _attach(self, connection: Connection, member: Member) -> None:
        member.connections += (connection,)
        self._by_connection[connection] = member

    # --- Snapshots -----------------------------------------------------------------------------------------

    def admit(self, visitor: VisitorKey, mood: int, flags: int, *, expires_at_ms: int) -> None:
        """Add a member of a snapshot, without connections."""
        member = self._by_visitor[visitor] = Member(visitor, mood)
        member.suspect = bool(flags & SUSPECT)
        member.restored = bool(flags & RESTORED)
        member.expires_at_ms = quantize(expires_at_ms)
        self.tally[mood] += 1
        self.suspect_tally[mood] += member.suspect
        self.restored_count += member.restored
        if member.suspect:
            self.suspects[visitor] = member
        if member.suspect or not self._connection_is_lease:
            self._deadlines.put(member, member.expires_at_ms)

    def reconnect(self, connection: Connection, visitor: VisitorKey) -> None:
        """Attach a connection that stayed open to an admitted member.

        That of a visitor without a lease is left out.
        """
        member = self._by_visitor.get(visitor)
        if member is not None:
            self._attach(connection, member)

    def mark_unconnected_suspect(self, *, now_ms: int) -> None:
        """Mark the admitted members suspect whose connections did not stay open."""
        for member in self._by_visitor.values():
            if not (member.connections or member.suspect):
                self.mark_suspect(member, now_ms=now_ms)
