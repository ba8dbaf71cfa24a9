"""The room of the Python client: joining, reconnecting, moods and leaving."""

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection

from breathing_room.client import RefusedError, Room, Timing, UnreachableError, connect
from breathing_room.core.errors import ClientError, HostError
from breathing_room.core.presence import Presence
from breathing_room.core.wire import PING, PONG
from harness import Serve, ServerProcess
from program import program
from scripted_server import CONFIG, Script, answer_pings, breaks, closes, presence, says, scripted
from waiting import PATIENCE_S, first, until

QUICK = Timing(backoff_base_s=0.05, backoff_cap_s=0.2, answer_s=5.0)
VISITOR = "a-visitor-0123456789abcdef"


def status(room: Room) -> tuple[str, str | None]:
    """The state and the connection error of a room."""
    return room.state, room.connection_error


# --- With a server of our own making ----------------------------------------------------------------------


async def test_the_join_message_has_the_id_and_the_mood() -> None:
    """It is the first message of a connection."""
    script = Script(says(presence()))
    async with scripted(script) as url, connect(url, mood="release", visitor=VISITOR) as room:
        await first(room)
    assert script.joins == [{"type": "join", "visitor": VISITOR, "mood": "release"}]


async def test_a_random_id_is_drawn_for_each_room() -> None:
    """Two rooms without a given id are two visitors, and without a mood none is sent."""
    script = Script(says(presence()))
    async with scripted(script) as url:
        for _ in range(2):
            async with connect(url) as room:
                await first(room)
    ids = {join["visitor"] for join in script.joins}
    assert len(ids) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22,64}", one) for one in ids)
    assert not any("mood" in join for join in script.joins)


async def test_an_observer_sends_no_id() -> None:
    """Its only message is `observe`."""
    script = Script(says(presence()))
    async with scripted(script) as url, connect(url, observe=True) as room:
        assert (await first(room)).count == 3
    assert script.joins == [{"type": "observe"}]


async def test_the_latest_wins_over_a_slow_consumer() -> None:
    """A loop that was busy during fifty presences gets the last of them next, and no queue."""
    script = Script(says(*(presence(as_of_ms=step) for step in range(50))))
    async with scripted(script) as url, connect(url) as room:
        presences = aiter(room)
        await anext(presences)
        await until(lambda: room.presence is not None and room.presence.as_of_ms == 49)
        assert (await anext(presences)).as_of_ms == 49
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(presences), 0.05)


async def test_the_displayed_count_on_a_socket_is_the_count() -> None:
    """At once: changes are pushed as they happen, so there is nothing to interpolate."""
    counts = (presence(), presence(count=9, high=9))
    async with scripted(Script(says(*counts))) as url, connect(url) as room:
        assert room.displayed_count() is None
        await first(room, lambda seen: seen.count == 9)
        assert room.displayed_count() == 9


async def test_two_consumers_get_the_same() -> None:
    """Each iteration has its own position: none takes a presence away from another."""
    async with scripted(Script(says(presence()))) as url, connect(url) as room:
        assert await first(room) == await first(room)


async def test_a_malformed_message_is_logged_and_skipped(caplog: pytest.LogCaptureFixture) -> None:
    """It is a line in the log, and the next good message counts."""
    script = Script(says("{", presence(count=-1), '{"type": "news"}', presence(count=4)))
    with caplog.at_level(logging.WARNING):
        async with scripted(script) as url, connect(url) as room:
            assert (await first(room)).count == 4
    assert len([record for record in caplog.records if record.name == "breathing_room.client"]) == 2


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1009, 4500, 4501])
async def test_a_final_close_is_raised(code: int) -> None:
    """
    A code that forbids a reconnect ends the iteration with an error that names it, and the client does not
    reconnect.
    """
    script = Script(closes(code, "", presence()))
    async with scripted(script) as url, connect(url, timing=QUICK) as room:
        with pytest.raises(RefusedError, match=str(code)) as raised:
            await first(room, lambda _: False)
        with pytest.raises(RefusedError):
            await room.set_mood("release")
    assert raised.value.code == f"close_{code}"
    assert len(script.joins) == 1


