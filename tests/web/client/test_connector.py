"""How the browser client connects, in Node: sockets, requests and timers are a test's."""

from itertools import pairwise
from typing import Any

import pytest

from node import TIME, node

STAGE = """
    Math.random = () => 1;
    const log = [], sockets = [], errors = [], tries = [];
    const config = {room: 'lobby', mode: 'socket', moods: ['calm'], heartbeat_ms: 30000, ping_ms: 20000};
    const presence = {type: 'presence', room: 'lobby', count: 7, low: 7, high: 7, method: 'counted', sample_rate: 0, epoch: 1,
      as_of_ms: 1, stale_after_ms: 1000, poll_ms: 30000};
    let answers = {};  // by the end of a URL, instead of these: a body, a status, or null for no network
    globalThis.fetch = async (url, init) => {
      const end = Object.keys(answers).find((end) => url.endsWith(end));
      const answer = end === undefined ? (url.endsWith('/config') ? config : presence) : answers[end];
      log.push([nowMs, url.slice(url.lastIndexOf('/') + 1), init?.cache].filter((part) => part !== undefined));
      if (answer === null) throw new TypeError('no network');
      if (typeof answer === 'number') return new Response('{"error": {"code": "no", "message": "never"}}', {status: answer});
      return new Response(JSON.stringify(answer));
    };
    globalThis.AbortSignal.timeout = () => undefined;
    let onSocket = () => {};
    globalThis.WebSocket = class {
      constructor() { this.sent = []; sockets.push(this); log.push([nowMs, 'socket']); queueMicrotask(() => onSocket(this)); }
      send(text) { this.sent.push(JSON.parse(text)); }
      close(code) { this.closed ??= code; }
      receive(message) { this.onmessage?.({data: JSON.stringify(message)}); }
    };
    const opens = (socket) => { socket.onopen(); socket.receive(presence); };
    const refuses = (socket) => socket.onclose({code: 1006, reason: ''});
    const freshness = Object.assign(new EventTarget(), {
      transport: null, received: [], receive({count}, transport) { this.transport = transport; this.received.push(count); },
      disconnect() { this.transport = null; }, setClock() {},
    });
    const visit = new AbortController();
    let connector, over = false;
    const start = (changes = {}) => {
      connector = new it.Connector({url: 'http://room.example/', room: 'lobby', observe: false,
        mood: () => null, freshness, ...changes});
      connector.on({error: ({code}) => errors.push(code)});
      connector.run(visit.signal, () => (tries.push(nowMs), 'v')).then(() => { over = true; });
    };
    const requests = () => log.splice(0).map(([, ...what]) => what.join(' '));
"""


def run(steps: str, *given: Any) -> Any:
    return node("connector.js", f"await (async () => {{ {TIME} {STAGE} {steps} }})()", *given)


def test_a_room_of_connections_gets_a_socket() -> None:
    """After the config a socket is opened, and its presences are received; a change of mood goes over it."""
    assert run("""
        onSocket = opens; start(); await turns();
        connector.send({type: 'mood', mood: 'calm'});
        return [requests(), freshness.received, freshness.transport, sockets[0].sent.map(({type}) => type)];
    """) == [["config default", "socket"], [7], "socket", ["join", "time", "mood"]]


def test_a_polled_room_opens_no_socket() -> None:
    """Where the config or the page wants polls, the presence is polled; the page's option goes before the
    config.
    """
    assert run("start({mode: 'poll'}); await turns(); return [requests(), freshness.transport];") == [
        ["config default", "lobby"],
        "polling",
    ]
    assert run("config.mode = 'poll'; start(); await turns(); return requests();") == [
        "config default",
        "lobby",
    ]
    assert run("config.mode = 'poll'; start({mode: 'socket'}); await turns(); return requests();") == [
        "config default",
        "socket",
    ]


def test_where_sockets_are_refused_it_polls_and_tries_one_again_later() -> None:
    """Two sockets that will not open although HTTP works are enough: then polls, and after these fail one
    socket, and polls.
    """
    assert run("""
        onSocket = refuses; start(); await passSlowly(4000);
        const first = [requests(), freshness.transport];
        answers = {'/lobby': null}; await passSlowly(5000); answers = {}; await passSlowly(4000);
        return [first, requests(), freshness.transport];
    """) == [
        [["config default", "socket", "config no-store", "socket", "config no-store", "lobby"], "polling"],
        ["lobby", "socket", "config no-store", "lobby"],
        "polling",
    ]


