"""The tree of errors."""

import re

import pytest

from breathing_room.core import errors
from breathing_room.core.errors import BreathingRoomError, ClientError, ConfigError, HostError, StoreError


def test_the_tree_is_drawn_as_it_is() -> None:
    """The drawing in the docstring has every error with its base."""
    drawn = re.findall(r"^( *)[├└]── (\w+)", (errors.__doc__ or "").replace("│", " "), re.MULTILINE)
    parents = {name: "BreathingRoomError" if len(indent) < 6 else "HostError" for indent, name in drawn}
    defined = {name: cls for name, cls in vars(errors).items() if isinstance(cls, type)}

    assert parents.keys() | {"BreathingRoomError"} == defined.keys()
    for name, parent in parents.items():
        assert defined[name].__bases__ == (defined[parent],)


@pytest.mark.parametrize("temporary", [True, False])
def test_a_store_error_says_whether_to_try_again(temporary: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """A StoreError has a message, and whether a retry may succeed."""
    error = StoreError("the disk is full", temporary=temporary)

    assert (str(error), error.temporary) == ("the disk is full", temporary)


def test_a_client_error_has_a_code_and_a_message() -> None:
    """A ClientError has a code, a message, an HTTP status (400 by default) and the seconds until a retry, if
    any.
    """
    error = ClientError("bad_room", "no such name")

    assert (error.code, error.message, str(error)) == ("bad_room", "no such name", "no such name")
    assert (error.status, error.retry_after_s) == (400, None)
    assert not isinstance(error, HostError)
    assert issubclass(ConfigError, BreathingRoomError)
