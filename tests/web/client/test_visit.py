"""Two tabs of one browser, in Node: storage, locks, channel and connection are a test's."""

from typing import Any

from node import node

STAGE = """
    class Emitter extends EventTarget {
      emit(type, detail) { this.dispatchEvent(new CustomEvent(type, {detail})); }
      on(listeners) { for (const type in listeners) this.addEventListener(type, ({detail}) => listeners[type](detail)); }
    }
    const stored = {}, channels = [], queue = [], log = [];
    globalThis.document = {};
    globalThis.localStorage = {getItem: (key) => stored[key] ?? null, setItem: (key, value) => { stored[key] = value; }};
    globalThis.BroadcastChannel = class {
      constructor() { channels.push(this); }
      postMessage(message) { for (const other of channels) if (other !== this) other.onmessage?.({data: structuredClone(message)}); }
      close() { channels.splice(channels.indexOf(this), 1); }
    };
    const next = async () => {
      if (queue.running || !queue.length) return;
      const {signal, act, resolve, reject} = queue.shift();
      if (signal.aborted) { reject(new Error('aborted')); return next(); }
      queue.running = true;
      await act(); queue.running = false; resolve(); next();
    };
    const locks = {request: (name, {signal}, act) => new Promise((resolve, reject) => { queue.push({signal, act, resolve, reject}); next(); })};
    const sendBeacon = (url, body) => { log.push(['leave', url.slice(-6), typeof JSON.parse(body).visitor]); };
    Object.defineProperty(globalThis, 'navigator', {value: {locks, sendBeacon}, configurable: true});

    class Connector extends Emitter {
      config = {moods: ['calm']}; visitor = ''; room = 'lobby'; isNamed = true; address = 'http://room.example/v1/rooms/lobby';
      constructor(tab) { super(); this.tab = tab; }
      run(signal, identify) {
        this.visitor = identify(); this.running = true; log.push([this.tab, 'runs']);
        return new Promise((resolve) => {
          this.stop = resolve;
          signal.addEventListener('abort', () => {
            if (this.running) log.push([this.tab, 'leaves']);
            this.running = false; resolve();
          });
        });
      }
      drop() { if (this.running) log.push([this.tab, 'drops']); this.running = false; }
      send() {} wake() { log.push([this.tab, 'wakes']); } disconnected() {}
      follow({config}) { log.push([this.tab, 'follows', config.moods[0]]); }
    }
    class Freshness extends Emitter {
      transport = null;
      get snapshot() { return {transport: this.transport}; }
      applySnapshot({transport}) { this.transport = transport; }
      disconnect() { this.transport = null; }
    }
    const open = (tab, options = {}) => {
      const connector = new Connector(tab), freshness = new Freshness();
      const visit = new it.Visit({connector, freshness, key: 'key', visitor: '', ...options});
      return {visit, connector, freshness};
    };
    const receive = ({connector, freshness}) => { freshness.transport = 'socket'; connector.emit('counted'); freshness.emit('presence'); };
    const settle = () => new Promise((resolve) => setTimeout(resolve));
    const logged = () => log.splice(0);
"""


def run(steps: str) -> Any:
    return node("visit.js", f"await (async () => {{ {STAGE} {steps} }})()")


def test_one_tab_connects_and_the_others_follow() -> None:
    """Of two tabs the first one connects; the other one follows its state, and the visitor is the same."""
    follows = ["second", "follows", "calm"]
    assert run("""
        const first = open('first'), second = open('second');
        first.visit.start(); second.visit.start(); await settle(); receive(first);
        const before = second.freshness.transport; receive(second); // which only follows: it broadcasts nothing
        return [logged(), before, first.connector.visitor.length];
    """) == [[["first", "runs"], follows, ["first", "wakes"], follows], "socket", 22]


def test_when_the_leading_tab_closes_the_next_connects_as_the_same_visitor() -> None:
    """The leading tab only drops its connection, no leave is sent, and the other one connects with the same
    id.
    """
    assert run("""
        const first = open('first'), second = open('second');
        first.visit.start(); second.visit.start(); await settle(); receive(first); logged();
        first.visit.end(); await settle();
        return [logged(), first.connector.visitor === second.connector.visitor];
    """) == [[["first", "drops"], ["second", "runs"]], True]


