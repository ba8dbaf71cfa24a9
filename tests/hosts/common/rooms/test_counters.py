"""What the server counts about itself."""

from breathing_room.hosts.common.rooms.counters import Counters


def test_refusals_are_counted_by_their_code() -> None:
    """Each error that a client got is counted under its code, and no two servers share their counts."""
    counters = Counters()
    for code in ("full", "bad_room", "full"):
        counters.refuse(code)
    assert counters.refusals == {"full": 2, "bad_room": 1}
    assert Counters().refusals == {}
