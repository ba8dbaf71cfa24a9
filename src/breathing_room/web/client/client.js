/**
 * Breathing Room in a web page: how many people are here right now, and how they feel.
 *
 *     import {join} from 'https://example.org/client.js';
 *     const room = join('https://example.org');
 *     room.addEventListener('presence', () => show(room.others, room.state)); // in words: sentence.js
 *
 * No dependency, nothing to build. Its promises:
 *
 * - It never throws into the page. What goes wrong is a `state`, or an `error` event that says why it stopped.
 * - It never invents a number: a presence that can no longer be vouched for stays, with the state `stale`.
 * - All tabs and reloads of one browser are one person, and have one connection. A prerendered page is nobody, nor is a bot.
 * - It comes back by itself, spread out in time, and stays away when the server says so.
 *
 * Theory of operation: while the page is shown, one loop connects, lives until the connection ends, and waits. How it
 * connects is the room's word. `socket`: a WebSocket; where those cannot be opened although HTTP works, Server-Sent
 * Events, and where they do not arrive either, polls. `poll`: polls, and reports by those whom a panel asks. Each way
 * is a file of its own. What the wire says: docs/reference/protocol.md. Only the page can ask for `offline`: to show, from a
 * static file, who is usually there.
 */

import {overHttp} from './poll_transport.js';
import {Walk} from './interpolation.js';
import {overSocket} from './socket_transport.js';
import {Tabs} from './tabs.js';

/** Stands for the name of the server's default room, until the config says that. */
const DEFAULT_ROOM = '_default';
/** How long an answer may take. */
const ANSWER_MS = 10_000;
/** Full jitter: wait a random time up to 1 s, 2 s, 4 s, … 30 s. */
const BACKOFF_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
/** So many sockets in a row that will not open, although HTTP works, mean that something on the way refuses them. */
const REFUSALS_MAX = 2;
/** The events that a leading tab passes on to the others. */
const NEWS = ['presence', 'state', 'config', 'clock'];
/** Who says of itself that it is none of us; a phone is called Cubot. */
const BOT = /(?<!cu)bot\b|crawl|spider|slurp|facebookexternalhit|lighthouse|preview/i;

/**
 * Join a room, or watch it.
 *
 * @param {string | URL} url  Where the server is.
 * @param {object} [options]
 * @param {string} [options.room]  The room's name; without it, the server's default room (in `offline` mode `lobby`).
 * @param {string} [options.mood]  The mood to come with; without it, the one that this browser last chose here.
 * @param {'socket' | 'poll' | 'offline'} [options.mode]  How to connect; without it, as the room's config says.
 * @param {string} [options.visitor]  An id of your own, 16 to 64 of A-Z a-z 0-9 _ - or signed by your server;
 *   nothing is then stored.
 * @param {boolean} [options.observe]  Look without being counted.
 * @param {boolean} [options.storage]  False: keep nothing in the browser. Each page is then a visitor of its own.
 * @param {string | URL} [options.history]  For `offline`: where the averages are; by default where a server publishes them.
 * @param {string | URL} [options.report]  For `offline`: who is told that somebody came, changed the mood, or went.
 * @param {number} [options.hiddenMs]  How long a page that nobody sees stays in the room. By default as long as it is open.
 * @returns {Room}
 */
export function join(url, options) {
  return new Room(url, options ?? {});
}

/**
 * A room as seen from here.
 *
 * Events: `presence` (one came), `state` (it or the transport changed), `config`, `clock` (the server's time is better
 * known), `mood` (it was changed, perhaps in another tab) and `error`, whose `detail` is `{code, message}`.
 */
class Room extends EventTarget {
  /** The latest presence, as in the protocol; null until the first. */
  presence = null;
  /** `live`, `stale` (last known), `estimated` (from what is usual), or `unknown`. */
  state = 'unknown';
  /** The room's moods, breath and times; null until it came. */
  config = null;
  /** The mood that we named; null: none yet. */
  mood = null;
  /** The server's wall time minus ours, in milliseconds. */
  clockOffsetMs = 0;
  /** How we are connected: `socket`, `events`, `polling`, or `history` where there is nobody to ask; null: not now. */
  transport = null;

