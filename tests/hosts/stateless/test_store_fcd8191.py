"""Stores of store mode as commit fcd8191 left them: reports under
either write policy, control and secrets.
"""

from base64 import b64decode
from typing import Any

import httpx
import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.controller import reconcile
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.hosts.stateless.app import stateless_app
from breathing_room.stores import MemoryStore
from inside import HandClock
from written import ask, read

STORY = read("stories.json")["store_mode"]


class StoredRoom:
    """A store as it was written, and one writer at a time.

    Args:
        policy: The write policy.
        written: The fixture of it.
    """

    def __init__(self, policy: str, written: dict[str, Any]) -> None:
        room = RoomConfig(heartbeat_ms=60_000, panel_size=4, rate_propagation_ms=10_000)
        server = ServerConfig(room=room, presence_max_age_s=5)
        self.config = StoreModeConfig(policy=policy, server=server, propagation_ms=20_000)
        self.began_ms = written["at_ms"]
        self.clock = HandClock(self.began_ms)
        self.store = MemoryStore(clock=self.clock.wall_ms)
        self.start_writer()

    async def keep(self, keys: dict[str, dict[str, Any]]) -> None:
        """Put the fixture's values into the store."""
        for name, kept in keys.items():
            text, until_ms = kept["text"], kept["until_ms"]
            value = b64decode(text) if name.startswith("secret/") else text.encode()
            ttl_ms = None if until_ms is None else until_ms - self.began_ms
            await self.store.put(name, value, ttl_ms=ttl_ms)

    def start_writer(self) -> None:
        """Start another writer."""
        self.app = stateless_app(self.store, self.config, clock=self.clock.wall_ms)

    async def act(self, name: str, *arguments: Any) -> str:
        """Play one scene; return the answer."""
        match name:
            case "job":
                control = await reconcile(self.store, self.config, clock=self.clock.wall_ms)
                rates = [f"{room} {about.rates[0][1]}" for room, about in control.rooms.items()]
                return ", ".join(rates) or "nothing"
            case "stop":
                await self.app.state.writer.stop()
                self.start_writer()
                return ""
            case "wait":
                self.clock.ms += arguments[0]
                return ""
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://room.example") as client:
            return await ask(client, self.began_ms, name, *arguments)


@pytest.mark.parametrize("policy", ["bucketed", "every"])
async def test_a_writer_and_reconcile_resume_from_the_store(policy: str) -> None:
    """
    Reports, leaves, the rate, expired leases and the secret are read: presences are those of then, a visitor
    who reports again is counted once, and ``reconcile`` goes on with the rate.
    """
    written = read(f"store_mode/{policy}.json")
    stored = StoredRoom(policy, written)
    await stored.keep(written["keys"])
    said = [await stored.act(*scene) for scene in STORY]
    await stored.act("stop")
    assert said == written["said"]
