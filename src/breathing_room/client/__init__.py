"""The Python client: join a room, and follow how many people are there.

::

    async with breathing_room.connect("https://example.org", mood="gratitude") as room:
        async for presence in room:
            print(presence.label, "people are here")
"""

from breathing_room.client.errors import RefusedError, UnreachableError
from breathing_room.client.room import Room, State, connect
from breathing_room.client.timing import Timing

__all__ = ["RefusedError", "Room", "State", "Timing", "UnreachableError", "connect"]
