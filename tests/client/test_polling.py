"""A room that polls: the Python client over HTTP."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from breathing_room.client import RefusedError, Room, Timing, UnreachableError, connect
from breathing_room.client.errors import ConnectionLostError
from breathing_room.core.errors import ClientError
from breathing_room.core.tickets import ticket
from breathing_room.hosts.common.access.signing import sign_visitor
from harness import Serve, ServerProcess
from scripted_http import POLLED, HttpScript, answer, error, presence, scripted_http
from waiting import PATIENCE_S, first, until

QUICK = Timing(backoff_base_s=0.05, backoff_cap_s=0.2, answer_s=5.0)
VISITOR = "a-visitor-0123456789abcdef"
TICKET = ticket(VISITOR, room="lobby", epoch=0)


def script(**pages: Any) -> HttpScript:
    """A room that polls, with an answer for each of its pages."""
    usual = {"config": answer(POLLED), "heartbeat": presence(), "leave": b"HTTP/1.1 204 X\r\n\r\n"}
    return HttpScript(usual | {"lobby": presence()} | pages)


def growing(**changes: Any) -> Callable[[], bytes]:
    """A presence whose `as_of_ms` is a second later with each request."""
    asked = 0

    def answered() -> bytes:
        nonlocal asked
        asked += 1
        return presence(as_of_ms=1_000 * asked, **changes)

    return answered


# --- With a server of our own making ----------------------------------------------------------------------


async def test_a_visit_polls_reports_and_leaves() -> None:
    """
    The report has the id, the mood and the epoch of the presence; the leave follows it on the same
    connection.
    """
    server = script(
        lobby=presence(epoch=9, count=0, low=0), heartbeat=presence(epoch=9, as_of_ms=1_767_225_600_001)
    )
    async with scripted_http(server) as url, connect(url, visitor=VISITOR, mood="release") as room:
        assert (await first(room)).count == 3, "the first presence is one that counts us"
    assert [one.path.rsplit("/", 1)[1] for one in server.asked] == ["config", "lobby", "heartbeat", "leave"]
    (heartbeat,), (leave,) = server.of("heartbeat"), server.of("leave")
    assert heartbeat.body == {"visitor": VISITOR, "mood": "release", "epoch": 9}
    assert leave.body == {"visitor": VISITOR}
    assert heartbeat.connection == leave.connection


async def test_a_visitor_outside_of_the_sample_only_polls() -> None:
    """It reports neither the join nor a change of mood, and sends no leave."""
    server = script(lobby=presence(sample_rate=TICKET))
    async with scripted_http(server) as url, connect(url, visitor=VISITOR, mood="release") as room:
        await first(room)
        await room.set_mood("gratitude")
    assert [one.path.rsplit("/", 1)[1] for one in server.asked] == ["config", "lobby"]


async def test_an_observer_only_polls() -> None:
    """At a rate of 1, too."""
    server = script()
    async with scripted_http(server) as url, connect(url, observe=True) as room:
        assert (await first(room)).count == 3
    assert {one.method for one in server.asked} == {"GET"}


async def test_presences_come_as_often_as_the_room_says() -> None:
    """Each is yielded once, and the polls go over one connection, `poll_ms` times a factor apart."""
    server = script(lobby=growing(poll_ms=200, sample_rate=TICKET))
    async with scripted_http(server) as url, connect(url, visitor=VISITOR) as room:
        presences = aiter(room)
        seen = [(await anext(presences)).as_of_ms for _ in range(5)]
    assert seen == [1_000, 2_000, 3_000, 4_000, 5_000]
    polls = server.of("lobby")
    assert len({poll.connection for poll in polls}) == 1
    assert polls[4].at_s - polls[0].at_s >= 4 * 0.9 * 0.2


async def test_a_copy_elsewhere_is_read_there() -> None:
    """Polls go where the config says, reports to the server."""
    elsewhere = HttpScript({"copy.json": presence(count=4)})
    async with scripted_http(elsewhere) as other:
        server = script(
            config=answer(POLLED | {"presence_url": f"{other}/copy.json"}), heartbeat=presence(as_of_ms=2**50)
        )
        async with scripted_http(server) as url, connect(url, visitor=VISITOR) as room:
            await first(room)
    assert [len(elsewhere.of("copy.json")), len(server.of("lobby")), len(server.of("heartbeat"))] == [1, 0, 1]


async def test_set_mood_returns_when_the_mood_was_reported() -> None:
    """In the sample a report has the new mood; one that did not change is not reported again."""
    server = script(heartbeat=growing())
    async with scripted_http(server) as url, connect(url, visitor=VISITOR, mood="release") as room:
        await first(room)
        await room.set_mood("gratitude")
        assert [heartbeat.body["mood"] for heartbeat in server.of("heartbeat")] == ["release", "gratitude"]
        await room.set_mood("gratitude")
        await room.set_mood("unspoken")
    assert [heartbeat.body["mood"] for heartbeat in server.of("heartbeat")] == [
        "release",
        "gratitude",
        "unspoken",
    ]


async def test_a_mood_that_cannot_be_reported_is_reported_later() -> None:
    """`set_mood` does not wait for a server that is away, and the report is repeated."""
    server = script(heartbeat=[presence(), None, None, presence(as_of_ms=2**50)])
    async with scripted_http(server) as url, connect(url, visitor=VISITOR, timing=QUICK) as room:
        await first(room)
        await room.set_mood("gratitude")
        await until(lambda: len(server.of("heartbeat")) >= 4)
    assert {heartbeat.body.get("mood") for heartbeat in server.of("heartbeat")[1:]} == {"gratitude"}


async def test_an_unknown_mood_is_rejected_without_a_request() -> None:
    """The config names the moods: in a change `set_mood` raises, in `connect` the iteration does."""
    server = script()
    async with scripted_http(server) as url:
        async with connect(url, visitor=VISITOR, mood="release") as room:
            await first(room)
            with pytest.raises(ClientError, match="gratitude, release or unspoken"):
                await room.set_mood("melancholy")
        async with connect(url, mood="melancholy") as room:
            with pytest.raises(RefusedError, match="gratitude"):
                await first(room)
    assert [heartbeat.body["mood"] for heartbeat in server.of("heartbeat")] == ["release"]


async def test_a_report_that_was_shed_waits_for_a_poll() -> None:
    """
    If the rate has fallen meanwhile it is not repeated; until then the presence is the one that was read.
    """
    server = script(
        lobby=[presence(count=4, high=9), presence(sample_rate=TICKET, as_of_ms=2**50)],
        heartbeat=error("over_budget", 429, Retry_After="1"),
    )
    async with scripted_http(server) as url, connect(url, visitor=VISITOR, timing=QUICK) as room:
        assert (await first(room)).count == 4
        assert room.connection_error is None
        await first(room, lambda seen: seen.sample_rate < 1)
    assert len(server.of("heartbeat")) == 1
    assert server.of("lobby")[1].at_s - server.of("heartbeat")[0].at_s >= 1


async def test_a_visit_of_an_expired_epoch_begins_again() -> None:
    """After `bad_epoch` the client polls and reports with the new epoch, and the visit goes on."""
    server = script(
        lobby=[presence(epoch=1), presence(epoch=5)], heartbeat=[error("bad_epoch", 400), presence(epoch=5)]
    )
    async with scripted_http(server) as url, connect(url, visitor=VISITOR, timing=QUICK) as room:
        await until(lambda: len(server.of("heartbeat")) == 2)
        assert (await first(room)).epoch in {1, 5}
    assert [heartbeat.body["epoch"] for heartbeat in server.of("heartbeat")] == [1, 5]


async def test_a_final_error_ends_the_visit() -> None:
    """Of a poll or of a report: the same request would fail again."""
    for pages in ({"lobby": error("no_such_room", 404)}, {"heartbeat": error("unsigned_visitor", 403)}):
        code = "no_such_room" if "lobby" in pages else "unsigned_visitor"
        async with scripted_http(script(**pages)) as url, connect(url, timing=QUICK) as room:
            with pytest.raises(RefusedError) as refused:
                await first(room, lambda _: False)
            assert refused.value.code == code


async def test_responses_of_proxies_are_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A login page, half a presence, an error of a proxy: each is a connection error, and the next good response
    counts.
    """
    server = script(
        config=[answer(b"<html>"), answer(b"", status=502), answer(POLLED)],
        lobby=[answer(b"<html>"), answer({"count": 3}), None, answer(b"", status=502), presence()],
    )
    errors = set()
    record_failure = Room._record_failure

    def recording(room: Room, lost: ConnectionLostError) -> None:
        record_failure(room, lost)
        errors.add(room.connection_error)

    monkeypatch.setattr(Room, "_record_failure", recording)
    async with scripted_http(server) as url, connect(url, timing=QUICK) as room:
        await first(room)
        assert room.connection_error is None
    assert {"no room there", "no presence there"} <= errors


