"""What each connection is sent: the same script on every host, compared byte by byte."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from breathing_room.core.wire import NORMAL_CLOSURE
from hosts.common.rooms.ledger import EdgeStage, FakeStage, Ledger, ServerStage, Stage, visitor_id
from hosts.common.rooms.ledger_pairs import EdgePair, Pair, ServerPair
from schemas_of_v1 import FROM_SERVER, validate, validate_message
from virtual_loop import run_virtually

SETTINGS: dict[str, Any] = {
    "push_ms": 1_000,
    "lease_ms": 60_000,
    "grace_ms": 10_000,
    "snapshot_ms": 20_000,
    "heartbeat_ms": 30_000,
    "bad_messages_max": 3,
}

Script = Callable[[Stage], Awaitable[None]]


async def joins_in_a_burst(stage: Stage) -> None:
    """Ten visitors join within one push interval, the first alone."""
    for number in range(10):
        await stage.join(f"visitor-{number}", "release" if number % 3 else "gratitude")
        await stage.pass_ms(30)
    await stage.observe("watcher")
    await stage.pass_ms(2_500)


async def moods_in_a_burst(stage: Stage) -> None:
    """Two visitors change their moods several times within one push interval."""
    await stage.join("ann", "release")
    await stage.join("bob")
    await stage.pass_ms(3_000)
    for mood in ("gratitude", "release", "presence"):
        await stage.mood("ann", mood)
        await stage.mood("bob", mood)
        await stage.pass_ms(100)
    await stage.pass_ms(2_500)


async def a_change_is_taken_back(stage: Stage) -> None:
    """A mood goes and comes back before it is broadcast, once unseen
    and once with a connection that saw it.
    """
    await stage.join("ann", "release")
    await stage.join("bob", "release")
    await stage.pass_ms(3_000)
    await stage.mood("ann", "gratitude")
    await stage.mood("bob", "gratitude")
    await stage.mood("bob", "release")
    await stage.pass_ms(2_000)
    await stage.mood("ann", "release")
    await stage.mood("bob", "gratitude")
    await stage.observe("watcher")
    await stage.mood("bob", "release")
    await stage.pass_ms(2_500)


async def leases_end(stage: Stage) -> None:
    """Of a visitor whose connection broke the grace ends, and of one who reports the lease."""
    await stage.join("ann", "release")
    await stage.join("bob", "gratitude")
    await stage.report("polling", 0.5, "presence")
    await stage.pass_ms(2_000)
    await stage.drop("bob")
    await stage.pass_ms(12_000)
    await stage.pass_ms(100_000)


async def disconnects_and_returns(stage: Stage) -> None:
    """Connections break and come back, within the grace and after it; of two tabs one closes."""
    await stage.join("ann", "release")
    await stage.join("bob", "gratitude")
    await stage.join("ann-again", visitor="ann")
    await stage.pass_ms(2_000)
    await stage.drop("ann")
    await stage.pass_ms(1_500)
    await stage.drop("ann-again")
    await stage.pass_ms(4_000)
    await stage.join("ann-back", visitor="ann")
    await stage.pass_ms(2_000)
    await stage.drop("bob")
    await stage.pass_ms(15_000)
    await stage.join("bob-back", "release", visitor="bob")
    await stage.pass_ms(2_000)


async def unknown_after_a_crash(stage: Stage) -> None:
    """A crash before the first snapshot: nothing is known for a lease, in which one of two comes back."""
    await stage.join("ann", "release")
    await stage.join("bob", "release")
    await stage.pass_ms(3_000)
    await stage.crash()
    await stage.pass_ms(2_000)
    await stage.join("ann-back", visitor="ann")
    await stage.observe("watcher")
    await stage.pass_ms(70_000)


async def panel_and_connections(stage: Stage) -> None:
    """Reports and connections in one room; a visitor goes from one to the other, and one leaves the panel."""
    await stage.join("ann", "release")
    for number in range(5):
        await stage.report(f"polling-{number}", number / 5, "gratitude")
        await stage.pass_ms(300)
    await stage.pass_ms(2_000)
    await stage.join("polling-2")
    await stage.withdraw("polling-3")
    await stage.pass_ms(2_000)
    await stage.drop("polling-2")
    await stage.report("polling-2", 0.4)
    await stage.pass_ms(2_000)


async def the_documents_clients(stage: Stage) -> None:
    """Clients of the planning document's app beside ours: their joins, moods, pings and mistakes."""
    await stage.open_document("old", "a session", "release")
    await stage.join("ann", "gratitude")
    await stage.pass_ms(2_000)
    await stage.say("old", {"type": "mood", "mood": "gratitude"})
    await stage.say("old", '{"type": "ping"}')
    await stage.say("old", {"type": "mood", "mood": "never heard of"})
    await stage.pass_ms(2_000)
    await stage.say("old", {"type": "join", "visitor": "x"})
    await stage.pass_ms(2_000)


async def bad_messages(stage: Stage) -> None:
    """A client is answered what was wrong with each message, and closed after three."""
    await stage.join("ann", "release")
    await stage.join("bad", "release")
    await stage.pass_ms(2_000)
    await stage.say("bad", "{")
    await stage.say("bad", {"type": "mood", "mood": "never heard of"})
    await stage.say("bad", {"type": "join", "visitor": "bad-again-0123456789"})
    await stage.pass_ms(12_000)
    await stage.open("worse")
    await stage.say("worse", {"type": "mood", "mood": "release"})
    await stage.say("worse", {"type": "join", "visitor": "short"})
    await stage.say("worse", {"type": "time", "sent_ms": 5})
    await stage.say("worse", '"text"')
    await stage.pass_ms(2_000)


