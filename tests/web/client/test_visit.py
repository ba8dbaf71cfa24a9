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
      send() {} wake() { log.push([this.tab, 'hurries']); } disconnected() {}
      follow({config}) { log.push([this.tab, 'follows', config.moods[0]]); }
    }
    class Freshness extends Emitter {
      transport = null;
      get news() { return {transport: this.transport}; }
      follow({transport}) { this.transport = transport; }
      lose() { this.transport = null; }
    }
    const open = (tab, options = {}) => {
      const connector = new Connector(tab), freshness = new Freshness();
      const visit = new it.Visit({connector, freshness, key: 'key', visitor: '', ...options});
      return {visit, connector, freshness};
    };
    const hear = ({connector, freshness}) => { freshness.transport = 'socket'; connector.emit('counted'); freshness.emit('presence'); };
    const settle = () => new Promise((resolve) => setTimeout(resolve));
    const told = () => log.splice(0);
"""


def run(steps: str) -> Any:
    return node("visit.js", f"await (async () => {{ {STAGE} {steps} }})()")


def test_one_tab_connects_and_the_others_follow() -> None:
    """Of two tabs the first one connects; what it hears the other one knows, and the visitor is the same."""
    follows = ["second", "follows", "calm"]
    assert run("""
        const first = open('first'), second = open('second');
        first.visit.arrive(); second.visit.arrive(); await settle(); hear(first);
        const before = second.freshness.transport; hear(second); // which only heard: it passes nothing on
        return [told(), before, first.connector.visitor.length];
    """) == [[["first", "runs"], follows, ["first", "hurries"], follows], "socket", 22]


def test_when_the_leading_tab_goes_the_next_connects_as_the_same_visitor() -> None:
    """The leading tab only drops its connection, no leave is sent, and the other one connects with the same id."""
    assert run("""
        const first = open('first'), second = open('second');
        first.visit.arrive(); second.visit.arrive(); await settle(); hear(first); told();
        first.visit.depart(); await settle();
        return [told(), first.connector.visitor === second.connector.visitor];
    """) == [[["first", "drops"], ["second", "runs"]], True]


def test_the_last_tab_leaves() -> None:
    """A tab that is alone ends the visit with its connection, and needs no leave besides."""
    assert run("""
        const only = open('only'); only.visit.arrive(); await settle(); hear(only); told();
        only.visit.depart(); only.visit.depart(); await settle(); return told();
    """) == [["only", "leaves"]]


def test_a_browser_that_closes_all_tabs_at_once_leaves() -> None:
    """The first tab counts on the second; that one goes before it is counted, and so sends the leave that is owed."""
    assert run("""
        const first = open('first'), second = open('second');
        first.visit.arrive(); second.visit.arrive(); await settle(); hear(first); told();
        first.visit.depart(); second.visit.depart(); await settle(); return told();
    """) == [["first", "drops"], ["leave", "/leave", "string"]]


def test_once_the_next_tab_is_counted_nothing_is_owed() -> None:
    """When it is counted, or its transport sent the leave, a tab that took over leaves as any other does."""
    for paid in ("counted", "left"):
        assert run(f"""
            const first = open('first'), second = open('second');
            first.visit.arrive(); second.visit.arrive(); await settle(); hear(first);
            first.visit.depart(); await settle(); told();
            second.connector.emit('{paid}'); second.visit.depart(); await settle(); return told();
        """) == [["second", "leaves"]], paid


def test_a_tab_that_is_put_to_sleep_leaves_nothing() -> None:
    """A tab that is put to sleep drops the connection, sends no leave, and comes back by arriving."""
    assert run("""
        const only = open('only'); only.visit.arrive(); await settle(); hear(only); told();
        only.visit.depart({graceful: false}); await settle(); only.visit.arrive(); await settle(); return told();
    """) == [["only", "drops"], ["only", "runs"]]


def test_a_mood_reaches_the_other_tabs_and_the_next_visit() -> None:
    """Another tab is given the mood, and a tab that opens later recalls it; one that was taken back is only passed on."""
    assert run("""
        const first = open('first'), second = open('second'), moods = [];
        second.visit.on({mood: (mood) => moods.push(mood)});
        first.visit.arrive(); second.visit.arrive(); await settle();
        first.visit.keepMood('calm'); first.visit.shareMood(null);
        return [moods, open('third').visit.recalledMood];
    """) == [["calm", None], "calm"]


def test_a_tab_that_comes_hurries_the_leading_one_and_is_given_the_news() -> None:
    """On coming a tab follows at once what the leading one knows, which does what is overdue."""
    assert run("""
        const first = open('first'), second = open('second');
        first.visit.arrive(); await settle(); hear(first); told();
        second.visit.arrive(); await settle(); return [told(), second.freshness.transport];
    """) == [[["second", "follows", "calm"], ["first", "hurries"]], "socket"]


def test_two_ids_become_one() -> None:
    """A tab whose id is not the stored one, as where two opened in one instant, comes again with that."""
    assert run("""
        const first = open('first'); first.visit.arrive(); await settle(); told();
        const record = JSON.parse(stored.key); stored.key = JSON.stringify({...record, visitor: 'v'.repeat(22)});
        open('second').visit.arrive(); await settle();
        return [told().filter(([, what]) => what !== 'follows'), first.connector.visitor];
    """) == [[["first", "hurries"], ["first", "leaves"], ["first", "runs"]], "v" * 22]


def test_when_the_server_sends_it_away_the_turn_passes_on() -> None:
    """A tab that is to stay away leads no more: the next one has its turn, and it passes nothing on."""
    assert run("""
        const first = open('first'), second = open('second');
        first.visit.arrive(); second.visit.arrive(); await settle(); told();
        first.connector.emit('stopped'); first.connector.stop(); await settle(); hear(first); return told();
    """) == [["second", "runs"]]


def test_a_page_that_keeps_nothing_is_a_visitor_of_its_own() -> None:
    """Without a key nothing is stored, no turn is waited for, and a tab that goes leaves."""
    assert run("""
        const first = open('first', {key: ''}), second = open('second', {key: ''});
        first.visit.arrive(); second.visit.arrive(); await settle();
        first.visit.depart(); return [told(), Object.keys(stored), first.connector.visitor === second.connector.visitor];
    """) == [[["first", "runs"], ["second", "runs"], ["first", "leaves"]], [], False]
