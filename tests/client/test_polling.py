"""A room without a socket, seen by one of the people in it."""

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
    """A presence that is a second older each time it is asked for."""
    asked = 0

    def answered() -> bytes:
        nonlocal asked
        asked += 1
        return presence(as_of_ms=1_000 * asked, **changes)

    return answered


# --- With a server of our own making ------------------------------------------------------------------------------


async def test_somebody_looks_reports_and_says_goodbye() -> None:
    """
    With id, mood and the epoch of the presence; the goodbye comes behind the report, on the same connection.
    """
    told = script(
        lobby=presence(epoch=9, count=0, low=0), heartbeat=presence(epoch=9, as_of_ms=1_767_225_600_001)
    )
    async with scripted_http(told) as url, connect(url, visitor=VISITOR, mood="release") as room:
        assert (await first(room)).count == 3, "the first presence is one that counts us"
    assert [one.path.rsplit("/", 1)[1] for one in told.asked] == ["config", "lobby", "heartbeat", "leave"]
    (heartbeat,), (leave,) = told.of("heartbeat"), told.of("leave")
    assert heartbeat.body == {"visitor": VISITOR, "mood": "release", "epoch": 9}
    assert leave.body == {"visitor": VISITOR}
    assert heartbeat.connection == leave.connection


async def test_whoever_is_not_asked_only_looks() -> None:
    """
    Not on coming, not on a change of mood, not on leaving.
    """
    told = script(lobby=presence(rate=TICKET))
    async with scripted_http(told) as url, connect(url, visitor=VISITOR, mood="release") as room:
        await first(room)
        await room.set_mood("gratitude")
    assert [one.path.rsplit("/", 1)[1] for one in told.asked] == ["config", "lobby"]


async def test_an_observer_only_looks() -> None:
    """
    Whatever the rate.
    """
    told = script()
    async with scripted_http(told) as url, connect(url, observe=True) as room:
        assert (await first(room)).count == 3
    assert {one.method for one in told.asked} == {"GET"}


async def test_presences_come_as_often_as_the_room_says() -> None:
    """
    Each is handed out once, and the polls go over one connection, poll_ms apart by a stride.
    """
    told = script(lobby=growing(poll_ms=200, rate=TICKET))
    async with scripted_http(told) as url, connect(url, visitor=VISITOR) as room:
        presences = aiter(room)
        seen = [(await anext(presences)).as_of_ms for _ in range(5)]
    assert seen == [1_000, 2_000, 3_000, 4_000, 5_000]
    polls = told.of("lobby")
    assert len({poll.connection for poll in polls}) == 1
    assert polls[4].at_s - polls[0].at_s >= 4 * 0.9 * 0.2


async def test_a_copy_elsewhere_is_read_there() -> None:
    """
    Polls go where the config says, reports to the server.
    """
    elsewhere = HttpScript({"copy.json": presence(count=4)})
    async with scripted_http(elsewhere) as other:
        told = script(
            config=answer(POLLED | {"presence_url": f"{other}/copy.json"}), heartbeat=presence(as_of_ms=2**50)
        )
        async with scripted_http(told) as url, connect(url, visitor=VISITOR) as room:
            await first(room)
    assert [len(elsewhere.of("copy.json")), len(told.of("lobby")), len(told.of("heartbeat"))] == [1, 0, 1]


async def test_a_change_of_mood_is_told_before_set_mood_returns() -> None:
    """
    By somebody who is asked; with the mood that changed.
    """
    told = script(heartbeat=growing())
    async with scripted_http(told) as url, connect(url, visitor=VISITOR, mood="release") as room:
        await first(room)
        await room.set_mood("gratitude")
        assert [heartbeat.body["mood"] for heartbeat in told.of("heartbeat")] == ["release", "gratitude"]
        await room.set_mood("gratitude")
        await room.set_mood("unspoken")
    assert [heartbeat.body["mood"] for heartbeat in told.of("heartbeat")] == [
        "release",
        "gratitude",
        "unspoken",
    ]


async def test_a_mood_that_cannot_be_told_is_told_later() -> None:
    """
    Nobody waits for a server that is away, and the report is repeated.
    """
    told = script(heartbeat=[presence(), None, None, presence(as_of_ms=2**50)])
    async with scripted_http(told) as url, connect(url, visitor=VISITOR, timing=QUICK) as room:
        await first(room)
        await room.set_mood("gratitude")
        await until(lambda: len(told.of("heartbeat")) >= 4)
    assert {heartbeat.body.get("mood") for heartbeat in told.of("heartbeat")[1:]} == {"gratitude"}


async def test_an_unknown_mood_is_refused_without_asking() -> None:
    """
    The config names the moods: in a change it is the teller's error, on coming it ends the stay.
    """
    told = script()
    async with scripted_http(told) as url:
        async with connect(url, visitor=VISITOR, mood="release") as room:
            await first(room)
            with pytest.raises(ClientError, match="gratitude, release or unspoken"):
                await room.set_mood("melancholy")
        async with connect(url, mood="melancholy") as room:
            with pytest.raises(RefusedError, match="gratitude"):
                await first(room)
    assert [heartbeat.body["mood"] for heartbeat in told.of("heartbeat")] == ["release"]