async def test_a_server_that_is_away_makes_the_presence_stale() -> None:
    """After its `stale_after_ms`, with the connection error; when the server is back it is live again."""
    server = script(lobby=growing(stale_after_ms=300, poll_ms=100, sample_rate=TICKET))
    async with scripted_http(server) as url:
        port = int(url.rsplit(":", 1)[1])
        room = await connect(url, visitor=VISITOR, timing=QUICK).__aenter__()
        await first(room)
        assert room.state == "live"
    assert (await first(room, lambda seen: seen.method == "stale")).count == 3
    assert (room.state, room.connection_error) == ("stale", "connection refused")
    async with scripted_http(server, port=port):
        await first(room, lambda seen: seen.method == "counted")
        assert (room.state, room.connection_error) == ("live", None)
        await room.leave()


async def test_a_copy_that_is_not_updated_becomes_stale() -> None:
    """A file server answers for ever: what counts is that the file has a newer presence."""
    server = script(lobby=presence(stale_after_ms=300, poll_ms=100, sample_rate=TICKET))
    async with scripted_http(server) as url, connect(url, visitor=VISITOR) as room:
        await first(room)
        stale = await first(room, lambda seen: seen.method == "stale")
        assert (stale.count, room.connection_error) == (3, None)


async def test_attempts_may_be_limited() -> None:
    """After so many failed polls in a row the iteration raises why."""
    server = script(lobby=answer(b"", status=503))
    async with scripted_http(server) as url, connect(url, timing=QUICK, attempts_max=3) as room:
        with pytest.raises(UnreachableError, match="503"):
            await first(room)
    assert len(server.of("lobby")) == 3


