"""Waiting for what will happen, and no longer than that."""

import asyncio
from collections.abc import Callable

from breathing_room.client import Room
from breathing_room.core.presence import Presence

PATIENCE_S = 20.0
"""Long enough for a slow machine, and never waited for when all is well."""


async def until(condition: Callable[[], bool]) -> None:
    """Poll until a condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def first(room: Room, holds: Callable[[Presence], bool] = lambda _: True) -> Presence:
    """Wait for the first presence for which something holds."""
    async with asyncio.timeout(PATIENCE_S):
        async for seen in room:
            if holds(seen):
                return seen
    raise AssertionError("the iteration ended")
