"""Reports over HTTP: admitted by the core, counted by the host, and fed to the room."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from breathing_room.core.admission import Admission
from breathing_room.core.config import UNSPOKEN
from breathing_room.core.errors import PeerError
from breathing_room.core.events import Event, Reported, Tossed, Withdrew
from breathing_room.core.identity import VisitorKey
from breathing_room.core.rate_limit import OVER_BUDGET
from breathing_room.core.room import Room
from breathing_room.core.wire import Join, Report
from breathing_room.hosts.common.access.prefixes import Prefixes
from breathing_room.hosts.common.rooms.connection import Shared
from breathing_room.hosts.common.rooms.counters import Counters


class ReportingHost(Shared, Protocol):
    """What is asked of the host of a room."""

    @property
    def prefixes(self) -> Prefixes:
        """Hashes addresses."""


class ReportedRoom(Protocol):
    """What is asked of an open room."""

    admission: Admission
    room: Room

    @property
    def host(self) -> ReportingHost:
        """The host that it is part of."""

    def feed(self, event: Event) -> None:
        """Apply an event."""

    def report(self, event: Reported | Withdrew) -> None:
        """Apply what a visitor without a connection said."""

    def visitor_key(self, visitor: str) -> VisitorKey:
        """Hash a visitor id."""


def take_report(
    room: ReportedRoom, report: Report, *, address: str | None, forwarded_for: str | None
) -> None:
    """Take a report that ``admission.decode`` returned; one outside the panel is only counted.

    Args:
        room: The room, open.
        report: The report.
        address: The peer of the connection.
        forwarded_for: Its ``X-Forwarded-For``, where a proxy may have written one.

    Raises:
        PeerError: ``over_budget``.
    """
    host = room.host
    with _counted(host.counters):
        admitted = room.admission.admit(report, rate=room.room.panel.rate, now_ms=host.clock.now_ms())
    if not admitted.in_panel:
        host.counters.reports_outside += 1
        return
    prefix = host.prefixes.capped(address, forwarded_for, wall_ms=host.clock.wall_ms())
    room.report(Reported(room.visitor_key(admitted.visitor), admitted.ticket, admitted.mood, prefix))


def take_leave(room: ReportedRoom, visitor: str) -> None:
    """Take a leave that ``admission.leave`` returned."""
    room.report(Withdrew(room.visitor_key(visitor)))


def take_legacy_report(room: ReportedRoom, heartbeat: Join) -> None:
    """Take a heartbeat of a client of the planning document.

    Raises:
        PeerError: ``unsigned_visitor`` or ``over_budget``.
    """
    with _counted(room.host.counters):
        room.admission.legacy_report(room.host.clock.now_ms())
    room.feed(Tossed(room.visitor_key(heartbeat.visitor), heartbeat.mood or UNSPOKEN))


@contextmanager
def _counted(counters: Counters) -> Iterator[None]:
    """Count a report that is admitted, or shed; what is refused for another reason was none."""
    try:
        yield
    except PeerError as error:
        if error.code != OVER_BUDGET:
            raise
        counters.reports += 1
        counters.reports_shed += 1
        raise
    counters.reports += 1
