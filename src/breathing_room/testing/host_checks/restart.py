"""What a host promises about its restarts."""

from typing import Final

from breathing_room.core.wire import RESTART
from breathing_room.testing.host_context import (
    HostCheckContext,
    Promise,
    adding_to,
    expect,
    expect_presence,
    holds,
    is_whole,
    new_visitor,
    short_presence,
)
from breathing_room.testing.peer import read_object

PROMISES: Final[dict[str, Promise]] = {}
promise = adding_to(PROMISES, "restart", "connection")


@promise("restart", "events")
async def a_restart_says_when_to_come_back(t: HostCheckContext) -> None:
    """Before a restart sockets are closed with 1012 and a ``retry_ms``, and event streams end with a ``retry``."""
    assert t.restart is not None
    person, observer, stream = await t.join(), await t.observe(), await t.stream()
    while (event := await stream.event()) is not None and read_object(event["data"])["count"] != 1:
        pass
    await t.restart()
    for socket in (person, observer):
        end = await socket.ended()
        expect(that=end.code == RESTART, seen=f"closed with {end}")
        expect(that=is_whole(read_object(end.reason).get("retry_ms")), seen=end)
    while (event := await stream.event()) is not None and "retry" not in event:
        pass
    expect(that=event is not None and event["retry"].isdecimal(), seen=f"the last event was {event}")
    expect(that=await stream.event() is None, seen="the stream goes on after its retry")


@promise("restart")
async def a_restart_is_no_exodus(t: HostCheckContext) -> None:
    """After a restart the people are there as last known, in doubt until each comes back; then they are counted."""
    assert t.restart is not None
    visitors = [new_visitor() for _ in range(3)]
    for visitor in visitors:
        await t.join(visitor, mood=t.terms.moods[0])
    await t.restart()
    for back, visitor in enumerate(visitors):
        presence = await t.presence()
        wanted = {"count": 3, "low": back, "high": 3, "method": "stale", "moods": {t.terms.moods[0]: 3}}
        expect(that=holds(presence, wanted), seen=f"{short_presence(presence)} when {back} of 3 were back")
        expect_presence(presence, t)
        await t.join(visitor)
    await t.sees(count=3, low=3, high=3, method="counted", moods={t.terms.moods[0]: 3})
