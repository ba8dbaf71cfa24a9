"""The browser's socket transport, run in Node over a WebSocket and timers that a test plays."""

from typing import Any

from breathing_room.core.wire import may_come_back
from node import TIME, node

STAGE = """
    class Socket {
      constructor(url) { Object.assign(this, {url, sent: [], closed: null}); Socket.last = this; }
      send(text) { this.sent.push(JSON.parse(text)); }
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
    const hear = (socket, message) => socket.onmessage({data: typeof message === 'string' ? message : JSON.stringify(message)});
    const PRESENCE = {type: 'presence', count: 2};
"""


def run(steps: str, *given: Any) -> Any:
    return node("socket_transport.js", f"await (async () => {{ {TIME} {STAGE} {steps} }})()", *given)


def test_it_joins_first_and_an_observer_joins_nothing() -> None:
    """
    The first message is the join with visitor and mood, or the wish to observe; the address is that of the room's socket.
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


def test_heartbeats_come_fast_at_first_and_then_by_the_lease() -> None:
    """
    Five heartbeats in the first five seconds settle the clock; then one every 20 s, or every third of a shorter lease.
    """
    times = """
        const socket = start({config: given[0]}); socket.onopen();
        const beats = [];
        for (let ms = 0; ms <= 60000; ms += 100) {
          while (socket.sent.length > 1) { const beat = socket.sent.pop(); beats.push(beat.sent_ms); hear(socket, {...beat, now_ms: 7}); }
          pass(100);
        }
        return beats;
    """
    first = [0, 200, 700, 1_700, 4_700]
    assert run(times, {}) == [*first, 24_700, 44_700]
    assert run(times, {"lease_ms": 30_000}) == [*first, 14_700, 24_700, 34_700, 44_700, 54_700]


def test_silence_ends_the_connection_as_lost() -> None:
    """
    Where no answer comes for 10 s the connection is closed by a code that keeps the visitor, and a later retry may follow.
    """
    assert run("""
        const mute = start(); pass(9999); const patient = mute.closed; pass(1);
        const first = [patient, mute.closed, await settled()];
        const socket = start(); socket.onopen(); hear(socket, PRESENCE); pass(200 + 10000);
        return [first, socket.closed, await settled()];
    """) == [[None, 4_000, {"opened": False}], 4_000, {"opened": True}]


def test_leaving_closes_as_an_end_of_the_visit() -> None:
    """
    When the visit ends the socket is closed with 1000, at once, and no timer is left.
    """
    assert run("""
        const socket = start(); socket.onopen(); ending.abort();
        return [socket.closed, await settled(), timers.size];
    """) == [1_000, {"opened": True}, 0]


def test_messages_reach_the_room_and_nonsense_is_passed_over() -> None:
    """
    Presences and the server's time are passed on; what is no JSON or of an unknown type does no harm.
    """
    assert run("""
        const socket = start(); socket.onopen();
        for (const message of ['{', 'null', '7', {type: 'later'}, PRESENCE, {type: 'time', sent_ms: 1, now_ms: 5}]) hear(socket, message);
        return [log, socket.closed];
    """) == [[["presence", 2], ["clock", 1, 5]], None]


def test_a_refused_join_stops_and_a_lost_mood_comes_again() -> None:
    """
    A join that is refused is not tried again; an unknown mood is forgotten and another connection made; a later error only shows.
    """
    assert run("""
        const error = (code) => ({type: 'error', error: {code, message: 'no'}});
        const refused = start(); refused.onopen(); hear(refused, error('bad_visitor'));
        const first = [await settled(), [...log]];
        const mood = start(); mood.onopen(); hear(mood, error('unknown_mood'));
        const second = [await settled(), log.splice(0)];
        const socket = start(); socket.onopen(); hear(socket, PRESENCE); hear(socket, error('unknown_mood'));
        return [first, second, log, socket.closed];
    """) == [
        [{"opened": True, "stop": True, "code": "bad_visitor", "message": "no"}, []],
        [{"opened": True}, [["error", "unknown_mood"], ["forget"]]],
        [["presence", 2], ["error", "unknown_mood"]],
        None,
    ]


def test_close_codes_mean_what_they_mean_to_the_core() -> None:
    """
    Whether a client comes back after a close code is the same here and in ``wire.py``, for every code that a server may send.
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


def test_a_close_says_when_to_come_back() -> None:
    """
    The reason of a close may name the wait; what is no wait is left to the client's own.
    """
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