  #base = '';           // the server's address
  #room;
  #mode;
  #observe;
  #hiddenMs;
  #offline;             // where to find the averages, and whom to tell
  #visitor = '';
  #tabs;
  #leading = false;     // whether the connection of this browser is ours
  #owing = false;       // whether the tab that held it went without a goodbye, and counts on us
  #clocks = [];         // the last few {offsetMs, tripMs}
  #walk = new Walk();
  #heard = false;       // a presence, since the last attempt to connect
  #heardAtMs = 0;
  #liveMs = 0;          // from then on, without hearing more
  #refusals = 0;
  #settled = '';        // the state and the transport that were last told
  #staleTimer;
  #hiddenTimer;
  #line = null;         // what a connection and we say to each other, while there is one
  #wake = null;         // ends a pause early
  #visit = null;        // AbortController of the loop; aborted: the person goes, politely
  #closed = new AbortController();

  constructor(url, options) {
    super();
    const {room, mood, mode, visitor = '', observe = false, storage = true, hiddenMs = Infinity} = options;
    // Without a server there is no one room that is its default.
    this.#room = room || (mode === 'offline' ? 'lobby' : DEFAULT_ROOM);
    this.#mode = mode;
    this.#observe = observe || BOT.test(globalThis.navigator?.userAgent);
    this.#hiddenMs = hiddenMs;
    try {
      const {protocol, origin, pathname} = new URL(url, globalThis.document?.baseURI);
      if (!protocol.startsWith('http')) throw new TypeError(protocol);
      this.#base = origin + pathname.replace(/\/*$/, '');
      const resolved = (address) => new URL(address, globalThis.document?.baseURI).href;
      this.#offline = {
        url: resolved(options.history ?? `${this.#base}/rooms/${encodeURIComponent(this.#room)}/history.json`),
        report: options.report && resolved(options.report),
      };
      const key = storage && !visitor && !this.#observe ? `breathing-room ${this.#base}` : '';
      this.#tabs = new Tabs({key, visitor, hear: (message) => this.#hearTab(message)});
    } catch {
      // Told a moment later, for whoever still has to add a listener.
      queueMicrotask(() => this.#fail('bad_url', `${url} is no address of a server`));
      return;
    }
    this.mood = mood ?? null;
    if (this.#isNamed) this.#recallMood();
    this.#watchThePage();
  }

  /** The server's wall time now, in milliseconds since 1970. */
  now() {
    return Date.now() + this.clockOffsetMs;
  }

  /** How old the presence is, in milliseconds: 0 while we would be told of any change. */
  get ageMs() {
    return this.#isPushed ? 0 : Math.max(1, Date.now() - this.#heardAtMs);
  }

  /**
   * The count to show now, null while none is known. Between two polls it walks from one presence to the next, and never
   * leaves the interval of the latest.
   */
  get shown() {
    return this.#walk.at(performance.now());
  }

  /** Whether the count has us in it: it counts no observer, and what is usual counts none of those who are here now. */
  get counted() {
    return !this.#observe && this.presence?.method !== 'estimated';
  }

  /** How many others are here, not rounded; null while no count is known. */
  get others() {
    const count = this.presence?.count ?? null;
    return count && Math.max(0, count - this.counted);
  }

  /** Feel so from now on; `unspoken` takes it back. */
  setMood(mood) {
    if (this.#observe) return this.#fail('not_joined', 'whoever observes has no mood');
    if (!this.#declares(mood)) return this.#fail('unknown_mood', `this room has no mood ${mood}`);
    this.mood = mood;
    if (this.#isNamed) this.#tabs?.remember({moods: {...this.#tabs.recall().moods, [this.#room]: mood}});
    this.#emit('mood');
    this.#tabs?.say({type: 'mood', mood});
    this.#line?.tell?.();
  }

  /** Go, for good. */
  leave() {
    this.#depart();
    this.#closed.abort();
  }

  // --- the loop ---

  #arrive() {
    if (this.#visit || this.#closed.signal.aborted) return;
    this.#visit = new AbortController();
    const {signal} = this.#visit;
    const join = () => {
      if (!signal.aborted) this.#tabs.join(this.#room, signal, () => this.#stay(signal));
    };
    if (this.#isNamed) join();
    else this.#persist(signal, () => this.#configure().then(join));
  }

  /** Go. Where another tab stays, without a goodbye: the person is not gone, the connection is. `quietly` says which. */
  #depart({quietly} = {}) {
    if (!this.#visit) return;
    // A browser that closes closes all tabs in one instant. So who was to take over and goes at once says goodbye although another
    // tab may stay, and so does who only heard; at worst in vain, for the server heeds it only where no socket is open.
    if (quietly ?? (this.#tabs.hasOthers && !this.#owing)) this.#line?.drop?.();
    this.#visit.abort();
    this.#visit = null;
    if (quietly === undefined && (this.#owing || (this.transport === 'socket' && !this.#leading))) this.#sayGoodbye();
    this.#tabs.leave({led: this.#leading});
    this.#leading = this.#owing = false;
    this.#disconnected();
  }

  #stay(signal) {
    this.#leading = true;
    return this.#persist(signal, () => this.#connect(signal));
  }

  /** Call `act` again and again, with a backoff, until it returns nothing, or an ending that says to stop. */
  async #persist(signal, act) {
    let attempt = 0;
    while (!signal.aborted) {
      this.#heard = false;
      const ending = await act().catch((error) => error);
      if (!ending || signal.aborted) return; // and another loop may already run
      this.#disconnected();
      if (ending.stop) {
        this.#leading = false;
        return this.#fail(ending.code, ending.message);
      }
      if (this.#heard) attempt = 0;
      const backoffMs = Math.random() * Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** attempt++);
      await this.#pause(ending.retryMs ?? backoffMs, signal);
    }
  }

  /** Live through one connection; tells how it ended: `{retryMs?, stop?, code?, message?}`. */
  async #connect(signal) {
    this.#visitor = this.#tabs.remember({}).visitor;
    if (this.#mode === 'offline') {
      const {offline} = await import('./offline.js'); // few need it
      return offline((this.#line = this.#makeLine(signal)), this.#offline);
    }
    await this.#configure();
    if (signal.aborted) return {};
    const line = (this.#line = this.#makeLine(signal));
    if ((this.#mode ?? this.config.mode) === 'poll') return overHttp(line, {fallback: false});
    if (this.#refusals < REFUSALS_MAX && globalThis.WebSocket) {
      const ending = await overSocket(line).catch(() => ({}));
      if (signal.aborted) return ending;
      if (!ending.opened) await this.#configure({anew: true}); // throws where HTTP fails as well
      this.#refusals = ending.opened ? 0 : this.#refusals + 1;
      return ending;
    }
    try {
      return await overHttp(line, {fallback: true});
    } finally {
      this.#refusals = REFUSALS_MAX - 1; // the next time, one socket is tried again
    }
  }

  /**
   * What a connection may ask of us. It sets `drop`, which gives it up without a goodbye, `tell`, which says our mood, and
   * perhaps `wake`, which does at once what is overdue. It says goodbye when `signal` is aborted.
   */
  #makeLine(signal) {
    return {
      signal,
      address: this.#address(),
      room: this.#room,
      observe: this.#observe,
      config: this.config,
      self: () => ({visitor: this.#visitor, mood: this.mood ?? undefined}),
      stay: () => {
        this.#tabs.remember({});
        this.#tabs.refresh();
      },
      ask: (url, init) => this.#ask(url, init),
      hear: (presence, transport) => this.#hear(presence, transport),
      counted: () => (this.#owing = false),
      unheard: () => this.#lose(),
      adopt: (config) => this.#adopt(config),
      setClock: (sentMs, nowMs) => this.#setClock(sentMs, nowMs),
      fail: (code, message) => this.#fail(code, message),
      forgetMood: () => {
        this.mood = null;
        this.#emit('mood');
        this.#tabs.say({type: 'mood', mood: null});
      },
      beacon: (url, message) => this.#tell(url, message),
      sayGoodbye: () => this.#sayGoodbye(),
    };
  }

  #sayGoodbye() {
    this.#owing = false;
    this.#tell(`${this.#address()}/leave`, {visitor: this.#visitor || this.#tabs.recall().visitor});
  }

  /** Say something to which nobody waits for an answer. */
  #tell(url, message) {
    const body = JSON.stringify(message);
    if (globalThis.navigator?.sendBeacon) navigator.sendBeacon(url, body);
    else fetch(url, {method: 'POST', body}).catch(() => {}); // in Node
  }

  /** Get the config, from a cache if one has it; `anew`: from the server, which also proves that HTTP works. */
  async #configure({anew = false} = {}) {
    if (this.config && !anew) return;
    const config = await (await this.#ask(`${this.#address()}/config`, {cache: anew ? 'no-store' : 'default'})).json();
    this.#adopt(config);
  }

  #address() {
    return `${this.#base}/v1/rooms/${encodeURIComponent(this.#room)}`;
  }

  get #isNamed() {
    return this.#room !== DEFAULT_ROOM;
  }

  /** Take the mood that this browser last chose in this room, unless one is given. */
  #recallMood() {
    this.mood ??= this.#tabs.recall().moods[this.#room] ?? null;
  }

  #adopt(config) {
    const before = this.config;
    if (!this.#isNamed) {
      this.#room = config.room;
      this.#recallMood();
    }
    this.config = config;
    if (JSON.stringify({...before, now_ms: 0}) === JSON.stringify({...config, now_ms: 0})) return;
    if (this.mood && !this.#declares(this.mood)) {
      this.#fail('unknown_mood', `this room has no mood ${this.mood}`);
      this.mood = null;
    }
    this.#emit('config');
  }

  /** Fetch something; throws an `ending` for every answer but a good one. */
  async #ask(url, init) {
    const response = await fetch(url, {signal: AbortSignal.timeout(ANSWER_MS), ...init});
    if (response.ok) return response;
    const {error} = await response.json().catch(() => ({}));
    const retryAfterS = Number(response.headers.get('retry-after'));
    throw {
      ...error,
      // The same whole second for everybody is no spread: add up to one more.
      retryMs: retryAfterS ? (retryAfterS + Math.random()) * 1_000 : undefined,
      // Our own server's word that the request is wrong will not change; a proxy's may.
      stop: Boolean(error) && response.status < 500 && response.status !== 429,
    };
  }

  // --- what was heard ---

  #hear({type, ...presence}, transport, nowMs = Date.now()) {
    const {as_of_ms} = this.presence ?? {};
    this.transport = transport;
    this.#heard = true;
    // A cache may say what is older than an answer of the server. That is no news, unless time was set back.
    if (!this.#isPushed && presence.as_of_ms < as_of_ms && Date.now() < this.#heardAtMs + this.#liveMs) return this.#settle();
    // A copy that nobody writes any more does not become younger by being read.
    if (this.#isPushed || presence.as_of_ms !== as_of_ms) this.#heardAtMs = nowMs;
    // What was polled is live until the next poll, and `valid_ms` beyond.
    const nextMs = this.#isPushed ? 0 : presence.next_ms;
    this.#liveMs = presence.valid_ms + nextMs;
    this.#walk = this.#walk.toward(presence, performance.now(), nextMs);
    this.presence = presence;
    this.#settle();
    this.#emit('presence', presence);
  }

  get #isPushed() {
    return this.transport !== null && this.transport !== 'polling';
  }

  #disconnected() {
    this.#line = null;
    this.#lose();
  }

  #lose() {
    this.transport = null;
    this.#settle();
  }

  #settle() {
    clearTimeout(this.#staleTimer);
    const {method = 'unknown'} = this.presence ?? {};
    const validMs = this.#isPushed ? Infinity : this.#heardAtMs + this.#liveMs - Date.now();
    if (validMs > 0 && validMs < Infinity) this.#staleTimer = setTimeout(() => this.#settle(), validMs);
    this.#staleTimer?.unref?.(); // a program in Node need not wait for it
    const known = method === 'stale' || validMs <= 0 ? 'stale' : method === 'estimated' ? method : 'live';
    const state = method === 'unknown' ? 'unknown' : known;
    const settled = `${state} ${this.transport}`;
    if (settled === this.#settled) return;
    this.#settled = settled;
    this.state = state;
    this.#emit('state', state);
    // A leading tab that nobody looks at may be slow: ask it to hurry.
    if (state === 'stale' && !this.#leading) this.#tabs?.refresh();
  }

  #setClock(sentMs, nowMs) {
    const receivedMs = Date.now();
    const clock = {offsetMs: nowMs - (sentMs + receivedMs) / 2, tripMs: receivedMs - sentMs};
    // Each is right to half its round trip. Two that disagree by more mean that a clock was set, or slept.
    const agrees = (other) => Math.abs(other.offsetMs - clock.offsetMs) <= (other.tripMs + clock.tripMs) / 2 + 10;
    this.#clocks = [...this.#clocks.filter(agrees), clock].slice(-8);
    this.clockOffsetMs = this.#clocks.reduce((best, other) => (other.tripMs < best.tripMs ? other : best)).offsetMs;
    this.#emit('clock');
  }

  #declares(mood) {
    return mood === 'unspoken' || (this.config?.moods?.includes(mood) ?? true);
  }

  #emit(type, detail) {
    if (this.#leading && NEWS.includes(type)) this.#passOn();
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }

  #fail(code, message) {
    this.#emit('error', {code, message});
  }

  #pause(ms, signal) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
      this.#wake = done;
    });
  }

