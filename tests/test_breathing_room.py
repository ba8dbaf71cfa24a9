"""The package as its users import it."""

import subprocess
import sys

import pytest

import breathing_room


def test_the_three_names_are_what_they_say() -> None:
    """``connect`` joins a room, ``app`` can be mounted, and ``sign_visitor`` issues ids; each is that of its own module."""
    from breathing_room.client.room import connect  # noqa: PLC0415 - beside the name that is tested
    from breathing_room.hosts.server.signing import sign_visitor  # noqa: PLC0415

    assert sorted(breathing_room.__all__) == ["app", "connect", "sign_visitor"]
    assert breathing_room.connect is connect
    assert breathing_room.sign_visitor is sign_visitor
    assert callable(breathing_room.app)


def test_a_name_that_is_not_there_is_said() -> None:
    """Any other name is an AttributeError that repeats it, as of every module."""
    with pytest.raises(AttributeError, match="no attribute 'join'"):
        breathing_room.join  # noqa: B018 - to look is the test


def test_the_package_itself_loads_nothing() -> None:
    """In a fresh interpreter the package brings no event loop and no network: the core must load where there is neither."""
    script = "import sys, breathing_room.core.room; print(*sorted({'asyncio', 'socket', 'starlette', 'websockets'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []
