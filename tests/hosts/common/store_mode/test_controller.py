"""The controller, run by run, over a store in memory."""

from collections.abc import Iterable

from breathing_room.core.config import DAY_MS, RoomConfig
from breathing_room.core.identity import VisitorKey
from breathing_room.core.tickets import TICKETS
from breathing_room.core.write_policies.every import EveryPolicy
from breathing_room.core.write_policies.records import Record, encode_records
from breathing_room.hosts.common.rooms.secrets import SECRET
from breathing_room.hosts.common.settings import ServerConfig
from breathing_room.hosts.common.store_mode.controller import reconcile
from breathing_room.hosts.common.store_mode.records import CONTROL, Control, read_control
from breathing_room.hosts.common.store_mode.settings import StoreModeConfig
from breathing_room.stores import MemoryStore

START_MS = 20_000 * DAY_MS + 1_000
CONFIG = StoreModeConfig(
    policy=EveryPolicy.name,
    server=ServerConfig(room=RoomConfig(heartbeat_ms=60_000, panel_size=100, rate_propagation_ms=10_000)),
)
LEASE_MS = CONFIG.server.room.heartbeat_lease_ms


class ControllerScene:
    """A store, a clock, and the controller over both."""

    def __init__(self, config: StoreModeConfig = CONFIG) -> None:
        self.config = config
        self.now_ms = START_MS
        self.store = MemoryStore(clock=lambda: self.now_ms)

    async def turn(self, later_ms: int = 0) -> Control:
        self.now_ms += later_ms
        return await reconcile(self.store, self.config, clock=lambda: self.now_ms)

    async def report(
        self, numbers: Iterable[int], *, room: str = "lobby", ticket: float = 0.0, here: bool = True
    ) -> None:
        """Put one batch down, as a writer does."""
        records = [
            Record(VisitorKey(number.to_bytes(16)), ticket or number / 10_000, None, self.now_ms, here=here)
            for number in numbers
        ]
        await self.store.put(
            f"reports/{room}/a/{self.now_ms}-{ticket}-{here}", encode_records(records), ttl_ms=DAY_MS
        )


async def test_what_is_returned_is_what_is_stored() -> None:
    """A turn writes what it returns, and before any report it has nothing to say of any room."""
    scene = ControllerScene()
    control = await scene.turn()
    assert control == await read_control(scene.store) == Control(as_of_ms=START_MS, epoch=20_000)


async def test_secrets_are_drawn_once_and_one_epoch_ahead() -> None:
    """There is a secret for this epoch and the next before any visitor needs it; a later turn keeps it; an
    old one goes when no stay can need it.
    """
    scene = ControllerScene()
    await scene.turn()
    first = [await scene.store.get(f"{SECRET}{epoch}") for epoch in (20_000, 20_001)]
    assert len({*first, None}) == 3
    await scene.turn(60_000)
    assert [await scene.store.get(f"{SECRET}{epoch}") for epoch in (20_000, 20_001)] == first
    await scene.turn(DAY_MS)
    assert await scene.store.get(f"{SECRET}20000") == first[0]
    await scene.turn(DAY_MS)
    assert await scene.store.get(f"{SECRET}20000") is None


async def test_a_clock_that_steps_back_takes_no_epoch_back() -> None:
    """An epoch that was published stays, also when the clock of a later run is behind."""
    scene = ControllerScene()
    await scene.turn(DAY_MS)
    assert (await scene.turn(-DAY_MS)).epoch == 20_001


async def test_a_panel_that_is_too_large_gets_a_lower_rate() -> None:
    """Four times as many seats as the panel may have lower the rate to about a quarter, and the former rate
    counts until the new one has spread.
    """
    scene = ControllerScene()
    await scene.turn()
    await scene.report(range(400))
    room = (await scene.turn(1_000)).room("lobby")
    assert 0.15 < room.rates[0][1] < 0.35
    assert room.changed_at_ms == scene.now_ms
    assert 1.0 in {rate for _, rate in room.rates[1:]}


async def test_an_expired_lease_is_recorded_once() -> None:
    """A visitor who stops reporting is noted when the lease ends, with the ticket and nothing else, and not
    again; one who leaves is not.
    """
    scene = ControllerScene()
    await scene.turn()
    await scene.report([1], ticket=0.5)
    await scene.report([2], ticket=0.25, here=False)
    began_ms = scene.now_ms
    assert (await scene.turn(LEASE_MS - 1)).room("lobby").expired == ()
    expired = (await scene.turn(60_000)).room("lobby").expired
    assert expired == ((began_ms + LEASE_MS, TICKETS // 2),)
    assert (await scene.turn(60_000)).room("lobby").expired == expired


async def test_arrivals_are_averaged_over_the_time_that_passed() -> None:
    """Reports since the last turn count once each, whether a turn comes after a second or after a minute."""
    scene = ControllerScene()
    await scene.turn()
    for number in range(10):
        scene.now_ms += 1_000
        await scene.report([number])
    room = (await scene.turn()).room("lobby")
    assert 0 < room.arrivals_per_ms < 10 / 10_000
    same = (await scene.turn()).room("lobby")
    assert same.arrivals_per_ms == room.arrivals_per_ms
    assert (await scene.turn(3_600_000)).room("lobby").arrivals_per_ms < room.arrivals_per_ms / 100


async def test_an_empty_room_is_dropped_from_the_control() -> None:
    """When the last report and the last expired lease are past, a room is not in the control, which does not
    grow with names.
    """
    scene = ControllerScene()
    await scene.report([1], room="garden")
    assert "garden" in (await scene.turn()).rooms
    assert "garden" not in (await scene.turn(2 * DAY_MS)).rooms


async def test_a_damaged_control_is_replaced() -> None:
    """A control that cannot be read is written again from what is in the store."""
    scene = ControllerScene()
    await scene.report([1])
    await scene.store.put(CONTROL, b"{")
    assert (await scene.turn()).rooms.keys() == {"lobby"}
