"""What ``import breathing_room`` offers."""

import subprocess
import sys

import breathing_room
from breathing_room import client
from breathing_room.core.presence import Presence


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


def test_listing_imports_nothing() -> None:
    """A listing loads no network: the core must be usable where there is none."""
    script = "import sys, breathing_room; dir(breathing_room); print('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
