"""Records: encoded, decoded and merged."""

import random

from hypothesis import example, given
from hypothesis import strategies as st

from breathing_room.core.errors import HostError
from breathing_room.core.write_policies.records import Record, decode_records, encode_records, later, merge
from core.write_policies.reporting import ANN, BOB, CEM, MOODS

records = st.builds(
    Record,
    st.sampled_from([ANN, BOB, CEM]),
    st.integers(0, 2**32 - 1).map(lambda number: number / 2**32),
    st.none() | st.sampled_from(MOODS),
    st.integers(0, 2**50),
    st.booleans(),
)


@given(st.lists(records))
def test_records_are_decoded_as_they_were_encoded(some: list[Record]) -> None:
    """Records are decoded as they were encoded."""
    assert decode_records(encode_records(some)) == some


@given(
    st.binary()
    | st.sampled_from(
        [b"[[1]]", b"{}", b'[["00",0,null,0,true]]', b'[["' + b"0" * 32 + b'",-1,null,0,true]]']
    )
)
@example(b"[" * 100_000)
@example(b'[["' + b"0" * 32 + b'",0,7,0,true]]')
@example(b'[["' + b"0" * 32 + b'",0,null,0,1]]')
def test_damaged_records_raise(value: bytes) -> None:
    """Any bytes are decoded as records or raise ``HostError``."""
    try:
        assert encode_records(decode_records(value))
    except HostError as error:
        assert str(error) == "damaged records"  # noqa: PT017 - most bytes are none, a few are


@given(st.lists(records, max_size=12), st.randoms(use_true_random=False))
def test_the_distribution_of_records_to_writers_does_not_matter(
    some: list[Record], chance: random.Random
) -> None:
    """The merged seats are the same for any distribution of records to writers, except for ties of one
    millisecond.
    """
    some = list({(record.visitor, record.reported_at_ms): record for record in some}.values())
    in_order = merge([encode_records(sorted(some, key=lambda record: record.reported_at_ms))])
    dealt: list[list[Record]] = [[], [], []]
    for record in sorted(some, key=lambda record: record.reported_at_ms):
        chance.choice(dealt).append(record)
    merged = merge(map(encode_records, dealt))
    assert {key: (seat.reported_at_ms, seat.here, seat.ticket) for key, seat in merged.items()} == {
        key: (seat.reported_at_ms, seat.here, seat.ticket) for key, seat in in_order.items()
    }


def test_a_mood_stays_until_another_is_named() -> None:
    """A later record without a mood keeps the earlier one's, in any order of reading; a leave ends it."""
    came, heartbeat = Record(ANN, 0.25, "release", 10), Record(ANN, 0.25, None, 20)
    assert later(came, heartbeat) == later(heartbeat, came) == Record(ANN, 0.25, "release", 20)
    gone = Record(ANN, 0.25, None, 30, here=False)
    assert later(later(came, gone), Record(ANN, 0.25, None, 40)).mood is None