async def leaves(stage: Stage) -> None:
    """Visitors leave with a message and with a close; the last one hears of it."""
    for name in ("ann", "bob", "cat", "dan"):
        await stage.join(name, "release")
    await stage.pass_ms(2_000)
    await stage.leave("ann")
    await stage.pass_ms(300)
    await stage.drop("bob", NORMAL_CLOSURE)
    await stage.say("cat", {"type": "time", "sent_ms": 12.5})
    await stage.pass_ms(2_000)
    await stage.leave("cat")
    await stage.leave("dan")
    await stage.pass_ms(2_000)


async def all_in_one_turn(stage: Stage) -> None:
    """Clients join or observe and then say more in the same turn:
    nonsense until they are closed, or a leave.
    """
    join = {"type": "join", "mood": "release"}
    await stage.join("ann", "release")
    for number in range(2):  # Within the push interval, and as the first change after it.
        for name, *more in (
            ("bad", "{", "[]", '{"type":"dance"}'),
            ("leaves", {"type": "leave"}),
        ):
            await stage.open(f"{name}-{number}")
            visitor = visitor_id(f"{name}-{number}")
            await stage.say_together(f"{name}-{number}", join | {"visitor": visitor}, *more)
            await stage.pass_ms(1_500 * number)
    await stage.open("watcher")
    await stage.say_together("watcher", {"type": "observe"}, {"type": "leave"})
    await stage.pass_ms(15_000)


async def too_many_tabs(stage: Stage) -> None:
    """The visitor of too many connections is refused the last one."""
    for number in range(18):
        await stage.join(f"tab-{number}", visitor="ann")
    await stage.pass_ms(2_000)


async def nothing_is_said(stage: Stage) -> None:
    """A connection that says neither join nor observe is closed in time."""
    await stage.open("mute")
    await stage.join("ann")
    await stage.pass_ms(20_000)


SCRIPTS: tuple[Script, ...] = (
    joins_in_a_burst,
    moods_in_a_burst,
    a_change_is_taken_back,
    leases_end,
    disconnects_and_returns,
    unknown_after_a_crash,
    panel_and_connections,
    the_documents_clients,
    bad_messages,
    leaves,
    all_in_one_turn,
    too_many_tabs,
    nothing_is_said,
)


def played(script: Script, make: Callable[..., Stage], **more: Any) -> Ledger:
    """Play a script on a stage."""

    async def play() -> Ledger:
        stage = make(**SETTINGS, **more)
        await stage.start()
        try:
            await script(stage)
            return {name: list(entries) for name, entries in stage.ledger.items()}
        finally:
            await stage.stop()

    return run_virtually(play())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_every_host_sends_the_same(script: Script) -> None:
    """The server, the Worker and a platform that keeps nothing send each connection the same bytes in the
    same order, and so does an object that sleeps after every turn.
    """
    server = played(script, ServerStage)
    assert all(server.values()), "every connection is sent something"
    assert played(script, EdgeStage) == server
    assert played(script, EdgeStage, sleeps=True) == server
    assert played(script, FakeStage) == server


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_all_that_is_sent_fits_the_schemas(script: Script) -> None:
    """Every message and close reason fits its schema, and has no key that is not declared."""
    for entries in played(script, FakeStage).values():
        for entry in entries:
            if entry.startswith(b"close "):
                reason = entry.split(b" ", 2)[2]
                validate("CloseReason", reason or b"{}")
            elif b'"users":' in entry:
                presence = json.loads(entry)
                assert presence.pop("type") == "presence"
                validate("DocumentPresence", json.dumps(presence))
            else:
                validate_message(entry, FROM_SERVER)


async def two_replicas(pair: Pair) -> list[Ledger]:
    """Visitors on both, one of them on both at once, who goes from one to the other."""
    known = []
    await pair.join("ann", "ann", "release", at=0)
    await pair.join("bob", "bob", "gratitude", at=1)
    await pair.join("cat", "cat", None, at=1)
    known.append(await pair.settle())
    await pair.join("ann-again", "ann", None, at=1)
    known.append(await pair.settle())
    await pair.mood("ann-again", "presence")
    known.append(await pair.settle())
    await pair.mood("ann", "gratitude")
    known.append(await pair.settle())
    await pair.drop("ann")
    known.append(await pair.settle())
    await pair.drop("bob", NORMAL_CLOSURE)
    known.append(await pair.settle())
    await pair.drop("ann-again")
    known.append(await pair.settle())
    return known


def test_two_replicas_know_the_same_on_every_host() -> None:
    """
    On two replicas of a room, in any order of events, once all deltas have travelled each connection was last
    sent the same bytes by two nodes of a server and by two objects, but for the time.
    """
    settings = {"push_ms": 1_000, "lease_ms": 60_000, "grace_ms": 10_000, "snapshot_ms": 20_000}

    def played_by(make: Callable[..., Pair]) -> list[Ledger]:
        async def play() -> list[Ledger]:
            pair = make(**settings)
            await pair.start()
            try:
                return await two_replicas(pair)
            finally:
                await pair.stop()

        return run_virtually(play())

    server = played_by(ServerPair)
    assert [len(known) for known in server] == [3, 4, 4, 4, 3, 2, 1]
    assert played_by(EdgePair) == server
