/**
 * Breathing Room in a web page: how many people are here right now, and how they feel.
 *
 *     import {join} from 'https://example.org/client.js';
 *     const room = join('https://example.org', {room: 'lobby'});
 *     room.addEventListener('presence', () => show(room.presence.label, room.state));
 *
 * No dependency, nothing to build. Its promises:
 *
 * - It never throws into the page. What goes wrong is a `state`, or an `error` event that says why it stopped.
 * - It never invents a number: a presence that can no longer be vouched for stays, with the state `stale`.
 * - All tabs and reloads of one browser are one person.
 * - It comes back by itself, spread out in time, and stays away when the server says so.
 *
 * Theory of operation: while the page is shown, one loop connects, lives until the connection ends, and waits. How it
 * connects is the room's word. `socket`: a WebSocket; where those cannot be opened although HTTP works, Server-Sent
 * Events, and where they do not arrive either, polls. `poll`: polls, and reports by those whom a panel asks. Each way
 * is a file of its own. What the wire says: docs/reference/protocol.md.
 */

import {overHttp} from './http.js';
import {Walk} from './interpolation.js';
import {overSocket} from './socket.js';

/** How long an answer may take. */
const ANSWER_MS = 10_000;
/** Full jitter: wait a random time up to 1 s, 2 s, 4 s, … 30 s. */
const BACKOFF_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
/** So many sockets in a row that will not open, although HTTP works, mean that something on the way refuses them. */
const REFUSALS_MAX = 2;
/** A visitor id that no tab used for so long is thrown away: the next visit is somebody else. */
const VISIT_MS = 30 * 60_000;

