"""The admission of connections, reports and rooms, the same for every host."""

import json
from typing import Any

import pytest

from breathing_room.core.admission import (
    Admission,
    AdmittedReport,
    RoomQuota,
    admit_connection,
    admit_room,
    admit_while,
    reject_legacy_report,
)
from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import ClientError
from breathing_room.core.tickets import ticket

VISITOR = "visitor-0123456789"
DRAWN = ticket(VISITOR, room="lobby", epoch=7)


def unsigned(_visitor: str, _leaving: bool) -> None:  # noqa: FBT001
    raise ClientError("unsigned_visitor", "not signed", status=403)


def rejection(call: Any, *args: Any, **options: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as error:
        call(*args, **options)
    return error.value.code, error.value.status


def body(**more: Any) -> bytes:
    return json.dumps({"visitor": VISITOR, **more}).encode()


def an_admission(verify: Any = None, **options: Any) -> Admission:
    return Admission("lobby", RoomConfig(panel_size=100), verify, now_ms=0, **options)


def report(admission: Admission, content: bytes, *, rate: float = 1.0, now_ms: int = 0) -> AdmittedReport:
    return admission.admit(admission.decode(content, epoch=7), rate=rate, now_ms=now_ms)


def empty(admission: Admission) -> None:
    """Take every token of the bucket."""
    assert admission.bucket is not None
    for _ in range(admission.bucket.burst):
        admission.bucket.spend(0)


def test_a_report_is_in_the_panel_if_its_ticket_is_below_the_rate() -> None:
    """A report carries its ticket, its mood and its epoch, and is in the panel exactly below the rate."""
    admission = an_admission()
    assert report(admission, body(mood="release")) == AdmittedReport(VISITOR, "release", 7, DRAWN, True)
    assert not report(admission, body(), rate=DRAWN).in_panel
    assert report(admission, body(epoch=6)).ticket == ticket(VISITOR, room="lobby", epoch=6)


def test_only_a_report_in_the_panel_takes_a_token() -> None:
    """With an empty bucket a report in the sample is rejected and one outside is answered; a leave and a bad
    body take no token.
    """
    admission = an_admission()
    empty(admission)
    assert rejection(report, admission, body()) == ("over_budget", 429)
    assert not report(admission, body(), rate=DRAWN / 2).in_panel
    assert admission.leave(body()) == VISITOR
    assert rejection(report, admission, b"{") == ("bad_json", 400)


def test_decoding_comes_before_the_signature_and_the_signature_before_the_budget() -> None:
    """Of several reasons to reject, the first in the order of the steps is answered."""
    admission = an_admission(unsigned)
    empty(admission)
    assert rejection(report, admission, body(mood="no such mood")) == ("unknown_mood", 400)
    assert rejection(report, admission, body()) == ("unsigned_visitor", 403)
    assert rejection(admission.leave, b"[]") == ("not_an_object", 400)
    assert rejection(admission.leave, body()) == ("unsigned_visitor", 403)
    assert rejection(admission.join, VISITOR) == ("unsigned_visitor", 403)


def test_a_signature_is_asked_whether_its_visitor_leaves() -> None:
    """Joins and reports are verified as such, leaves as leaves, for which a signature is never too old."""
    asked: list[tuple[str, bool]] = []
    admission = an_admission(lambda visitor, leaving: asked.append((visitor, leaving)))
    admission.join(VISITOR)
    report(admission, body())
    admission.leave(body())
    assert asked == [(VISITOR, False), (VISITOR, False), (VISITOR, True)]


def test_without_a_memory_reports_are_not_limited_and_legacy_clients_not_counted() -> None:
    """Without memory there is no bucket, and a legacy client is rejected."""
    admission = an_admission(has_memory=False)
    assert admission.bucket is None
    assert report(admission, body()).in_panel
    assert rejection(admission.legacy_report, 0) == rejection(reject_legacy_report) == ("cannot_count", 501)


def test_a_legacy_report_takes_a_token_where_ids_are_not_signed() -> None:
    """A legacy report takes a token, and is rejected if ids are signed."""
    admission = an_admission()
    admission.legacy_report(0)
    empty_after = an_admission()
    empty(empty_after)
    assert rejection(empty_after.legacy_report, 0) == ("over_budget", 429)
    assert rejection(an_admission(unsigned).legacy_report, 0) == ("unsigned_visitor", 403)


def test_a_quota_holds_for_each_prefix_and_for_all_rooms() -> None:
    """A prefix opens as many rooms as its quota, all prefixes no more than rooms_max, and a closed room frees
    its place.
    """
    quota = RoomQuota(rooms_max=3, rooms_per_prefix_max=2)
    quota.take(b"a", rooms=0)
    quota.take(b"a", rooms=1)
    assert rejection(quota.take, b"a", rooms=2) == ("too_many_rooms", 429)
    quota.take(b"b", rooms=2)
    assert rejection(quota.take, b"b", rooms=3) == ("too_many_rooms", 503)
    quota.release(b"a")
    quota.release(None)
    quota.release(b"never seen")
    quota.take(b"a", rooms=2)
    assert rejection(quota.take, b"a", rooms=2) == ("too_many_rooms", 429)


def test_a_full_closed_or_unknown_room_is_rejected() -> None:
    """Connections are taken up to the most, rooms that are not kept only where rooms are open, and nothing
    while the server stops.
    """
    admit_connection(1, 2)
    assert rejection(admit_connection, 2, 2) == ("full", 503)
    admit_room(is_known=True, open_rooms=False)
    admit_room(is_known=False, open_rooms=True)
    assert rejection(admit_room, is_known=False, open_rooms=False) == ("no_such_room", 404)
    admit_while(True)
    assert rejection(admit_while, False) == ("unavailable", 503)