async def test_a_normal_closure_ends_the_iteration() -> None:
    """After a close with 1000 the client does not reconnect, and there is no error."""
    script = Script(closes(1000, "", presence()))
    async with scripted(script) as url, connect(url, timing=QUICK) as room:
        assert [seen.count async for seen in room] == [3]
    assert len(script.joins) == 1


async def test_a_restart_is_waited_for_as_long_as_the_server_says() -> None:
    """
    The reason of 1012 has the wait; the client reconnects after it, as the same visitor, in the same
    iteration.
    """
    script = Script(closes(1012, '{"retry_ms": 400}', presence()), says(presence(count=4)))
    async with scripted(script) as url, connect(url, timing=QUICK) as room:
        assert (await first(room, lambda seen: seen.count == 4)).method == "counted"
    assert 0.4 <= script.came_at_s[1] - script.came_at_s[0] < 2
    assert script.joins[0] == script.joins[1]


async def test_a_reset_connection_is_opened_again() -> None:
    """After a reset the client reconnects with jitter, and the state stays live when that was soon enough."""
    script = Script(breaks(presence()), breaks(presence()), says(presence(count=4)))
    async with scripted(script) as url, connect(url, timing=QUICK) as room:
        methods = set()

        def back(seen: Presence) -> bool:
            methods.add(seen.method)
            return seen.count == 4

        await first(room, back)
        assert methods == {"counted"}
    assert len(script.joins) == 3


async def test_a_lost_presence_becomes_stale() -> None:
    """
    It stays live for its `stale_after_ms`, is then yielded once more as stale, and is live again after a
    reconnect.
    """
    loop = asyncio.get_running_loop()
    async with scripted(Script(breaks(presence(stale_after_ms=300)))) as url:
        room = connect(url, timing=Timing(backoff_base_s=0.5, backoff_cap_s=0.5))
        port = int(url.rsplit(":", 1)[1])
        await room.__aenter__()
        await first(room)
        received_at_s = loop.time()
        assert status(room)[0] == "live"
    stale = await first(room, lambda seen: seen.method == "stale")
    assert 0.25 <= loop.time() - received_at_s < 5
    assert stale.count == 3
    assert status(room)[0] == "stale"
    await until(lambda: room.connection_error == "connection refused")
    async with scripted(Script(says(presence())), port=port):
        assert (await first(room, lambda seen: seen.method == "counted")).count == 3
        assert status(room) == ("live", None)
        await room.leave()


async def test_an_unknown_count_is_an_unknown_state() -> None:
    """What the server does not know is never shown as a number."""
    unknown = presence(count=None, high=None, method="unknown", label="unknown", low=0, moods={}, unspoken=0)
    async with scripted(Script(says(unknown))) as url, connect(url) as room:
        assert (await first(room)).count is None
        assert room.state == "unknown"


async def test_a_server_that_does_not_answer_is_noticed() -> None:
    """
    A connection on which pings stay unanswered counts as dead, and another one is opened; it is cut without a
    leave, which would end the visit if the server were only slow.
    """

    codes: list[int | None] = []

    async def silence(socket: ServerConnection) -> None:
        await socket.send(presence())
        await socket.wait_closed()
        codes.append(socket.close_code)

    script = Script(silence, says(presence(count=4)))
    timing = Timing(backoff_base_s=0.05, answer_s=0.2, close_s=0.1)
    async with scripted(script) as url, connect(url, timing=timing) as room:
        await first(room, lambda seen: seen.count == 4)
        await until(lambda: codes == [1006])


async def test_a_room_without_changes_is_not_a_dead_connection() -> None:
    """While pings are answered the connection stays, however long nothing changes."""
    script = Script(says(presence(stale_after_ms=100)))
    timing = Timing(ping_s=0.05, answer_s=0.3, backoff_base_s=0.01)
    async with scripted(script) as url, connect(url, timing=timing) as room:
        await first(room)
        await asyncio.sleep(1.0)  # Three times as long as a silence may last.
        assert room.state == "live"
    assert len(script.joins) == 1