async def test_the_first_failed_poll_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """U9: it is one warning with URL and reason, until polls are answered again."""
    server = script(lobby=[answer(b"", status=503), answer(b"", status=503), growing(poll_ms=50)])
    async with scripted_http(server) as url, connect(url, timing=QUICK) as room:
        await first(room)
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warned == [f"no connection to {url}: the server answered with HTTP 503 (503); trying again"]


async def test_the_displayed_count_is_interpolated_inside_the_interval() -> None:
    """From one count to the next, and never through zero."""
    counts = [(10, 5, 15), (20, 16, 25), (30, 22, 40), (12, 10, 18)]
    server = script(
        lobby=[
            presence(count=count, low=low, high=high, as_of_ms=step, poll_ms=300, sample_rate=TICKET)
            for step, (count, low, high) in enumerate(counts)
        ]
    )
    async with scripted_http(server) as url, connect(url, visitor=VISITOR) as room:
        assert room.displayed_count() is None
        await first(room)
        displayed = set()
        async with asyncio.timeout(PATIENCE_S):
            while room.presence is None or room.presence.as_of_ms < len(counts) - 1:
                await asyncio.sleep(0.005)
                if room.presence is not None and room.presence.high is not None:
                    count = room.displayed_count()
                    assert count is not None
                    assert room.presence.low <= count <= room.presence.high
                    displayed.add(count)
        assert len(displayed) > len(counts), "there were steps in between"


async def test_leaving_does_not_wait_for_a_server_that_hangs() -> None:
    """A leave may take a second, and a report without an answer delays it by no more."""
    server = script(heartbeat=b"HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\n")
    loop = asyncio.get_running_loop()
    async with scripted_http(server) as url:
        async with connect(url):
            await until(lambda: bool(server.of("heartbeat")))
            left_at_s = loop.time()
        assert loop.time() - left_at_s < 3
        await until(lambda: not [task for task in asyncio.all_tasks() if "client" in task.get_name()])