  // --- the page, and the other tabs ---

  #watchThePage() {
    const on = (target, type, listener) => target?.addEventListener?.(type, listener, {signal: this.#closed.signal});
    const {document} = globalThis;
    const look = () => {
      clearTimeout(this.#hiddenTimer);
      if (document?.hidden) {
        if (this.#hiddenMs < Infinity) this.#hiddenTimer = setTimeout(() => this.#depart(), this.#hiddenMs);
        return;
      }
      this.#arrive();
      // Timers of a page that nobody saw, or of a computer that slept, are late.
      this.#settle();
      this.#line?.wake?.();
    };
    const come = () => {
      if (document?.prerendering) return; // nobody has come yet
      this.#arrive();
      look();
    };
    // A page on its way out, or put aside for the back button, is nobody who breathes with us; `pageshow` brings it back.
    on(globalThis, 'pagehide', () => this.#depart());
    on(globalThis, 'pageshow', come);
    // One that is put to sleep may be back in a moment: the lease decides.
    on(document, 'freeze', () => this.#depart({quietly: true}));
    on(document, 'resume', come);
    on(document, 'prerenderingchange', come);
    on(document, 'visibilitychange', look);
    on(globalThis, 'offline', () => this.#mode === 'offline' || this.#line?.drop?.());
    on(globalThis, 'online', () => {
      this.#refusals = 0; // another network may let sockets through
      this.#wake?.();
    });
    come();
  }

  #hearTab({type, ...said}) {
    if (type === 'mood' && said.mood !== this.mood) {
      this.mood = said.mood;
      this.#emit('mood');
      this.#line?.tell?.();
    } else if (type === 'hello' && this.#leading) {
      this.#passOn();
      this.#line?.wake?.();
      // Without locks, two tabs opened in the same instant each made an id; what the store kept is who we both are.
      if (this.#visitor && this.#visitor !== this.#tabs.recall().visitor) {
        this.#depart({quietly: false});
        this.#arrive();
      }
    } else if (type === 'news' && !this.#leading) {
      this.#follow(said);
    } else if (type === 'bye' && said.led) {
      this.#owing = true;
      this.#lose();
    }
  }

  #passOn() {
    const {config, presence, transport, clockOffsetMs} = this;
    this.#tabs.say({type: 'news', config, presence, transport, clockOffsetMs, heardAtMs: this.#heardAtMs});
  }

  #follow({config, presence, transport, clockOffsetMs, heardAtMs}) {
    this.#owing = false;
    if (config) this.#adopt(config);
    if (clockOffsetMs !== this.clockOffsetMs) {
      this.clockOffsetMs = clockOffsetMs;
      this.#emit('clock');
    }
    if (!transport) return this.#lose();
    // Where no sockets pass for one tab, none pass for the next one.
    this.#refusals = transport === 'events' ? REFUSALS_MAX : 0;
    this.#hear(presence, transport, heardAtMs);
  }
}
