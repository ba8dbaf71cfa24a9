/**
 * Breathing Room in a web page: how many people are here right now, and how they feel.
 *
 *     import {join} from 'https://example.org/client.js';
 *     const room = join('https://example.org', {room: 'lobby'});
 *     room.addEventListener('presence', () => show(room.presence.label, room.state));
 *
 * One file, no dependency, nothing to build. Its promises:
 *
 * - It never throws into the page. What goes wrong is a `state`, or an `error` event that says why it stopped.
 * - It never invents a number: a presence that can no longer be vouched for stays, with the state `stale`.
 * - All tabs and reloads of one browser are one person.
 * - It comes back by itself, spread out in time, and stays away when the server says so.
 *
 * Theory of operation: while the page is shown, one loop connects, lives until the connection ends, and waits. A
 * connection is a WebSocket; where those cannot be opened although HTTP works, it is Server-Sent Events with beats
 * over HTTP; where the events do not arrive either, only the beats. What the wire says: docs/reference/protocol.md.
 */

/** How long an answer may take before its connection is given up for dead. */
const ANSWER_MS = 10_000;
/** Between two beats on a socket. With ANSWER_MS it makes a dead line known within 30 s, the usual `valid_ms`. */
const BEAT_MS = 20_000;
/** The first beats come quickly: they find the server's time, and with it the breath. */
const FIRST_BEATS_MS = [200, 500, 1_000, 3_000];
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
 * @param {string} [options.visitor]  An id of your own, 16 to 64 of A-Z a-z 0-9 _ -; nothing is then stored.
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
  #room;
  #clocks = [];         // the last few {offsetMs, tripMs}
  #heard = false;       // a presence, since the last attempt to connect
  #heardAtMs = 0;
  #refusals = 0;
  #settled = '';        // the state and the transport that were last told
  #staleTimer;
  #tell = null;         // says our mood, while there is somebody to say it to
  #drop = null;         // gives the connection up, without a goodbye
  #wake = null;         // ends a pause early
  #visit = null;        // AbortController of the loop; aborted: the person goes, politely
  #closed = new AbortController();

  constructor(url, {room = 'lobby', mood = null, visitor = '', observe = false}) {
    super();
    this.#room = room;
    this.#visitor = visitor;
    this.#observe = observe;
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
    const pushed = this.transport === 'socket' || this.transport === 'events';
    return pushed ? 0 : Math.max(1, Date.now() - this.#heardAtMs);
  }

  /** Feel so from now on; `unspoken` takes it back. */
  setMood(mood) {
    if (this.#observe) return this.#fail('not_joined', 'whoever observes has no mood');
    if (!this.#declares(mood)) return this.#fail('unknown_mood', `this room has no mood ${mood}`);
    this.mood = mood;
    this.#remember({moods: {...this.#recall().moods, [this.#room]: mood}});
    this.#emit('mood');
    this.#tell?.();
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
    if (this.#refusals < REFUSALS_MAX) {
      // The socket opens while the config comes: one round trip less until the first number.
      const configured = this.config ? Promise.resolve() : this.#configure();
      configured.catch(() => {});
      const ending = await this.#socket(signal, configured).catch(() => ({}));
      if (signal.aborted) return ending;
      await configured;
      if (!ending.opened) await this.#configure({anew: true}); // throws where HTTP fails as well
      this.#refusals = ending.opened ? 0 : this.#refusals + 1;
      return ending;
    }
    await this.#configure({anew: true});
    if (signal.aborted) return {};
    try {
      return await this.#converse(signal);
    } finally {
      this.#refusals = REFUSALS_MAX - 1; // the next time, one socket is tried again
    }
  }

  /** Get the config; `anew` also proves that HTTP works, and tells the time, as a copy from a cache would not. */
  async #configure({anew = false} = {}) {
    const sentMs = Date.now();
    const response = await this.#ask('/config', {cache: anew ? 'no-store' : 'default'});
    const config = await response.json();
    if (anew && !response.headers.get('age')) this.#setClock(sentMs, config.now_ms);
    const before = this.config;
    this.config = config;
    if (JSON.stringify({...before, now_ms: 0}) === JSON.stringify({...config, now_ms: 0})) return;
    if (this.mood && !this.#declares(this.mood)) {
      this.#fail('unknown_mood', `this room has no mood ${this.mood}`);
      this.mood = null;
    }
    this.#emit('config');
  }

  // --- the ways to be connected ---

  #socket(signal, configured) {
    return new Promise((resolve) => {
      const socket = new WebSocket(`${this.#address.replace(/^http/, 'ws')}/socket`);
      const firstBeatsMs = [...FIRST_BEATS_MS];
      let opened = false;
      let nextBeat;
      let patience;

      const say = (message) => socket.send(JSON.stringify(message));
      const finish = (ending, ...code) => {
        clearTimeout(nextBeat);
        clearTimeout(patience);
        signal.removeEventListener('abort', goodbye);
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close(...code); // without a code: the connection is lost, the person is not
        resolve({opened, ...ending});
      };
      const goodbye = () => finish({}, 1000);
      const complain = ({code, message}) => {
        if (!this.#heard && code !== 'unknown_mood') return finish({stop: true, code, message}); // we cannot join
        this.#fail(code, message);
        if (this.#heard) return;
        this.mood = null; // the room changed its moods: come again without one
        this.#emit('mood');
        finish();
      };
      const beat = () => {
        say({type: 'beat', sent_ms: Date.now()});
        this.#remember({});
        patience ??= setTimeout(finish, ANSWER_MS);
        // A room with a short lease is beaten faster, so that two beats may be lost.
        nextBeat = setTimeout(beat, firstBeatsMs.shift() ?? Math.min(BEAT_MS, this.config.lease_ms / 3 || BEAT_MS));
      };

      patience = setTimeout(finish, ANSWER_MS);
      signal.addEventListener('abort', goodbye);
      this.#drop = finish;
      socket.onclose = (event) => finish(readClose(event));
      socket.onopen = async () => {
        opened = true;
        await configured.catch(() => finish());
        if (socket.readyState !== WebSocket.OPEN) return;
        say(this.#observe ? {type: 'observe'} : {type: 'join', ...this.#self()});
        this.#tell = () => say({type: 'mood', mood: this.mood});
        beat();
      };
      socket.onmessage = ({data}) => {
        clearTimeout(patience);
        patience = null;
        this.#heardAtMs = Date.now();
        const message = parse(data);
        if (message?.type === 'presence') this.#hear(message, 'socket');
        else if (message?.type === 'beat') this.#setClock(message.sent_ms, message.now_ms);
        else if (message?.type === 'error') complain(message.error ?? {});
      };
    });
  }

  /** Be here over HTTP: beat, and hear through Server-Sent Events or, where none arrive, the beats' answers. */
  async #converse(signal) {
    const line = new AbortController();
    const goodbye = () => {
      if (!this.#observe) navigator.sendBeacon(`${this.#address}/leave`, JSON.stringify(this.#self()));
      // Over HTTP the server cannot see that another tab is still here; that tab says so itself.
      this.#remember({left_at_ms: Date.now()});
      line.abort();
    };
    signal.addEventListener('abort', goodbye, {signal: line.signal});
    this.#drop = () => line.abort();
    this.#tell = () => this.#wake?.();
    const ending = {};
    let streaming = false;
    this.#listen(line.signal, () => (streaming = true))
      .catch(() => {})
      .then((retryMs) => {
        ending.retryMs = retryMs;
        if (streaming) line.abort();
      });
    try {
      while (!line.signal.aborted) {
        const {mood} = this;
        // As plain text: a browser would ask another origin's leave before every beat that calls itself JSON.
        const beat = {method: 'POST', body: JSON.stringify(this.#self())};
        const response = await (this.#observe ? this.#ask('') : this.#ask('/beat', beat));
        const presence = await response.json();
        if (line.signal.aborted) break;
        this.#hear(presence, streaming ? 'events' : 'polling');
        this.#remember({});
        const {beat_ms, next_ms} = {...this.config, ...presence};
        const restMs = streaming ? beat_ms : Math.min(beat_ms, next_ms);
        if (mood === this.mood) await this.#pause(restMs || BEAT_MS, line.signal);
      }
      return ending;
    } finally {
      line.abort();
    }
  }

  /**
   * Hear presences as Server-Sent Events until the stream ends; tells when to come back, if the server said so.
   *
   * Read by hand, for EventSource hides the server's `retry` and comes back after a fixed time, all at once.
   */
  async #listen(signal, onPresence) {
    const silence = new AbortController();
    signal.addEventListener('abort', () => silence.abort());
    // A proxy that holds the events back looks like a slow network, for ever.
    const patience = setTimeout(() => silence.abort(), ANSWER_MS);
    const response = await this.#ask('/events', {signal: silence.signal});
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    let retryMs;
    for (;;) {
      const {value, done} = await reader.read();
      if (done || signal.aborted) return retryMs;
      const events = (text + value).split('\n\n');
      text = events.pop();
      for (const event of events) {
        const fields = Object.fromEntries(event.split('\n').map((line) => line.split(/: ?(.*)/)));
        if (fields.retry) retryMs = Number(fields.retry);
        if (fields.event !== 'presence') continue;
        clearTimeout(patience);
        onPresence();
        this.#hear(JSON.parse(fields.data), 'events');
      }
    }
  }

  /** Fetch something of the room; throws an `ending` for every answer but a good one. */
  async #ask(path, init) {
    const response = await fetch(this.#address + path, {signal: AbortSignal.timeout(ANSWER_MS), ...init});
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
    this.presence = presence;
    this.transport = transport;
    this.#heard = true;
    this.#heardAtMs = Date.now();
    this.#settle();
    this.#emit('presence', presence);
  }

  #disconnected() {
    this.transport = this.#tell = this.#drop = null;
    this.#settle();
  }

  #settle() {
    clearTimeout(this.#staleTimer);
    const {method = 'unknown', valid_ms} = this.presence ?? {};
    const validMs = this.transport ? Infinity : this.#heardAtMs + valid_ms - Date.now();
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
    on(globalThis, 'offline', () => this.#drop?.());
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
    } else if (after?.left_at_ms !== before?.left_at_ms && this.transport && this.transport !== 'socket') {
      setTimeout(() => this.#wake?.(), 300);
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

  /** What we say of ourselves. */
  #self() {
    return {visitor: this.#visitor, mood: this.mood ?? undefined};
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

/** What a close code tells us to do. */
function readClose({code, reason}) {
  const forGood = [1000, 1002, 1003, 1007, 1009].includes(code) || (code >= 4500 && code < 5000);
  const retryMs = parse(reason)?.retry_ms;
  return {
    stop: forGood,
    code: `closed_${code}`,
    message: `the server closed the connection for good: ${code} ${reason}`.trim(),
    retryMs: retryMs >= 0 ? retryMs : undefined,
  };
}
