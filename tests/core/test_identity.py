"""The key of a visitor, from which the id cannot be recovered."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from breathing_room.core.identity import KEY_BYTES, SECRET_BYTES, visitor_key

SECRET = bytes(range(SECRET_BYTES))
ids = st.text("abcXYZ019_-", min_size=16, max_size=64)
rooms = st.text("abz09_-", min_size=1, max_size=64)


def test_a_key_is_that_of_another_implementation() -> None:
    """The key is BLAKE2b of the room, a zero byte and the id, keyed
    with the secret: stored keys stay good.
    """
    mac = hashlib.blake2b(key=SECRET, digest_size=16)
    mac.update(b"lobby")
    mac.update(b"\0")
    mac.update(b"0123456789abcdef")

    assert visitor_key("0123456789abcdef", room="lobby", secret=SECRET) == mac.digest()
    assert (
        visitor_key("0123456789abcdef", room="lobby", secret=SECRET).hex()
        == "77c1e084761fab053d1f1e55fd9149d3"
    )


@given(ids, rooms, st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES))
def test_a_key_is_short_and_does_not_contain_the_id(visitor: str, room: str, secret: bytes) -> None:
    """A key has KEY_BYTES bytes, is the same each time, and does not contain the id."""
    key = visitor_key(visitor, room=room, secret=secret)

    assert len(key) == KEY_BYTES == 16
    assert key == visitor_key(visitor, room=room, secret=secret)
    assert key.find(visitor.encode()) == -1


@given(st.sets(st.tuples(ids, rooms, st.sampled_from([SECRET, SECRET[::-1]])), min_size=2))
def test_keys_differ_by_visitor_room_and_secret(people: set[tuple[str, str, bytes]]) -> None:
    """One visitor has unrelated keys in two rooms and under two secrets; no two visitors share one."""
    keys = {visitor_key(visitor, room=room, secret=secret) for visitor, room, secret in people}

    assert len(keys) == len(people)


def test_a_name_cannot_run_into_an_id() -> None:
    """The border between room and id counts: moving a letter over it makes another key."""
    assert visitor_key("b" * 16, room="ab", secret=SECRET) != visitor_key("b" * 17, room="a", secret=SECRET)