async def test_a_shed_report_looks_before_it_tries_again() -> None:
    """
    If the rate has fallen meanwhile it does not; and until then the room is shown as it was read.
    """
    told = script(
        lobby=[presence(count=4, high=9), presence(rate=TICKET, as_of_ms=2**50)],
        heartbeat=error("over_budget", 429, Retry_After="1"),
    )
    async with scripted_http(told) as url, connect(url, visitor=VISITOR, timing=QUICK) as room:
        assert (await first(room)).count == 4
        assert room.trouble is None
        await first(room, lambda seen: seen.sample_rate < 1)
    assert len(told.of("heartbeat")) == 1
    assert told.of("lobby")[1].at_s - told.of("heartbeat")[0].at_s >= 1


async def test_a_stay_of_another_epoch_begins_anew() -> None:
    """
    When the server says that it is over, we look and report again, and nobody is thrown out.
    """
    told = script(
        lobby=[presence(epoch=1), presence(epoch=5)], heartbeat=[error("bad_epoch", 400), presence(epoch=5)]
    )
    async with scripted_http(told) as url, connect(url, visitor=VISITOR, timing=QUICK) as room:
        await until(lambda: len(told.of("heartbeat")) == 2)
        assert (await first(room)).epoch in {1, 5}
    assert [heartbeat.body["epoch"] for heartbeat in told.of("heartbeat")] == [1, 5]


async def test_a_refusal_ends_the_stay() -> None:
    """
    Of a poll or a report: another one would not fare better.
    """
    for pages in ({"lobby": error("no_such_room", 404)}, {"heartbeat": error("unsigned_visitor", 403)}):
        code = "no_such_room" if "lobby" in pages else "unsigned_visitor"
        async with scripted_http(script(**pages)) as url, connect(url, timing=QUICK) as room:
            with pytest.raises(RefusedError) as refused:
                await first(room, lambda _: False)
            assert refused.value.code == code


