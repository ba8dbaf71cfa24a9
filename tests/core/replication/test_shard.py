"""What a shard and its coordinator send and keep: as it was written, or refused; and what a shard knows of the others."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.codec import pack, unpack
from breathing_room.core.errors import HostError
from breathing_room.core.replication.delta import RoomDelta
from breathing_room.core.replication.shard import CoordinatorUpdate, ShardReport
from core.playing import ANN
from core.replication.calls import NOW_MS, a_hub, a_spoke, exchange, moods_of, people


@given(st.data())
def test_damaged_words_are_refused(data: st.DataObject) -> None:
    """
    A report, news, or what was kept of either end, cut short or with a byte changed, is read, or refused as damaged; nothing else happens.
    """
    hub, one = a_hub(), a_spoke(1)
    news, _ = exchange(hub, one, RoomDelta(summary=people(3), came=(ANN,)))
    readers = (
        (ShardReport.decode, one.report(RoomDelta(summary=people(3)), 1, NOW_MS).encode(moods_of)),
        (CoordinatorUpdate.decode, news.encode(moods_of)),
        (a_hub().wake, hub.sleep(moods_of)),
        (a_spoke(1).wake, one.sleep(moods_of)),
    )
    read, written = data.draw(st.sampled_from(readers))
    at = data.draw(st.integers(0, len(written) - 1))
    changed = bytes([written[at] ^ data.draw(st.integers(1, 255))])
    with pytest.raises(HostError):
        read(written[:at], moods_of)
    with contextlib.suppress(HostError):
        read(written[:at] + changed + written[at + 1 :], moods_of)


def test_an_infinite_number_is_refused() -> None:
    """
    JSON as Python reads it has infinities; where a whole number should be, one is damage like any other, and not an error of its own.
    """
    hub, one = a_hub(), a_spoke(1)
    news, _ = exchange(hub, one, RoomDelta(summary=people(3), came=(ANN,)))
    report = one.report(RoomDelta(summary=people(3)), 1, NOW_MS)
    for read, written, fields in (
        (ShardReport.decode, report.encode(moods_of), ("number", "sockets")),
        (
            CoordinatorUpdate.decode,
            news.encode(moods_of),
            ("version", "unread", "silent_unread", "newcomers"),
        ),
        (a_hub().wake, hub.sleep(moods_of), ("shards", "version")),
        (a_spoke(1).wake, one.sleep(moods_of), ("number",)),
    ):
        header, values = unpack(written)
        for name in fields:
            assert name in header
            with pytest.raises(HostError):
                read(pack(header | {name: float("inf")}, *values), moods_of)
