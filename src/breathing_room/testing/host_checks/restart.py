"""Checks of a host's restarts."""

from typing import Final

from breathing_room.core.wire import RESTART
from breathing_room.testing.host_context import (
    Check,
    HostCheckContext,
    adding_to,
    expect,
    expect_presence,
    is_whole,
    matches,
    new_visitor,
    short_presence,
)
from breathing_room.testing.peer import read_object

CHECKS: Final[dict[str, Check]] = {}
check = adding_to(CHECKS, "restart", "connection")


@check("restart", "events")
async def a_restart_sends_a_retry_time(t: HostCheckContext) -> None:
    """Before a restart connections are closed with 1012 and a ``retry_ms``, and event streams end with a
    ``retry``.
    """
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
    expect(that=await stream.event() is None, seen="the stream continues after its retry")


@check("restart")
async def a_restart_keeps_its_visitors(t: HostCheckContext) -> None:
    """After a restart the visitors are counted as suspect, with the method stale, until each rejoins; then it
    is counted.
    """
    assert t.restart is not None
    visitors = [new_visitor() for _ in range(3)]
    for visitor in visitors:
        await t.join(visitor, mood=t.terms.moods[0])
    await t.restart()
    for back, visitor in enumerate(visitors):
        presence = await t.presence()
        wanted = {"count": 3, "low": back, "high": 3, "method": "stale", "moods": {t.terms.moods[0]: 3}}
        expect(that=matches(presence, wanted), seen=f"{short_presence(presence)} when {back} of 3 were back")
        expect_presence(presence, t)
        await t.join(visitor)
    await t.wait_for(count=3, low=3, high=3, method="counted", moods={t.terms.moods[0]: 3})