async def test_a_ping_is_sent_every_ping_ms_of_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a time of the program's own the interval is the room's."""
    monkeypatch.setitem(CONFIG, "ping_ms", 200)
    pinged_at_s: list[float] = []

    async def scene(socket: ServerConnection) -> None:
        await socket.send(presence())
        async for text in socket:
            if text == PING.decode():
                pinged_at_s.append(asyncio.get_running_loop().time())
                await socket.send(PONG.decode())

    async with scripted(Script(scene)) as url, connect(url) as room:
        await first(room)
        await until(lambda: len(pinged_at_s) == 4)
    assert 0.55 <= pinged_at_s[3] - pinged_at_s[0] < 5, "three intervals, on a machine that may be busy"


async def test_the_time_is_the_servers() -> None:
    """Requests for the time show how far the server's clock is ahead, within the round trip of a loopback."""

    async def an_hour_ahead(socket: ServerConnection) -> None:
        await socket.send(presence())
        await answer_pings(socket, ahead_ms=3_600_000)

    async with scripted(Script(an_hour_ahead)) as url, connect(url) as room:
        before_ms = room.server_now_ms()
        await until(lambda: room.server_now_ms() - before_ms > 3_500_000)
        await until(lambda: abs(room.server_now_ms() - before_ms - 3_600_000) < 1_000)


class Moods:
    """A scene of a room with one mood, which keeps the moods that it received."""

    def __init__(self) -> None:
        self.received: list[str] = []

    async def __call__(self, socket: ServerConnection) -> None:
        await socket.send(presence())
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "time":
                await socket.send(json.dumps(message | {"now_ms": 1}))
            elif message["mood"] == "release":
                self.received.append(message["mood"])
            elif message["mood"] == "break":
                socket.transport.abort()
            else:
                error = {"code": "unknown_mood", "message": "mood must be release", "status": 400}
                await socket.send(json.dumps({"type": "error", "error": error}))


async def test_set_mood_returns_when_the_server_has_the_mood() -> None:
    """It waits for the answer to the request for the time behind it."""
    moods = Moods()
    async with scripted(Script(moods)) as url, connect(url) as room:
        await first(room)
        await room.set_mood("release")
        assert moods.received == ["release"]


async def test_an_unknown_mood_raises_and_changes_nothing() -> None:
    """Only the call that sent it raises, the connection goes on, and the next join has the mood before."""
    script = Script(Moods())
    async with scripted(script) as url, connect(url, timing=QUICK) as room:
        await first(room)
        await room.set_mood("release")
        changes = [room.set_mood("melancholy"), room.set_mood("release"), room.set_mood("dread")]
        results = await asyncio.gather(*changes, return_exceptions=True)
        assert [getattr(result, "code", None) for result in results] == ["unknown_mood", None, "unknown_mood"]
        await room.set_mood("break")  # The connection is lost with it, which is no error of the mood.
        await until(lambda: len(script.joins) == 2)
    assert [join.get("mood") for join in script.joins] == [None, "break"]


async def test_a_mood_without_a_connection_is_sent_with_the_join() -> None:
    """It is kept, and `set_mood` does not wait for the server."""
    script = Script(says(presence()))
    async with scripted(script) as url, connect(url) as room:
        await room.set_mood("release")
        await first(room)
    assert script.joins[0]["mood"] == "release"


async def test_a_join_with_an_unknown_mood_raises() -> None:
    """A join that was rejected for its content would be rejected the next time as well."""

    async def refuse(socket: ServerConnection) -> None:
        error = {"code": "unknown_mood", "message": "mood must be release", "status": 400}
        await socket.send(json.dumps({"type": "error", "error": error}))
        await socket.wait_closed()

    async with scripted(Script(refuse)) as url, connect(url, mood="melancholy", timing=QUICK) as room:
        with pytest.raises(RefusedError, match="mood must be release"):
            await first(room)