def test_polls_in_place_of_a_socket_come_every_five_seconds() -> None:
    """In a room of connections the presence is read every 5 s, within a
    tenth, however seldom the room says.
    """
    times = run("""
        onSocket = refuses; start(); await passSlowly(30000);
        return log.filter(([, what]) => what === 'lobby').map(([atMs]) => atMs);
    """)
    gaps = {later - earlier for earlier, later in pairwise(times)}
    assert gaps == {5_500}
    assert len(times) == 5


def test_without_any_network_sockets_are_not_given_up() -> None:
    """Where HTTP fails as well nothing is known of sockets: however
    often that is, the next attempt is one.
    """
    assert run("""
        onSocket = refuses; start(); await turns(); answers = {'/config': null};
        await passSlowly(120000); requests(); answers = {}; onSocket = opens; await passSlowly(60000);
        return [requests()[0], freshness.transport];
    """) == ["socket", "socket"]


def test_the_waits_double_until_a_presence_came() -> None:
    """The waits are random up to 1, 2, 4, … 30 s; once a presence came, from 1 s on again."""
    assert run("""
        answers = {'/config': null}; start(); await passSlowly(100000);
        return tries.slice(1).map((atMs, index) => atMs - tries[index]);
    """) == [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
    assert (
        run("""
        onSocket = (socket) => { opens(socket); setTimeout(() => refuses(socket), 500); };
        start(); await passSlowly(6000);
        return tries.slice(1).map((atMs, index) => atMs - tries[index]);
    """)
        == [1_500] * 4
    )


def test_the_servers_wait_is_kept_to_the_millisecond() -> None:
    """The time in a close is kept as it is, without jitter."""
    assert run("""
        onSocket = (socket) => { opens(socket); socket.onclose({code: 1012, reason: '{"retry_ms": 12345}'}); };
        start(); await turns(); pass(12344); await turns(); const before = tries.length; pass(1); await turns();
        return [before, tries.length];
    """) == [1, 2]


@pytest.mark.parametrize("how", ["answers = {'/config': 400};", "onSocket = (socket) => socket.onclose({code: 4500, reason: ''});"])  # fmt: skip
def test_it_stops_when_the_server_says_so(how: str) -> None:
    """A final error is one `error` event, after `stopped`, and no attempt follows."""
    steps = "start(); connector.on({stopped: () => stopped.push(errors.length)}); await passSlowly(60000);"
    errors, stopped, over, tries = run(
        f"const stopped = []; {how} {steps} return [errors, stopped, over, tries.length];"
    )
    assert (len(errors), stopped, over, tries) == (1, [0], True, 1)


def test_the_default_room_is_named_by_its_config() -> None:
    """Without a name the config of the default room has it, however long that takes, and the room's URL
    follows.
    """
    assert run("""
        answers = {'/config': null}; start({room: ''});
        visit.abort(); const own = new AbortController(), named = connector.fetchName(own.signal);
        const before = [connector.isNamed, connector.address.slice(-9)]; await passSlowly(2000);
        answers = {}; await passSlowly(8000); await named;
        return [...before, connector.isNamed, connector.address, sockets.length];
    """) == [False, "/_default", True, "http://room.example/v1/rooms/lobby", 0]


def test_a_new_network_is_tried_at_once_with_a_socket() -> None:
    """When the network comes back the pause ends, and sockets that were refused in another network are tried
    again.
    """
    assert run("""
        onSocket = refuses; start(); await passSlowly(4000); const polling = freshness.transport;
        connector.goOffline(); await turns(); const lost = freshness.transport; requests();
        onSocket = opens; connector.goOnline(); await turns();
        return [polling, lost, requests(), freshness.transport];
    """) == ["polling", None, ["socket"], "socket"]


def test_losing_the_network_does_not_end_a_room_without_a_server() -> None:
    """In `offline` mode there is no connection to lose."""
    assert run("""
        answers = {'history.json': {room: 'lobby', hours: []}};
        start({mode: 'offline', history: 'http://room.example/history.json'}); await turns();
        for (let turn = 0; freshness.transport === null && turn < 1000; turn++) await new Promise((resolve) => setImmediate(resolve));
        const before = freshness.transport; connector.goOffline(); await turns();
        return [before, freshness.transport, over];
    """) == ["history", "history", False]


def test_a_visit_that_ended_meanwhile_does_not_connect() -> None:
    """When the visit ends while the config is on its way nothing is opened; nor does anything follow an open
    socket's end.
    """
    assert run("""
        start(); visit.abort(); await passSlowly(60000); return [requests(), over];
    """) == [["config default"], True]
    assert run("""
        onSocket = opens; start(); await turns(); visit.abort(); await passSlowly(60000);
        return [sockets.length, sockets[0].closed, over];
    """) == [1, 1_000, True]


def test_an_unknown_mood_is_forgotten_and_the_visit_goes_on() -> None:
    """`unknown_mood` is an error and no end: the mood is to be forgotten, and the next attempt joins without
    it.
    """
    assert run("""
        let mood = 'envy'; const error = {code: 'unknown_mood', message: 'no'};
        onSocket = (socket) => { socket.onopen(); if (mood) socket.receive({type: 'error', error}); else socket.receive(presence); };
        start({mood: () => mood}); connector.on({forget: () => { mood = null; }}); await passSlowly(2000);
        return [errors, sockets.map(({sent}) => sent[0].mood ?? null), freshness.transport];
    """) == [["unknown_mood"], ["envy", None], "socket"]


def test_the_urls_follow_from_that_of_the_server() -> None:
    """The server's URL loses its query and the slashes at its end; without a server the room is the lobby; an
    invalid URL throws.
    """
    base = run("""
        const at = (url, options) => new it.Connector({url, ...options});
        const thrown = (make) => { try { make(); } catch (error) { return error.name; } };
        const {base, address} = at('https://room.example/live//?x=1', {room: 'a room'});
        return [base, address, at('https://room.example', {mode: 'offline'}).room, at('https://room.example', {}).isNamed,
                thrown(() => at('ftp://room.example')), thrown(() => at('https://')), thrown(() => at('https://a.example', {history: 'https://'}))];
    """)
    assert base == [
        "https://room.example/live",
        "https://room.example/live/v1/rooms/a%20room",
        "lobby",
        False,
        *["TypeError"] * 3,
    ]


def test_a_config_without_a_name_is_none() -> None:
    """
    A proxy between a client and its server may respond with JSON of its own. The room was then called
    `undefined`, for good.
    """
    assert run("""
        answers = {'/config': {portal: 'log in'}}; start({room: ''});
        visit.abort(); const own = new AbortController(), named = connector.fetchName(own.signal);
        await passSlowly(2000); const before = connector.isNamed; answers = {}; await passSlowly(8000); await named;
        return [before, connector.address];
    """) == [False, "http://room.example/v1/rooms/lobby"]


def test_a_wait_that_is_too_long_for_a_timer_is_kept() -> None:
    """A timer of more than 2^31 ms fires at once: a server that asked for a wait of a month was connected to
    again and again.
    """
    assert run("""
        onSocket = (socket) => { opens(socket); socket.onclose({code: 1013, reason: '{"retry_ms": 2678400000}'}); };
        const waits = [], set = globalThis.setTimeout;
        globalThis.setTimeout = (act, ms) => { waits.push(ms); return set(act, ms); };
        start(); await turns(); return [tries.length, Math.max(...waits) < 2 ** 31];
    """) == [1, True]


def test_polls_that_succeed_do_not_keep_it_from_sockets() -> None:
    """
    Sockets may open again while polls in their place succeed: a proxy was reconfigured, or a server was full
    for a moment. The stream that was the fallback before broke with every restart, and a socket followed;
    polling went on until the page was closed.
    """
    before, later, transport = run("""
        onSocket = refuses; start(); await passSlowly(4000); requests();
        await passSlowly(590000, 1000); const before = requests(); onSocket = opens; await passSlowly(620000, 1000);
        return [before, requests(), freshness.transport];
    """)
    assert set(before) == {"lobby"}
    assert later.count("socket") == 1
    assert later[-1] == "socket"
    assert transport == "socket"
