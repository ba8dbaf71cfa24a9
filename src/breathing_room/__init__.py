"""Breathing Room: how many people are here with you right now, and how they feel.

``connect`` joins a room from Python; ``app`` is an ASGI application to mount in your own; ``sign_visitor``
issues signed visitor ids, for rooms that accept no others; the command ``breathing-room serve`` is a server
that needs nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from breathing_room.client import RefusedError, Room, UnreachableError, connect
    from breathing_room.core.presence import Presence
    from breathing_room.hosts.common.access.signing import sign_visitor
    from breathing_room.hosts.server.routes import app

__all__ = ["Presence", "RefusedError", "Room", "UnreachableError", "app", "connect", "sign_visitor"]

_HOMES = {
    "Presence": "breathing_room.core.presence",
    "RefusedError": "breathing_room.client",
    "Room": "breathing_room.client",
    "UnreachableError": "breathing_room.client",
    "app": "breathing_room.hosts.server.routes",
    "connect": "breathing_room.client",
    "sign_visitor": "breathing_room.hosts.common.access.signing",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: the core must load without an event loop or a network."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the public names, for completion and ``help``."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
