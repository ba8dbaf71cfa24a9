"""The browser's socket transport, run in Node over a WebSocket and timers that a test plays."""

from typing import Any

from breathing_room.core.wire import PING, may_come_back
from node import TIME, node

STAGE = """
    class Socket {
      constructor(url) { Object.assign(this, {url, sent: [], texts: [], closed: null}); Socket.last = this; }
      send(text) { this.texts.push(text); this.sent.push(JSON.parse(text)); }
      close(code) { this.closed ??= code; }
    }
    globalThis.WebSocket = Socket;
    const ending = new AbortController(), log = [];
    const place = {address: 'https://room.example/v1/rooms/lobby', config: {}, observe: false,
      self: () => ({visitor: 'v', mood: 'calm'})};
    let ended = null, transport;
    const start = (changes = {}) => {
      transport = new it.SocketTransport(Object.assign(place, changes));
      transport.on({
        presence: ({count}) => log.push(['presence', count]), time: ({sentMs, nowMs}) => log.push(['clock', sentMs, nowMs]),
        refused: ({code, forget}) => log.push(['error', code], ...(forget ? [['forget']] : [])),
      });
      transport.run(ending.signal).then((ending) => { ended = ending; });
      return Socket.last;
    };
    const settled = async () => { for (let turn = 0; turn < 5; turn++) await null; return ended; };
    const receive = (socket, message) => socket.onmessage({data: typeof message === 'string' ? message : JSON.stringify(message)});
    const PRESENCE = {type: 'presence', count: 2};
"""


def run(steps: str, *given: Any) -> Any:
    return node("socket_transport.js", f"await (async () => {{ {TIME} {STAGE} {steps} }})()", *given)


def test_it_joins_first_and_an_observer_does_not_join() -> None:
    """
    The first message is the join with visitor and mood, or `observe`; the URL is that of the room's socket.
    """
    assert run("""
        const socket = start(); socket.onopen();
        const observer = start({observe: true}); observer.onopen();
        return [socket.url, socket.sent[0], observer.sent[0]];
    """) == [
        "wss://room.example/v1/rooms/lobby/socket",
        {"type": "join", "visitor": "v", "mood": "calm"},
        {"type": "observe"},
    ]


SENT = """
    const sent = {ping: [], time: []};
    const answer = (socket) => {
      while (socket.sent.length > 1) {
        const message = socket.sent.pop();
        sent[message.type].push(nowMs);
        receive(socket, message.type === 'ping' ? {type: 'pong'} : {...message, now_ms: 7});
      }
    };
    const passWithAnswers = (socket, ms) => { for (let past = 0; past < ms; past += 100) { answer(socket); pass(100); } answer(socket); };
"""


def test_pings_and_requests_for_the_time() -> None:
    """
    The time is asked for at 0, 0.2, 0.5, 1 and 3 s; a ping is sent every `ping_ms` of the config, 20 s
    without one, from the join on.
    """
    steps = f"{SENT} const socket = start({{config: given[0]}}); socket.onopen(); passWithAnswers(socket, 60000); return sent;"
    time = [0, 200, 500, 1_000, 3_000]
    assert run(steps, {}) == {"time": time, "ping": [20_000, 40_000, 60_000]}
    assert run(steps, {"ping_ms": 7_000, "heartbeat_ms": 300_000}) == {
        "time": time,
        "ping": [7_000, 14_000, 21_000, 28_000, 35_000, 42_000, 49_000, 56_000],
    }
    assert run(steps.replace("60000", "4000"), {"ping_ms": 1_000}) == {
        "time": time,
        "ping": [1_000, 2_000, 3_000, 4_000],
    }


def test_an_interval_that_no_room_has_is_bounded() -> None:
    """
    A config of a broken server or proxy makes no flood of pings, and none so rare that the visitor's id,
    stored with each, would count as unused after half an hour.
    """
    steps = f"{SENT} const socket = start({{config: given[0]}}); socket.onopen(); passWithAnswers(socket, given[1]); return sent.ping;"
    for tiny in (-5, 0.001, 1):
        assert run(steps, {"ping_ms": tiny}, 300) == [100, 200, 300]
    nothing: list[object] = [None, 0, "soon", {}]
    for wrong in nothing:
        assert run(steps, {"ping_ms": wrong}, 20_000) == [20_000]
    assert run(steps, {"ping_ms": 28_800_000}, 1_200_000) == [600_000, 1_200_000]


def test_a_ping_is_exactly_the_constant_text() -> None:
    """The edge answers these 15 bytes without waking the room; any other spacing wakes it."""
    pings = run("""
        const socket = start({config: {ping_ms: 1000}}); socket.onopen(); pass(3000);
        return socket.texts.filter((text) => text.includes('ping'));
    """)
    assert pings == [PING.decode()] * 3
    assert len(pings[0]) == 15


