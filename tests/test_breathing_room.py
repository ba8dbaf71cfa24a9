"""The package as its users import it."""

import subprocess
import sys

import pytest

import breathing_room
from breathing_room import client
from breathing_room.core.presence import Presence


def test_the_public_names_are_those_of_their_modules() -> None:
    """``connect`` joins a room, ``app`` can be mounted, and ``sign_visitor`` issues ids; each is that of its
    own module.
    """
    from breathing_room.client.room import connect  # noqa: PLC0415 - beside the name that is tested
    from breathing_room.hosts.common.access.signing import sign_visitor  # noqa: PLC0415

    assert breathing_room.connect is connect
    assert breathing_room.sign_visitor is sign_visitor
    assert callable(breathing_room.app)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Any other name is an AttributeError that repeats it, as of every module."""
    with pytest.raises(AttributeError, match="no attribute 'join'"):
        breathing_room.join  # noqa: B018 - to look is the test


@pytest.mark.slow
def test_the_package_itself_loads_nothing() -> None:
    """In a fresh interpreter the package brings no event loop and no network: the core must load where there
    is neither.
    """
    script = "import sys, breathing_room.core.room; print(*sorted({'asyncio', 'socket', 'starlette', 'websockets'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []


def test_everything_public_is_found_by_completion() -> None:
    """U9: ``dir`` lists what is public, and no helper; each name is there."""
    public = [name for name in dir(breathing_room) if not name.startswith("__")]
    assert public == [
        "Presence",
        "RefusedError",
        "Room",
        "UnreachableError",
        "app",
        "connect",
        "sign_visitor",
    ]
    assert all(getattr(breathing_room, name).__doc__ for name in public)


def test_the_types_of_a_program_are_at_the_top() -> None:
    """U9: what a program annotates and catches is the same object at the top as where it is defined."""
    assert breathing_room.Room is client.Room
    assert breathing_room.RefusedError is client.RefusedError
    assert breathing_room.UnreachableError is client.UnreachableError
    assert breathing_room.Presence is Presence


@pytest.mark.slow
def test_listing_imports_nothing() -> None:
    """A listing loads no network: the core must be usable where there is none."""
    script = "import sys, breathing_room; dir(breathing_room); print('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