def test_the_last_tab_leaves() -> None:
    """A tab that is alone ends the visit with its connection, and needs no leave besides."""
    assert run("""
        const only = open('only'); only.visit.start(); await settle(); receive(only); logged();
        only.visit.end(); only.visit.end(); await settle(); return logged();
    """) == [["only", "leaves"]]


def test_a_browser_that_closes_all_tabs_at_once_leaves() -> None:
    """The first tab leaves the visit to the second; that one closes before it is counted, and so sends the
    leave that is owed.
    """
    assert run("""
        const first = open('first'), second = open('second');
        first.visit.start(); second.visit.start(); await settle(); receive(first); logged();
        first.visit.end(); second.visit.end(); await settle(); return logged();
    """) == [["first", "drops"], ["leave", "/leave", "string"]]


def test_once_the_next_tab_is_counted_no_leave_is_owed() -> None:
    """When it is counted, or its transport sent the leave, a tab that took over leaves as any other does."""
    for paid in ("counted", "left"):
        assert run(f"""
            const first = open('first'), second = open('second');
            first.visit.start(); second.visit.start(); await settle(); receive(first);
            first.visit.end(); await settle(); logged();
            second.connector.emit('{paid}'); second.visit.end(); await settle(); return logged();
        """) == [["second", "leaves"]], paid


def test_a_frozen_tab_sends_no_leave() -> None:
    """A tab that is frozen drops the connection, sends no leave, and starts the visit again when it is
    resumed.
    """
    assert run("""
        const only = open('only'); only.visit.start(); await settle(); receive(only); logged();
        only.visit.end({graceful: false}); await settle(); only.visit.start(); await settle(); return logged();
    """) == [["only", "drops"], ["only", "runs"]]


def test_a_mood_reaches_the_other_tabs_and_the_next_visit() -> None:
    """Another tab is sent the mood, and a tab that opens later has it stored; one that was cleared is only
    sent.
    """
    assert run("""
        const first = open('first'), second = open('second'), moods = [];
        second.visit.on({mood: (mood) => moods.push(mood)});
        first.visit.start(); second.visit.start(); await settle();
        first.visit.storeMood('calm'); first.visit.shareMood(null);
        return [moods, open('third').visit.storedMood];
    """) == [["calm", None], "calm"]


def test_a_tab_that_opens_wakes_the_leading_one_and_gets_its_state() -> None:
    """A tab that opens has the state of the leading one at once, which does what is overdue."""
    assert run("""
        const first = open('first'), second = open('second');
        first.visit.start(); await settle(); receive(first); logged();
        second.visit.start(); await settle(); return [logged(), second.freshness.transport];
    """) == [[["second", "follows", "calm"], ["first", "wakes"]], "socket"]


def test_two_ids_become_one() -> None:
    """A tab whose id is not the stored one, as where two opened in one instant, joins again with that."""
    assert run("""
        const first = open('first'); first.visit.start(); await settle(); logged();
        const record = JSON.parse(stored.key); stored.key = JSON.stringify({...record, visitor: 'v'.repeat(22)});
        open('second').visit.start(); await settle();
        return [logged().filter(([, what]) => what !== 'follows'), first.connector.visitor];
    """) == [[["first", "wakes"], ["first", "leaves"], ["first", "runs"]], "v" * 22]


def test_when_the_server_rejects_a_tab_the_next_one_leads() -> None:
    """A tab that has to stop leads no more: the next one gets the lock, and the first broadcasts nothing."""
    assert run("""
        const first = open('first'), second = open('second');
        first.visit.start(); second.visit.start(); await settle(); logged();
        first.connector.emit('stopped'); first.connector.stop(); await settle(); receive(first); return logged();
    """) == [["second", "runs"]]


def test_a_page_without_storage_is_a_visitor_of_its_own() -> None:
    """Without a key nothing is stored, no lock is waited for, and a tab that closes leaves."""
    assert run("""
        const first = open('first', {key: ''}), second = open('second', {key: ''});
        first.visit.start(); second.visit.start(); await settle();
        first.visit.end(); return [logged(), Object.keys(stored), first.connector.visitor === second.connector.visitor];
    """) == [[["first", "runs"], ["second", "runs"], ["first", "leaves"]], [], False]