async def test_rubbish_of_proxies_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A login page, half a presence, an error of their own: each is a trouble, and the next good answer counts.
    """
    told = script(
        config=[answer(b"<html>"), answer(b"", status=502), answer(POLLED)],
        lobby=[answer(b"<html>"), answer({"count": 3}), None, answer(b"", status=502), presence()],
    )
    troubles = set()
    fail = Room._fail

    def noting(room: Room, lost: ConnectionLostError) -> None:
        fail(room, lost)
        troubles.add(room.trouble)

    monkeypatch.setattr(Room, "_fail", noting)
    async with scripted_http(told) as url, connect(url, timing=QUICK) as room:
        await first(room)
        assert room.trouble is None
    assert {"no room there", "no presence there"} <= troubles


async def test_a_server_that_is_away_makes_the_presence_stale() -> None:
    """
    Once its validity is over, and with the trouble told; when the server is back it is live again.
    """
    told = script(lobby=growing(stale_after_ms=300, poll_ms=100, rate=TICKET))
    async with scripted_http(told) as url:
        port = int(url.rsplit(":", 1)[1])
        room = await connect(url, visitor=VISITOR, timing=QUICK).__aenter__()
        await first(room)
        assert room.state == "live"
    assert (await first(room, lambda seen: seen.method == "stale")).count == 3
    assert (room.state, room.trouble) == ("stale", "connection refused")
    async with scripted_http(told, port=port):
        await first(room, lambda seen: seen.method == "counted")
        assert (room.state, room.trouble) == ("live", None)
        await room.leave()


async def test_a_copy_that_nobody_renews_becomes_stale() -> None:
    """
    A file server answers for ever, whoever wrote the file: what counts is that it is written anew.
    """
    told = script(lobby=presence(stale_after_ms=300, poll_ms=100, rate=TICKET))
    async with scripted_http(told) as url, connect(url, visitor=VISITOR) as room:
        await first(room)
        stale = await first(room, lambda seen: seen.method == "stale")
        assert (stale.count, room.trouble) == (3, None)


async def test_attempts_may_be_limited() -> None:
    """
    After so many polls in a row that came to nothing the iteration raises why.
    """
    told = script(lobby=answer(b"", status=503))
    async with scripted_http(told) as url, connect(url, timing=QUICK, attempts_max=3) as room:
        with pytest.raises(UnreachableError, match="503"):
            await first(room)
    assert len(told.of("lobby")) == 3


async def test_the_first_poll_that_fails_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """
    U9: it is one warning with address and reason, until polls are answered again.
    """
    told = script(lobby=[answer(b"", status=503), answer(b"", status=503), growing(poll_ms=50)])
    async with scripted_http(told) as url, connect(url, timing=QUICK) as room:
        await first(room)
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warned == [f"no connection to {url}: the server answered with HTTP 503 (503); trying again"]


async def test_what_is_shown_walks_inside_of_the_interval() -> None:
    """
    From one count to the next, and never through zero.
    """
    counts = [(10, 5, 15), (20, 16, 25), (30, 22, 40), (12, 10, 18)]
    told = script(
        lobby=[
            presence(count=count, low=low, high=high, as_of_ms=step, poll_ms=300, rate=TICKET)
            for step, (count, low, high) in enumerate(counts)
        ]
    )
    async with scripted_http(told) as url, connect(url, visitor=VISITOR) as room:
        assert room.displayed_count() is None
        await first(room)
        shown = set()
        async with asyncio.timeout(PATIENCE_S):
            while room.presence is None or room.presence.as_of_ms < len(counts) - 1:
                await asyncio.sleep(0.005)
                if room.presence is not None and room.presence.high is not None:
                    count = room.displayed_count()
                    assert count is not None
                    assert room.presence.low <= count <= room.presence.high
                    shown.add(count)
        assert len(shown) > len(counts), "there were steps in between"


async def test_leaving_does_not_wait_for_a_server_that_hangs() -> None:
    """
    A goodbye may take a second, and a report that nobody answers delays it by no more.
    """
    told = script(heartbeat=b"HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\n")
    loop = asyncio.get_running_loop()
    async with scripted_http(told) as url:
        async with connect(url):
            await until(lambda: bool(told.of("heartbeat")))
            left_at_s = loop.time()
        assert loop.time() - left_at_s < 3
        await until(lambda: not [task for task in asyncio.all_tasks() if "client" in task.get_name()])


async def test_no_log_line_holds_an_address_or_an_id(caplog: pytest.LogCaptureFixture) -> None:
    """
    With every level on, through refusals, rubbish, breaks, and a server that goes away.
    """
    told = script(
        config=[None, answer(POLLED)],
        lobby=[None, answer(b"127.0.0.1"), growing(poll_ms=50)],
        heartbeat=[None, error("over_budget", 429, Retry_After="0"), presence()],
    )
    with caplog.at_level(logging.DEBUG):
        async with scripted_http(told) as url, connect(url, visitor=VISITOR, timing=QUICK) as room:
            await until(lambda: len(told.of("heartbeat")) >= 3)
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


# --- With the real server -----------------------------------------------------------------------------------------

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
    """
    From the first presence on: not 0, and not 33.
    """
    async with connect(polled.url) as room:
        assert [(await first(room)).count, room.displayed_count()] == [1, 1]


async def test_people_are_counted_and_their_moods(polled: ServerProcess) -> None:
    """
    As with sockets: the same object, the same words; whoever leaves is out at the next look.
    """
    async with connect(polled.url, mood="gratitude") as ann, connect(polled.url) as bob:
        seen = await first(ann, lambda seen: seen.count == 2)
        assert (seen.moods["gratitude"], seen.unspoken) == (1, 1)
        await bob.set_mood("release")
        await first(ann, lambda seen: seen.moods["release"] == 1)
        await bob.leave()
        await first(ann, lambda seen: seen.count == 1)


async def test_a_visitor_on_two_connections_is_one_person(polled: ServerProcess) -> None:
    """
    And an observer is nobody.
    """
    async with connect(polled.url, visitor=VISITOR) as one, connect(polled.url, visitor=VISITOR) as other:
        await first(one)
        assert (await first(other)).count == 1
        async with connect(polled.url, observe=True) as observer:
            assert (await first(observer)).count == 1
    assert counter(polled, "reports") == 2


async def test_the_time_of_the_server_is_learned_from_reports(polled: ServerProcess) -> None:
    """
    On one machine the offset is nothing but the error of the estimate.
    """
    async with connect(polled.url) as room:
        await first(room)
        await until(lambda: room._clock.error_ms is not None)
        assert abs(room._clock.offset_ms) < 50


async def test_a_killed_server_is_come_back_to(serve: Serve) -> None:
    """
    The iteration goes on, never with 0, and the people who poll are counted again.
    """
    server = serve(*FLAGS, "--snapshot-ms", "100")
    async with connect(server.url, timing=QUICK) as room, connect(server.url, timing=QUICK) as other:
        await first(room, lambda seen: seen.count == 2)
        await asyncio.sleep(0.3)  # The first snapshot is written by then, and nobody says so.
        server.kill()
        await until(lambda: room.trouble is not None and other.trouble is not None)
        serve(*FLAGS, port=server.port)
        await until(lambda: room.trouble is None)
        presences = aiter(room)
        assert 0 not in [(await anext(presences)).count for _ in range(3)]


async def test_a_signed_id_is_an_id(serve: Serve) -> None:
    """
    Where ids are signed, whoever brings one is counted, and whoever made one up is told so; by poll or by socket.
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
