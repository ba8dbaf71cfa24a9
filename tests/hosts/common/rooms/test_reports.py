"""Reports over HTTP, as they are counted by the host and fed to the room."""

from typing import Any

import pytest

from breathing_room.core.admission import Admission
from breathing_room.core.config import UNSPOKEN, RoomConfig
from breathing_room.core.errors import ClientError
from breathing_room.core.events import Event, LegacyReported, PanelLeft, PanelReported
from breathing_room.core.identity import VisitorKey
from breathing_room.core.room import Room
from breathing_room.core.tickets import ticket
from breathing_room.core.wire import Join, Report
from breathing_room.hosts.common.access.prefixes import Prefixes
from breathing_room.hosts.common.rooms.counters import Counters
from breathing_room.hosts.common.rooms.reports import take_leave, take_legacy_report, take_report
from breathing_room.hosts.common.settings import ServerConfig
from inside import HandClock

REPORT = Report("visitor-0123456789", "release", 7)
KEY = VisitorKey(REPORT.visitor.encode())


class FakeHost:
    config = ServerConfig()

    def __init__(self) -> None:
        self.clock = HandClock()
        self.counters = Counters()
        self.prefixes = Prefixes()


class FakeRoom:
    """A room at a rate, that notes what it is fed."""

    def __init__(self, rate: float = 1.0, verify: Any = None) -> None:
        config = RoomConfig(panel_size=100)
        self.host = FakeHost()
        self.room = Room("lobby", config, now_ms=0)
        self.room.panel._rate.resume(((0, rate),), 0, 0)
        self.admission = Admission("lobby", config, verify, now_ms=0)
        self.events: list[Event] = []

    def report(self, event: PanelReported | LegacyReported | PanelLeft) -> None:
        self.events.append(event)

    def visitor_key(self, visitor: str) -> VisitorKey:
        return VisitorKey(visitor.encode())

    def empty(self) -> None:
        assert self.admission.bucket is not None
        for _ in range(self.admission.bucket.burst):
            self.admission.bucket.spend(self.host.clock.now_ms())

    @property
    def counted(self) -> tuple[int, int, int]:
        counters = self.host.counters
        return counters.reports, counters.reports_outside, counters.reports_shed


def a_room(rate: float = 1.0, verify: Any = None) -> Any:
    """Make a fake that is taken for a room host."""
    return FakeRoom(rate, verify)


def report(room: Any) -> None:
    take_report(room, REPORT, address="192.0.2.1", forwarded_for=None)


def test_a_report_in_the_panel_is_fed_with_the_hash_of_its_prefix() -> None:
    """A report that is admitted becomes an event of its visitor, with its ticket, its mood and a prefix that
    is no address.
    """
    room = a_room()
    report(room)
    (event,) = room.events
    assert isinstance(event, PanelReported)
    drawn = ticket(REPORT.visitor, room="lobby", epoch=7)
    assert (event.visitor, event.ticket, event.mood) == (KEY, drawn, "release")
    assert event.prefix is not None
    assert len(event.prefix) == 8
    assert room.counted == (1, 0, 0)


def test_a_report_outside_the_panel_is_counted_and_not_fed() -> None:
    """Below its ticket the rate leaves a report outside: it is one of the reports, and no event."""
    room = a_room(rate=ticket(REPORT.visitor, room="lobby", epoch=7) / 2)
    report(room)
    assert (room.events, room.counted) == ([], (1, 1, 0))


def test_what_is_shed_is_counted_as_such_and_a_leave_is_not_shed() -> None:
    """With the bucket empty reports and heartbeats of the document are shed and counted; a leave is fed all
    the same.
    """
    room = a_room()
    room.empty()
    for refused in (report, lambda room: take_legacy_report(room, Join("s1", None))):
        with pytest.raises(ClientError, match="more people report"):
            refused(room)
    take_leave(room, REPORT.visitor)
    assert (room.events, room.counted) == ([PanelLeft(KEY)], (2, 0, 2))


def test_a_heartbeat_of_the_document_counts_unless_ids_are_signed() -> None:
    """A heartbeat without a mood is unspoken; where ids are signed it is refused, and is no report."""
    room = a_room()
    take_legacy_report(room, Join("s1", None))
    assert (room.events, room.counted) == ([LegacyReported(VisitorKey(b"s1"), UNSPOKEN)], (1, 0, 0))
    signed = a_room(verify=lambda _visitor, _leaving: None)
    with pytest.raises(ClientError) as error:
        take_legacy_report(signed, Join("s1", None))
    assert (error.value.code, signed.events, signed.counted) == ("unsigned_visitor", [], (0, 0, 0))