async def test_a_server_that_is_not_there_is_waited_for(unused_tcp_port: int) -> None:
    """
    Entering works, the connection error says why there is no presence, and the first one comes when the
    server does.
    """
    async with connect(f"http://127.0.0.1:{unused_tcp_port}", timing=QUICK) as room:
        await until(lambda: room.connection_error == "connection refused")
        assert (room.presence, room.state) == (None, "unknown")
        async with scripted(Script(says(presence())), port=unused_tcp_port):
            assert (await first(room)).count == 3
            await room.leave()


async def test_attempts_may_be_limited(unused_tcp_port: int) -> None:
    """After so many failures in a row the iteration raises why."""
    async with connect(f"http://127.0.0.1:{unused_tcp_port}", timing=QUICK, attempts_max=3) as room:
        with pytest.raises(UnreachableError, match="connection refused"):
            await first(room)


async def test_a_wrong_url_is_a_warning(unused_tcp_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """
    U9: the first attempt that fails is a warning with URL and reason; those after it are none, a password is
    never shown.
    """
    address = f"127.0.0.1:{unused_tcp_port}"
    timing = Timing(backoff_base_s=0.01, backoff_cap_s=0.01)
    async with connect(f"http://ann:secret@{address}/here", timing=timing, attempts_max=3) as room:
        with pytest.raises(UnreachableError) as raised:
            await first(room)
        assert repr(room) == f"<Room at http://{address}/here: unknown; connection refused>"
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warned == [f"no connection to http://{address}/here: connection refused; trying again"]
    assert str(raised.value) == f"no answer from http://{address}/here: connection refused"
    assert (raised.value.url, raised.value.reason) == (f"http://{address}/here", "connection refused")
    assert "secret" not in caplog.text


@pytest.mark.slow
def test_a_script_with_a_wrong_url_prints_why_it_waits(unused_tcp_port: int) -> None:
    """U9: also without any configuration of logging."""
    url = f"http://127.0.0.1:{unused_tcp_port}"
    script = f"""
import asyncio, breathing_room

async def main():
    async with breathing_room.connect({url!r}) as room:
        async for presence in room:
            print(presence.label)

asyncio.run(main())
"""
    with program([sys.executable, "-c", script], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        assert process.stderr.readline() == f"no connection to {url}: connection refused; trying again\n"
        watchdog.cancel()


async def test_a_lost_connection_is_a_warning_when_the_reconnect_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """U9: a connection that ends is information; the first attempt after it that fails is the one warning."""
    async with contextlib.AsyncExitStack() as serving:
        url = await serving.enter_async_context(scripted(Script(says(presence()))))
        with caplog.at_level(logging.INFO, logger="breathing_room.client"):
            async with connect(url, timing=QUICK, attempts_max=3) as room:
                await first(room)
                assert repr(room) == f"<Room lobby at {url}: 3 (counted)>"
                await serving.aclose()
                with pytest.raises(UnreachableError):
                    await first(room, lambda _: False)
    ours = [record for record in caplog.records if record.name == "breathing_room.client"]
    said = [(record.levelname, record.getMessage()) for record in ours if "connection" in record.msg]
    assert [level for level, _ in said] == ["INFO", "WARNING"]
    # While it closes it may still answer, with 503.
    assert re.fullmatch(rf"no connection to {url}: .+; trying again", said[1][1])


async def test_a_url_without_rooms_is_rejected(server: ServerProcess) -> None:
    """A path below which there is no room raises instead of being tried for ever."""
    async with connect(f"{server.url}/no/such/path", timing=QUICK) as room:
        with pytest.raises(RefusedError) as raised:
            await first(room)
    assert raised.value.status == 404


@asynccontextmanager
async def hanging_server() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that accepts the handshake, and then never reads or sends again."""
    shaken, over = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/config HTTP" in head:
            body = json.dumps(CONFIG).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
            writer.close()
            return
        key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        upgrade = b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        writer.write(upgrade + accept + b"\r\n\r\n")
        await writer.drain()
        shaken.set()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", shaken
    finally:
        over.set()
        server.close()
        await server.wait_closed()


async def test_leaving_does_not_wait_for_a_server_that_hangs() -> None:
    """A leave may take a second."""
    loop = asyncio.get_running_loop()
    async with hanging_server() as (url, shaken):
        async with connect(url), asyncio.timeout(PATIENCE_S):
            await shaken.wait()
            left_at_s = loop.time()
        assert loop.time() - left_at_s < 3


async def test_leaving_closes_normally_and_ends_the_iteration() -> None:
    """The close code is 1000, and leaving twice is leaving once."""
    codes: list[int | None] = []

    async def scene(socket: ServerConnection) -> None:
        await says(presence())(socket)
        codes.append(socket.close_code)

    async with scripted(Script(scene)) as url, connect(url) as room:
        async for _ in room:
            await room.leave()
            await room.leave()
        with pytest.raises(HostError):
            await room.set_mood("release")
        await until(lambda: codes == [1000])


async def test_cancelling_the_consumer_leaves_nothing_behind() -> None:
    """A cancelled task is cancelled, not in error, and no task of ours outlives it."""
    script = Script(says(presence()))

    async def consume(url: str) -> None:
        async with connect(url) as room:
            async for _ in room:
                pass

    async with scripted(script) as url:
        others = asyncio.all_tasks()
        consumer = asyncio.create_task(consume(url))
        await until(lambda: len(script.joins) == 1)
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        await until(
            lambda: not [task for task in asyncio.all_tasks() - others if "client" in task.get_name()]
        )


async def test_misuse_raises_a_host_error() -> None:
    """
    Iterating or setting a mood before entering, entering twice, and observing with a mood are errors of the
    caller.
    """
    room = connect("http://127.0.0.1:1")
    with pytest.raises(HostError):
        await anext(aiter(room))
    with pytest.raises(HostError):
        await room.set_mood("release")
    with pytest.raises(HostError):
        connect("http://127.0.0.1:1", observe=True, mood="release")
    with pytest.raises(HostError):
        connect("http://127.0.0.1:1", visitor="short")
    async with room:
        with pytest.raises(HostError):
            await room.__aenter__()
    async with connect("http://127.0.0.1:1", observe=True) as observed:
        with pytest.raises(HostError):
            await observed.set_mood("release")


async def test_no_log_line_holds_an_address_or_an_id(caplog: pytest.LogCaptureFixture) -> None:
    """At every level, through joins, malformed messages, resets, rejections and reconnects."""
    script = Script(
        breaks(presence()), closes(4003, "127.0.0.1"), says("{", presence()), closes(4500, "127.0.0.1")
    )
    with caplog.at_level(logging.DEBUG):
        async with scripted(script) as url:
            async with connect(url, visitor=VISITOR, timing=QUICK) as room:
                await until(lambda: len(script.joins) == 3)
                await room.set_mood("release")
            async with connect(url, visitor=VISITOR, timing=QUICK) as room:
                with pytest.raises(RefusedError):
                    await first(room, lambda _: False)
        async with connect(url, timing=QUICK, attempts_max=1) as room:
            with pytest.raises(UnreachableError):
                await first(room)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("breathing_room")]
    assert len(ours) >= 4
    # The scripted server is no part of the product: what it logs itself is its own business.
    text = "\n".join(
        record.getMessage() + str(record.exc_text or "")
        for record in caplog.records
        if not record.name.startswith("websockets.server")
    )
    assert VISITOR not in text
    # The address that the program itself gave is named (U9); what a server says is not repeated.
    assert url in text
    assert "127.0.0.1" not in text.replace(url, "")


# --- With the real server ---------------------------------------------------------------------------------


async def test_people_are_counted_and_their_moods(server: ServerProcess) -> None:
    """Every connection receives the count and the moods; a change of mood is one move."""
    async with connect(server.url, mood="gratitude") as ann, connect(server.websocket_url) as bob:
        seen = await first(ann, lambda seen: seen.count == 2)
        assert (seen.moods["gratitude"], seen.unspoken, seen.method) == (1, 1, "counted")
        await bob.set_mood("release")
        seen = await first(ann, lambda seen: seen.moods["release"] == 1)
        assert (seen.count, seen.unspoken) == (2, 0)
        await bob.leave()
        assert (await first(ann, lambda seen: seen.count == 1)).low == 1


@pytest.mark.parametrize("mode", ["socket", "poll"])
async def test_the_default_room_is_the_servers(serve: Serve, mode: str) -> None:
    """
    U2: a client that names no room is in the server's default room, also where there is no other
    (``open_rooms = false``).
    """
    server = serve("--default-room", "evening", "--open-rooms", "false", "--mode", mode)
    async with connect(server.url, timing=QUICK) as room:
        seen = await asyncio.wait_for(first(room, lambda presence: presence.count == 1), PATIENCE_S)
    assert seen.room == "evening"


async def test_an_observer_is_not_counted(server: ServerProcess) -> None:
    """It sees the room, and the room does not see it."""
    async with connect(server.url, observe=True) as observer:
        assert (await first(observer)).count == 0
        async with connect(server.url) as visitor:
            await first(observer, lambda seen: seen.count == 1)
            assert (await first(visitor)).count == 1


async def test_one_visitor_on_two_connections_is_one_person(server: ServerProcess) -> None:
    """The id says who is the same."""
    async with connect(server.url, visitor=VISITOR) as one, connect(server.url, visitor=VISITOR) as other:
        await first(one)
        assert (await first(other)).count == 1


async def test_the_real_server_rejects_an_unknown_mood(server: ServerProcess) -> None:
    """In a change and in a join."""
    async with connect(server.url, mood="release") as room:
        await first(room)
        with pytest.raises(ClientError) as raised:
            await room.set_mood("melancholy")
        assert raised.value.code == "unknown_mood"
    async with connect(server.url, mood="melancholy") as room:
        with pytest.raises(RefusedError) as refused:
            await first(room)
        assert refused.value.code == "unknown_mood"


async def test_too_many_sockets_of_one_visitor_are_rejected(serve: Serve) -> None:
    """The close code of the real server is final, and says why."""
    server = serve("--connections-per-visitor-max", "1")
    async with connect(server.url, visitor=VISITOR) as one:
        await first(one)
        async with connect(server.url, visitor=VISITOR, timing=QUICK) as other:
            with pytest.raises(RefusedError, match="too many connections") as raised:
                await first(other, lambda _: False)
    assert raised.value.code == "close_4501"


async def test_the_time_of_the_real_server_is_ours(server: ServerProcess) -> None:
    """On one machine the offset is nothing but the error of the estimate."""
    async with connect(server.url) as room:
        await first(room)
        await room.set_mood("release")
        assert room._clock.error_ms is not None
        assert abs(room._clock.offset_ms) < 50


async def test_clients_reconnect_to_a_killed_server(serve: Serve) -> None:
    """After a SIGKILL the iteration goes on: never 0, and counted again once the visitor is back."""
    server = serve("--snapshot-ms", "100")
    async with connect(server.url, timing=QUICK) as room, connect(server.url, timing=QUICK) as other:
        await first(room, lambda seen: seen.count == 2)
        await asyncio.sleep(0.3)  # The first snapshot is written by then; no event says so.
        server.kill()
        await until(lambda: room.connection_error is not None and other.connection_error is not None)
        serve(port=server.port)
        counts = []
        async with asyncio.timeout(PATIENCE_S):
            async for seen in room:
                counts.append(seen.count)
                if seen.count == 2 and seen.method == "counted" and room.connection_error is None:
                    break
        assert 0 not in counts


async def test_a_stopped_server_says_when_to_reconnect(serve: Serve) -> None:
    """A graceful shutdown of the real server is a restart to its clients."""
    server = serve("--reconnect-spread-ms", "200")
    async with connect(server.url, timing=QUICK) as room:
        await first(room)
        server.stop()
        await until(lambda: room.connection_error is not None)
        assert room.connection_error in {"the server restarts", "connection refused"}
        serve(port=server.port)
        await until(lambda: room.connection_error is None)
        assert (await first(room)).count == 1