async def test_no_log_line_holds_an_address_or_an_id(caplog: pytest.LogCaptureFixture) -> None:
    """At every level, through errors, malformed responses, cut connections, and a server that goes away."""
    server = script(
        config=[None, answer(POLLED)],
        lobby=[None, answer(b"127.0.0.1"), growing(poll_ms=50)],
        heartbeat=[None, error("over_budget", 429, Retry_After="0"), presence()],
    )
    with caplog.at_level(logging.DEBUG):
        async with scripted_http(server) as url, connect(url, visitor=VISITOR, timing=QUICK) as room:
            await until(lambda: len(server.of("heartbeat")) >= 3)
            await room.set_mood("release")
        async with connect(url, visitor=VISITOR, timing=QUICK, attempts_max=1) as room:
            with pytest.raises(UnreachableError):
                await first(room)
    ours = [record for record in caplog.records if record.name.startswith("breathing_room")]
    assert len(ours) >= 3
    text = "\n".join(record.getMessage() + str(record.exc_text or "") for record in caplog.records)
    assert VISITOR not in text
    # The address that the program itself gave is named (U9); what a server says is not repeated.
    assert "127.0.0.1" not in text.replace(url, "")


# --- With the real server ---------------------------------------------------------------------------------

FLAGS = ("--mode", "poll", "--poll-ms", "1000", "--presence-max-age-s", "1", "--stale-after-ms", "3000")


@pytest.fixture
def polled(serve: Serve) -> ServerProcess:
    """A server whose rooms poll, every second."""
    return serve(*FLAGS)


def counter(server: ServerProcess, name: str) -> float:
    """Read a total from /metrics."""
    for line in httpx.get(f"{server.url}/metrics").text.splitlines():
        if line.startswith(f"breathing_room_{name}_total "):
            return float(line.split()[1])
    raise AssertionError(name)


async def test_alone_in_a_room_is_one(polled: ServerProcess) -> None:
    """From the first presence on: not 0, and not 33."""
    async with connect(polled.url) as room:
        assert [(await first(room)).count, room.displayed_count()] == [1, 1]


async def test_people_are_counted_and_their_moods(polled: ServerProcess) -> None:
    """With the same interface as over sockets; a visitor who left is out at the next poll."""
    async with connect(polled.url, mood="gratitude") as ann, connect(polled.url) as bob:
        seen = await first(ann, lambda seen: seen.count == 2)
        assert (seen.moods["gratitude"], seen.unspoken) == (1, 1)
        await bob.set_mood("release")
        await first(ann, lambda seen: seen.moods["release"] == 1)
        await bob.leave()
        await first(ann, lambda seen: seen.count == 1)


async def test_a_visitor_on_two_connections_is_one_person(polled: ServerProcess) -> None:
    """And an observer is not counted."""
    async with connect(polled.url, visitor=VISITOR) as one, connect(polled.url, visitor=VISITOR) as other:
        await first(one)
        assert (await first(other)).count == 1
        async with connect(polled.url, observe=True) as observer:
            assert (await first(observer)).count == 1
    assert counter(polled, "reports") == 2


async def test_the_time_of_the_server_comes_from_reports(polled: ServerProcess) -> None:
    """On one machine the offset is nothing but the error of the estimate."""
    async with connect(polled.url) as room:
        await first(room)
        await until(lambda: room._clock.error_ms is not None)
        assert abs(room._clock.offset_ms) < 50


async def test_clients_reconnect_to_a_killed_server(serve: Serve) -> None:
    """The iteration goes on, never with 0, and the clients that poll are counted again."""
    server = serve(*FLAGS, "--snapshot-ms", "100")
    async with connect(server.url, timing=QUICK) as room, connect(server.url, timing=QUICK) as other:
        await first(room, lambda seen: seen.count == 2)
        await asyncio.sleep(0.3)  # The first snapshot is written by then; no event says so.
        server.kill()
        await until(lambda: room.connection_error is not None and other.connection_error is not None)
        serve(*FLAGS, port=server.port)
        await until(lambda: room.connection_error is None)
        presences = aiter(room)
        assert 0 not in [(await anext(presences)).count for _ in range(3)]


async def test_a_room_of_signed_ids_rejects_others(serve: Serve) -> None:
    """
    A visitor with a signed id is counted, and one with a random id gets `unsigned_visitor`; by poll and by
    socket.
    """
    key = "k" * 32
    signed = sign_visitor(key, "lobby")
    for mode in ("poll", "socket"):
        server = serve(*FLAGS, "--mode", mode, env={"BREATHING_ROOM_SIGNING_KEY": key})
        async with connect(server.url, visitor=signed) as room:
            assert (await first(room)).count == 1
        async with connect(server.url) as room:
            with pytest.raises(RefusedError) as refused:
                await first(room, lambda _: False)
            assert refused.value.code == "unsigned_visitor"
        server.stop()
