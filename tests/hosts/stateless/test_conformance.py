"""The host's contract, as far as a room that is only a store can keep it."""

import pytest
from starlette.types import Receive, Scope, Send

from breathing_room.core.config import RoomConfig
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.controller import reconcile
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.hosts.stateless.app import stateless_app
from breathing_room.stores import MemoryStore
from breathing_room.testing import check_host
from hosts.promises import EXCEPTIONS
from inside import HandClock, listening

MAX_AGE_S = 1
SERVER = ServerConfig(presence_max_age_s=MAX_AGE_S, room=RoomConfig(lease_ms=2_000, grace_ms=500))


class Turns:
    """Several applications behind one address, which take requests in turns."""

    def __init__(self, *apps: object) -> None:
        self.apps = apps
        self.asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        await self.apps[self.asked % len(self.apps)](scope, receive, send)  # type: ignore[operator]


@pytest.mark.parametrize(("policy", "writers"), [("every", 2), ("bucketed", 1)])
async def test_writers_keep_every_promise_of_theirs(policy: str, writers: int) -> None:
    """
    Two writers over one store, which take requests in turns, pass the suite except for what needs a process,
    and so does one that writes batches; a presence is as late as their cache allows.
    """
    config = StoreModeConfig(policy=policy, server=SERVER)
    clock, store = HandClock(), MemoryStore()

    async def advance(ms: int) -> None:
        clock.ms += ms

    await reconcile(store, config, clock=clock.wall_ms)
    front = Turns(*(stateless_app(store, config, clock=clock.wall_ms) for _ in range(writers)))
    async with listening(front) as url:
        lag_ms = 1_000 * MAX_AGE_S + config.heartbeat_lag_ms
        exceptions = EXCEPTIONS["stateless front"]
        await check_host(url, advance=advance, lag_ms=lag_ms, exceptions=exceptions)
    assert front.asked > 100