/**
 * Join a room, or watch it.
 *
 * @param {string | URL} url  Where the server is.
 * @param {object} [options]
 * @param {string} [options.room]  The room's name.
 * @param {string} [options.mood]  The mood to come with; without it, the one that this browser last chose here.
 * @param {'socket' | 'poll'} [options.mode]  How to connect; without it, as the room's config says.
 * @param {string} [options.visitor]  An id of your own, 16 to 64 of A-Z a-z 0-9 _ - or signed by your server;
 *   nothing is then stored.
 * @param {boolean} [options.observe]  Look without being counted.
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
  /** `live`, `stale` (last known), or `unknown`. */
  state = 'unknown';
  /** The room's moods, breath and times; null until it came. */
  config = null;
  /** The mood that we named; null: none yet. */
  mood = null;
  /** The server's wall time minus ours, in milliseconds. */
  clockOffsetMs = 0;
  /** How we are connected: `socket`, `events`, `polling`; null: not now. */
  transport = null;

  #address = '';        // of the room: …/v1/rooms/lobby
  #key = '';            // under which the tabs share their visitor; empty: they do not
  #visitor;
  #observe;
  #mode;
  #room;
  #clocks = [];         // the last few {offsetMs, tripMs}
  #walk = new Walk();
  #heard = false;       // a presence, since the last attempt to connect
  #heardAtMs = 0;
  #liveMs = 0;          // from then on, without hearing more
  #refusals = 0;
  #settled = '';        // the state and the transport that were last told
  #staleTimer;
  #line = null;         // what a connection and we say to each other, while there is one
  #wake = null;         // ends a pause early
  #visit = null;        // AbortController of the loop; aborted: the person goes, politely
  #closed = new AbortController();

  constructor(url, {room = 'lobby', mood = null, mode = '', visitor = '', observe = false}) {
    super();
    this.#room = room;
    this.#visitor = visitor;
    this.#observe = observe;
    this.#mode = mode;
    try {
      const {protocol, origin, pathname} = new URL(url, globalThis.document?.baseURI);
      if (!protocol.startsWith('http')) throw new TypeError(protocol);
      const base = origin + pathname.replace(/\/*$/, '');
      this.#address = `${base}/v1/rooms/${encodeURIComponent(room)}`;
      this.#key = visitor || observe ? '' : `breathing-room ${base}`;
    } catch {
      // Told a moment later, for whoever still has to add a listener.
      queueMicrotask(() => this.#fail('bad_url', `${url} is no address of a server`));
      return;
    }
    this.mood = mood ?? this.#recall().moods[room] ?? null;
    this.#watchThePage();
    this.#arrive();
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

  /** Feel so from now on; `unspoken` takes it back. */
  setMood(mood) {
    if (this.#observe) return this.#fail('not_joined', 'whoever observes has no mood');
    if (!this.#declares(mood)) return this.#fail('unknown_mood', `this room has no mood ${mood}`);
    this.mood = mood;
    this.#remember({moods: {...this.#recall().moods, [this.#room]: mood}});
    this.#emit('mood');
    this.#line?.tell?.();
  }

  /** Go, for good. */
  leave() {
    this.#depart();
    this.#closed.abort();
  }

  // --- the loop ---

  #arrive() {
    if (this.#visit && !this.#visit.signal.aborted) return;
    this.#visit = new AbortController();
    this.#stay(this.#visit.signal);
  }

  #depart() {
    this.#visit?.abort();
    this.#disconnected();
  }

  async #stay(signal) {
    let attempt = 0;
    while (!signal.aborted) {
      this.#heard = false;
      const ending = await this.#connect(signal).catch((error) => error);
      if (signal.aborted) return; // and another loop may already run
      this.#disconnected();
      if (ending.stop) return this.#fail(ending.code, ending.message);
      if (this.#heard) attempt = 0;
      const backoffMs = Math.random() * Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** attempt++);
      await this.#pause(ending.retryMs ?? backoffMs, signal);
    }
  }

  /** Live through one connection; tells how it ended: `{retryMs?, stop?, code?, message?}`. */
  async #connect(signal) {
    this.#visitor = this.#remember({}).visitor;
    await this.#configure();
    if (signal.aborted) return {};
    const line = (this.#line = this.#makeLine(signal));
    if ((this.#mode || this.config.mode) === 'poll') {
      return overHttp(line, {fallback: false});
    }
    if (this.#refusals < REFUSALS_MAX) {
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
   * over HTTP `takenBack`, for when another tab said goodbye for us all. It says goodbye when `signal` is aborted.
   */
  #makeLine(signal) {
    return {
      signal,
      address: this.#address,
      room: this.#room,
      observe: this.#observe,
      config: this.config,
      self: () => ({visitor: this.#visitor, mood: this.mood ?? undefined}),
      stay: () => this.#remember({}),
      ask: (url, init) => this.#ask(url, init),
      hear: (presence, transport) => this.#hear(presence, transport),
      unheard: () => this.#lose(),
      setClock: (sentMs, nowMs) => this.#setClock(sentMs, nowMs),
      fail: (code, message) => this.#fail(code, message),
      forgetMood: () => {
        this.mood = null;
        this.#emit('mood');
      },
      sayGoodbye: () => {
        navigator.sendBeacon(`${this.#address}/leave`, JSON.stringify({visitor: this.#visitor}));
        // Over HTTP the server cannot see that another tab is still here; that tab says so itself.
        this.#remember({left_at_ms: Date.now()});
      },
    };
  }

  /** Get the config, from a cache if one has it; `anew`: from the server, which also proves that HTTP works. */
  async #configure({anew = false} = {}) {
    if (this.config && !anew) return;
    const config = await (await this.#ask(`${this.#address}/config`, {cache: anew ? 'no-store' : 'default'})).json();
    const before = this.config;
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

  #hear({type, ...presence}, transport) {
    const {as_of_ms} = this.presence ?? {};
    this.transport = transport;
    this.#heard = true;
    // A cache may say what is older than an answer of the server. That is no news, unless time was set back.
    if (!this.#isPushed && presence.as_of_ms < as_of_ms && Date.now() < this.#heardAtMs + this.#liveMs) return this.#settle();
    // A copy that nobody writes any more does not become younger by being read.
    if (this.#isPushed || presence.as_of_ms !== as_of_ms) this.#heardAtMs = Date.now();
    // What was polled is live until the next poll, and `valid_ms` beyond.
    const nextMs = this.#isPushed ? 0 : presence.next_ms;
    this.#liveMs = presence.valid_ms + nextMs;
    this.#walk = this.#walk.toward(presence, performance.now(), nextMs);
    this.presence = presence;
    this.#settle();
    this.#emit('presence', presence);
  }

  get #isPushed() {
    return this.transport === 'socket' || this.transport === 'events';
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
    const known = method === 'stale' || validMs <= 0 ? 'stale' : 'live';
    const state = method === 'unknown' ? 'unknown' : known;
    const settled = `${state} ${this.transport}`;
    if (settled === this.#settled) return;
    this.#settled = settled;
    this.state = state;
    this.#emit('state', state);
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
    // A page on its way out, or put to sleep, is nobody who breathes with us. Being closed also lets the browser
    // keep the page for its back button, from where `pageshow` brings it back.
    on(globalThis, 'pagehide', () => this.#depart());
    on(document, 'freeze', () => this.#depart());
    on(globalThis, 'pageshow', () => this.#arrive());
    on(document, 'resume', () => this.#arrive());
    on(globalThis, 'offline', () => this.#line?.drop?.());
    on(globalThis, 'online', () => {
      this.#refusals = 0; // another network may let sockets through
      this.#wake?.();
    });
    on(globalThis, 'storage', ({key, oldValue, newValue}) => {
      if (this.#key && key === this.#key && newValue) this.#meetOtherTab(parse(oldValue), parse(newValue));
    });
  }

  #meetOtherTab(before, after) {
    const {visitor, moods} = this.#recall();
    const mood = moods[this.#room] ?? null;
    if (mood && mood !== this.mood) {
      this.mood = mood;
      this.#emit('mood');
    }
    if (visitor !== this.#visitor) {
      // Two tabs opened in the same instant each made an id; what the store kept is who we both are.
      this.#depart();
      this.#arrive();
    } else if (after?.left_at_ms !== before?.left_at_ms) {
      setTimeout(() => this.#line?.takenBack?.(), 300);
    }
  }

  /**
   * What the tabs of this browser share: one visitor id, and its mood in each room.
   *
   * It lives in localStorage, the one place that every tab and every reload sees at once. A tab that had to ask the
   * others (sessionStorage with a BroadcastChannel) would wait for answers at every start, and get none from a tab
   * that sleeps: two people. It stays anonymous because it is random, another one for every server, and thrown away
   * when no tab used it for half an hour. Where storage is blocked, each page makes its own: a reload is still one
   * person, for a page leaves as it goes; two tabs are two.
   */
  #recall() {
    const record = this.#key && parse(stored(this.#key));
    if (/^[\w-]{16,64}$/.test(record?.visitor) && Math.abs(Date.now() - record.used_at_ms) < VISIT_MS) {
      return {...record, moods: {...record.moods}};
    }
    if (record || !this.#visitor) this.#visitor = newVisitor();
    return {visitor: this.#visitor, moods: {}};
  }

  #remember(changes) {
    const record = {...this.#recall(), ...changes, used_at_ms: Date.now()};
    try {
      if (this.#key) localStorage.setItem(this.#key, JSON.stringify(record));
    } catch {
      // Blocked, or full: this page remembers for itself.
    }
    return record;
  }
}

function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

/** 128 random bits in base64url. */
function newVisitor() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}