def test_pings_are_sent_while_messages_arrive() -> None:
    """A ping shows the server that the client is alive: a busy room needs it as well."""
    assert run(f"""
        {SENT} const socket = start({{config: {{ping_ms: 2000}}}}); socket.onopen();
        for (let past = 0; past < 6000; past += 100) {{ receive(socket, PRESENCE); answer(socket); pass(100); }}
        answer(socket); return sent.ping;
    """) == [2_000, 4_000, 6_000]


def test_each_connection_asks_for_the_time_again() -> None:
    """
    After a reconnect the server may be another one, and the clock of a computer that slept may have been set.
    """
    assert run(f"""
        {SENT} start().onopen(); passWithAnswers(Socket.last, 30000); Socket.last.onclose({{code: 1006, reason: ''}});
        sent.time = []; start().onopen(); passWithAnswers(Socket.last, 5000); return sent.time;
    """) == [30_000, 30_200, 30_500, 31_000, 33_000]


def test_a_late_timer_of_a_visible_page_asks_for_the_time_again() -> None:
    """
    A ping that comes an interval late shows that the computer slept; in a hidden page, where timers are
    always late, it shows nothing.
    """
    steps = f"""
        {SENT} globalThis.document = {{hidden: given[0]}};
        const socket = start(); socket.onopen(); passWithAnswers(socket, 10000); sent.time = [];
        for (const timer of timers.values()) timer.atMs += 40000;
        passWithAnswers(socket, 55000); return sent;
    """
    assert run(steps, False) == {"time": [60_000, 60_200, 60_500, 61_000, 63_000], "ping": [60_000]}
    assert run(steps, True) == {"time": [], "ping": [60_000]}


def test_a_connection_without_answers_is_lost() -> None:
    """
    Where no answer comes for 10 s the connection is closed by a code that keeps the visitor, and a later
    retry may follow.
    """
    assert run("""
        const mute = start(); pass(9999); const before = mute.closed; pass(1);
        const first = [before, mute.closed, await settled()];
        const socket = start(); socket.onopen(); receive(socket, PRESENCE); pass(200 + 10000);
        return [first, socket.closed, await settled()];
    """) == [[None, 4_000, {"opened": False}], 4_000, {"opened": True}]


def test_leaving_closes_as_an_end_of_the_visit() -> None:
    """When the visit ends the socket is closed with 1000, at once, and no timer is left."""
    assert run("""
        const socket = start(); socket.onopen(); ending.abort();
        return [socket.closed, await settled(), timers.size];
    """) == [1_000, {"opened": True}, 0]


def test_messages_are_passed_on_and_malformed_ones_are_ignored() -> None:
    """Presences and the server's time are passed on; what is no JSON or of an unknown type is ignored."""
    assert run("""
        const socket = start(); socket.onopen();
        for (const message of ['{', 'null', '7', {type: 'later'}, PRESENCE, {type: 'time', sent_ms: 1, now_ms: 5}]) receive(socket, message);
        return [log, socket.closed];
    """) == [[["presence", 2], ["clock", 1, 5]], None]


def test_a_rejected_join_stops_and_an_unknown_mood_joins_again() -> None:
    """
    A join that is rejected is not repeated; after an unknown mood another connection joins without it; a
    later error is an event only.
    """
    assert run("""
        const error = (code) => ({type: 'error', error: {code, message: 'no'}});
        const refused = start(); refused.onopen(); receive(refused, error('bad_visitor'));
        const first = [await settled(), [...log]];
        const mood = start(); mood.onopen(); receive(mood, error('unknown_mood'));
        const second = [await settled(), log.splice(0)];
        const socket = start(); socket.onopen(); receive(socket, PRESENCE); receive(socket, error('unknown_mood'));
        return [first, second, log, socket.closed];
    """) == [
        [{"opened": True, "stop": True, "code": "bad_visitor", "message": "no"}, []],
        [{"opened": True}, [["error", "unknown_mood"], ["forget"]]],
        [["presence", 2], ["error", "unknown_mood"]],
        None,
    ]


def test_close_codes_mean_what_they_mean_to_the_core() -> None:
    """
    Whether a client comes back after a close code is the same here and in ``wire.py``, for every code that a
    server may send.
    """
    codes = [*range(1_000, 1_016), *range(3_000, 3_010), *range(4_000, 5_000, 20), 4_499, 4_500, 4_501, 4_999]
    stops = run(
        """
        const stops = [];
        for (const code of given[0]) { start().onclose({code, reason: ''}); stops.push((await settled()).stop); }
        return stops;
        """,
        codes,
    )
    assert stops == [not may_come_back(code) for code in codes]


def test_a_close_may_have_the_wait() -> None:
    """The reason of a close may have the wait; any other reason leaves it to the client."""
    waits = {'{"retry_ms":1500}': 1_500, '{"retry_ms":0}': 0, '{"retry_ms":-1}': None, "full": None, "": None}
    seen = run(
        """
        const waits = [];
        for (const reason of given[0]) { start().onclose({code: 1012, reason}); waits.push((await settled()).retryMs ?? null); }
        return waits;
        """,
        list(waits),
    )
    assert seen == list(waits.values())
