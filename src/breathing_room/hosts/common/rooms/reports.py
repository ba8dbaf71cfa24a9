"""Reports over HTTP: admitted by the core, counted by the host, fed to the room."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.errors import ClientError
from breathing_room.core.events import LegacyReported, PanelLeft, PanelReported
from breathing_room.core.rate_limit import OVER_BUDGET
from breathing_room.core.wire import Join, Report
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.hosts.common.rooms.room_host import RoomHost


def take_report(
    room: RoomHost[Any], report: Report, *, address: str | None, forwarded_for: str | None
) -> None:
    """Admit a report that ``admission.decode`` returned, and feed it if its visitor is in the sample.

    Args:
        room: The room, open.
        report: The report.
        address: The peer of the connection.
        forwarded_for: Its ``X-Forwarded-For``, if any.

    Raises:
        ClientError: ``over_budget``.
    """
    host = room.host
    with _counted(host.counters):
        admitted = room.admission.admit(report, rate=room.room.panel.rate, now_ms=host.clock.now_ms())
    if not admitted.in_panel:
        host.counters.reports_outside += 1
        return
    prefix = host.prefixes.hash_if_capped(address, forwarded_for, wall_ms=host.clock.wall_ms())
    room.report(PanelReported(room.visitor_key(admitted.visitor), admitted.ticket, admitted.mood, prefix))


def take_leave(room: RoomHost[Any], visitor: str) -> None:
    """Feed a leave that ``admission.leave`` returned."""
    room.report(PanelLeft(room.visitor_key(visitor)))


def take_legacy_report(room: RoomHost[Any], heartbeat: Join) -> None:
    """Admit and feed a heartbeat of a legacy client.

    Raises:
        ClientError: ``unsigned_visitor`` or ``over_budget``.
    """
    with _counted(room.host.counters):
        room.admission.legacy_report(room.host.clock.now_ms())
    room.report(LegacyReported(room.visitor_key(heartbeat.visitor), heartbeat.mood or UNSPOKEN))


@contextmanager
def _counted(counters: Counters) -> Iterator[None]:
    """Count a report that is admitted or shed; one that is rejected for another reason is not counted."""
    try:
        yield
    except ClientError as error:
        if error.code != OVER_BUDGET:
            raise
        counters.reports += 1
        counters.reports_shed += 1
        raise
    counters.reports += 1
