"""Admission: whether a report, leave, heartbeat or connection is accepted.

Every host, the writers of store mode and the simulator use this module, so that all accept the same. The
origin of a request is checked by the host before: it knows headers, the core does not.

A report passes these steps, and the first that rejects it ends it:

1. It is decoded: its form, its mood, its epoch.
2. Its visitor id is verified, where ids are signed. The check is handed in as a function, since the key is
   the host's.
3. Its ticket is computed. A report whose ticket is not below the rate is outside the panel: it costs nothing,
   and its answer holds the rate.
4. A report inside the panel takes a token (``rate_limit.py``).

Steps 1 and 2 need nothing of the room, so a host may do them before it opens one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ClientError
from breathing_room.core.rate_limit import TokenBucket
from breathing_room.core.tickets import ticket
from breathing_room.core.wire import Report, check_visitor, decode_object, decode_report

Verify: TypeAlias = Callable[[str, bool], None]
"""Raises a ``ClientError`` for a visitor id without a valid signature; with the flag set (a leave) a
signature is never too old.
"""


@dataclass(frozen=True, slots=True)
class AdmittedReport:
    """A report that was accepted.

    Attributes:
        visitor: The visitor id.
        mood: The mood in it, None for none.
        epoch: The epoch in which the visit began.
        ticket: The visitor's, in [0, 1).
        in_panel: Whether it is to be counted; the others are only answered.
    """

    visitor: str
    mood: str | None
    epoch: int
    ticket: float
    in_panel: bool


class Admission:
    """The admission of one room.

    Args:
        room: The room's name.
        config: How the room works.
        verify: Checks signed visitor ids; None where ids are not signed.
        now_ms: The host's time. Every later time given is at least as late.
        has_memory: Whether a process keeps the room between two requests. Without one, reports are not
            limited, and legacy clients cannot be counted.

    Attributes:
        bucket: The rate limit of reports; None for none.
    """

    __slots__ = ("_config", "_room", "_verify", "bucket")

    def __init__(
        self, room: str, config: RoomConfig, verify: Verify | None, *, now_ms: int, has_memory: bool = True
    ) -> None:
        self._room = room
        self._config = config
        self._verify = verify
        self.bucket = TokenBucket(config, now_ms=now_ms) if has_memory else None

    def decode(self, body: bytes, *, epoch: int) -> Report:
        """Decode a report and verify its visitor.

        Args:
            body: The body of the request.
            epoch: The current epoch.

        Raises:
            ClientError: It is malformed, or its visitor id is not signed.
        """
        report = decode_report(body, self._config.moods, epoch=epoch)
        self.join(report.visitor)
        return report

    def admit(
        self, report: Report, *, rate: float, now_ms: int, drawn: float | None = None
    ) -> AdmittedReport:
        """Admit a report that was decoded.

        Args:
            report: What ``decode`` returned.
            rate: The rate in force.
            now_ms: The host's time.
            drawn: The visitor's ticket, where it is known already.

        Raises:
            ClientError: ``over_budget``.
        """
        if drawn is None:
            drawn = ticket(report.visitor, room=self._room, epoch=report.epoch)
        in_panel = drawn < rate
        if in_panel and self.bucket is not None:
            self.bucket.spend(now_ms)
        return AdmittedReport(report.visitor, report.mood, report.epoch, drawn, in_panel)

    def leave(self, body: bytes) -> str:
        """Return the visitor id of a leave; it needs no ticket and no token.

        Raises:
            ClientError: It is malformed, or its visitor id is not signed.
        """
        visitor = check_visitor(decode_object(body).get("visitor"))
        if self._verify is not None:
            self._verify(visitor, True)
        return visitor

    def legacy_report(self, now_ms: int) -> None:
        """Admit a heartbeat of a legacy client, which draws by lot whether it reports.

        Raises:
            ClientError: ``cannot_count`` without a process that keeps the room; ``unsigned_visitor`` where
                ids are signed, since one signed id could send any number of heartbeats; ``over_budget``.
        """
        if self.bucket is None:
            reject_legacy_report()
        if self._verify is not None:
            # Answers under /api keep their text, byte for byte.
            raise ClientError(
                "unsigned_visitor",
                "clients that flip coins cannot be counted where ids are signed",
                status=403,
            )
        self.bucket.spend(now_ms)

    def join(self, visitor: str) -> None:
        """Admit a visitor id of valid form.

        Raises:
            ClientError: ``unsigned_visitor``.
        """
        if self._verify is not None:
            self._verify(visitor, False)


def reject_legacy_report() -> NoReturn:
    """Reject a heartbeat of a legacy client, where no process keeps the room between two requests.

    Raises:
        ClientError: ``cannot_count``.
    """
    raise ClientError(
        "cannot_count",
        "clients that flip coins cannot be counted without a memory of sessions, which this server has not",
        status=501,
    )


class RoomQuota:
    """The number of rooms that may be open, in all and for each address prefix.

    Args:
        rooms_max: Rooms in all.
        rooms_per_prefix_max: Rooms that one prefix may hold open.
    """

    __slots__ = ("_opened_by", "_rooms_max", "_rooms_per_prefix_max")

    def __init__(self, *, rooms_max: int, rooms_per_prefix_max: int) -> None:
        self._rooms_max = rooms_max
        self._rooms_per_prefix_max = rooms_per_prefix_max
        self._opened_by: dict[bytes, int] = {}

    def take(self, prefix: bytes, *, rooms: int) -> None:
        """Count a room that is about to be opened.

        Args:
            prefix: A hash of the address prefix that opens it.
            rooms: Rooms that are open already.

        Raises:
            ClientError: ``too_many_rooms``.
        """
        opened = self._opened_by.get(prefix, 0)
        if opened >= self._rooms_per_prefix_max:
            raise ClientError(
                "too_many_rooms", "too many rooms were opened from this address", status=429, retry_after_s=60
            )
        admit_another_room(rooms, self._rooms_max)
        self._opened_by[prefix] = opened + 1

    def release(self, prefix: bytes | None) -> None:
        """Release a room that was closed; one that no prefix opened is in no quota."""
        if prefix is not None and prefix in self._opened_by:
            self._opened_by[prefix] -= 1
            if not self._opened_by[prefix]:
                del self._opened_by[prefix]


def admit_another_room(rooms: int, rooms_max: int) -> None:
    """Reject a room beyond the most that may be open.

    Raises:
        ClientError: ``too_many_rooms``.
    """
    if rooms >= rooms_max:
        raise ClientError(
            "too_many_rooms", "too many rooms are open on this server", status=503, retry_after_s=60
        )


def admit_room(*, is_known: bool, open_rooms: bool) -> None:
    """Reject a room that does not exist, where rooms are not opened on demand.

    Raises:
        ClientError: ``no_such_room``.
    """
    if not (is_known or open_rooms):
        raise ClientError("no_such_room", "room not found", status=404)


def admit_while(is_open: bool) -> None:  # noqa: FBT001 - the name reads as a sentence with it
    """Reject requests while the server starts or stops.

    Raises:
        ClientError: ``unavailable``.
    """
    if not is_open:
        raise ClientError("unavailable", "the server is starting or stopping", status=503, retry_after_s=2)


def admit_connection(connections: int, connections_max: int) -> None:
    """Reject a connection beyond the most that may be open.

    Raises:
        ClientError: ``full``.
    """
    if connections >= connections_max:
        reject_connection()


def reject_connection() -> NoReturn:
    """Reject a connection at a server that is full.

    Raises:
        ClientError: ``full``.
    """
    raise ClientError("full", "the server is full", status=503, retry_after_s=10)
