"""The interface of a room to a page, in Node: storage, channel, requests, sockets and timers are a test's."""

from typing import Any

from node import TIME, node

STAGE = """
    const stored = {}, channels = [], sockets = [], timeouts = [], messages = [];
    const listeners = {};
    globalThis.document = {hidden: false, addEventListener: (type, listener) => (listeners[type] = listener)};
    globalThis.localStorage = {getItem: (key) => stored[key] ?? null, setItem: (key, value) => { stored[key] = value; }};
    globalThis.BroadcastChannel = class {
      constructor() { channels.push(this); }
      postMessage(message) { messages.push(message); }
      close() {}
    };
    const config = {room: 'lobby', mode: 'socket', moods: ['calm', 'glad'], heartbeat_ms: 30000, ping_ms: 20000};
    let answer = () => {};
    globalThis.fetch = () => new Promise((resolve) => { answer = () => resolve(new Response(JSON.stringify(config))); });
    globalThis.AbortSignal.timeout = () => undefined;
    globalThis.WebSocket = class {
      constructor() { this.sent = []; sockets.push(this); }
      send(text) { this.sent.push(JSON.parse(text)); }
      close(code) { this.closed ??= code; }
    };
    Object.defineProperty(globalThis, 'navigator', {value: {sendBeacon() {}}, configurable: true});
    const settle = async () => { for (let round = 0; round < 5; round++) { await turns(); await new Promise((resolve) => setImmediate(resolve)); } };
    const storedMoods = () => Object.values(stored).map((record) => JSON.parse(record).moods);
    const moods = () => messages.filter(({type}) => type === 'mood').map(({mood}) => mood);
"""


def run(steps: str) -> Any:
    return node("client.js", f"await (async () => {{ {TIME} {STAGE} {steps} }})()")


def test_a_mood_that_is_set_before_the_room_has_a_name_is_stored_and_shared() -> None:
    """
    A client of the default room gets its name from the config. A mood that was set until then came with the
    join, but neither the next visit nor another tab had it.
    """
    assert run("""
        const room = it.join('http://room.example'); await settle();
        room.setMood('calm'); const before = [storedMoods(), moods()];
        answer(); await settle(); sockets[0].onopen();
        return [before, room.mood, sockets[0].sent[0].mood, storedMoods(), moods()];
    """) == [[[], []], "calm", "calm", [{"lobby": "calm"}], ["calm"]]


def test_a_mood_that_the_room_does_not_have_is_not_stored() -> None:
    """A mood that was set before the config came, and that it does not declare, is an error and reaches no
    other tab.
    """
    assert run("""
        const errors = [], room = it.join('http://room.example'); await settle();
        room.addEventListener('error', ({detail}) => errors.push(detail.code));
        room.setMood('envy'); answer(); await settle();
        return [errors, room.mood, storedMoods().map((stored) => stored.lobby ?? null), moods()];
    """) == [["unknown_mood"], None, [None], []]


def test_a_page_that_may_be_hidden_for_a_month_does_not_leave_at_once() -> None:
    """A timer of more than 2^31 ms fires at once: with a `hiddenMs` of a month the page left as soon as it
    was hidden.
    """
    assert run("""
        globalThis.setTimeout = (act, ms) => { timeouts.push(ms); return 1; };
        it.join('http://room.example', {room: 'lobby', hiddenMs: 31 * 86400000}); await settle();
        document.hidden = true; listeners.visibilitychange();
        return timeouts.at(-1) < 2 ** 31;
    """)


def test_a_room_that_was_left_stays_left() -> None:
    """Left twice, shown again and given a mood, a room opens nothing more."""
    assert run("""
        const room = it.join('http://room.example', {room: 'lobby'}); await settle(); answer(); await settle();
        sockets[0].onopen(); room.leave(); room.leave(); room.setMood('glad');
        await passSlowly(120000, 10000); await settle();
        return [sockets.length, sockets[0].closed, room.transport];
    """) == [1, 1_000, None]
