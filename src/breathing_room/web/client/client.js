/**
 * Breathing Room in a web page: how many people are here right now, and how they feel.
 *
 *     import {join} from 'https://example.org/client.js';
 *     const room = join('https://example.org');
 *     room.addEventListener('presence', () => show(room.others, room.state)); // in words: sentence.js
 *
 * No dependency, nothing to build. Its promises:
 *
 * - It never throws into the page. What goes wrong is a `state`, or an `error` event that says why.
 * - It never invents a number: a presence that can no longer be vouched for stays, with the state `stale`.
 * - All tabs and reloads of one browser are one person, and have one connection. A prerendered page is not
 *   counted, nor is a bot.
 * - It comes back by itself, spread out in time, and stays away when the server says so.
 *
 * This file is what a page sees: the room, its mood, and when the page counts as being there. Behind it,
 * `visit.js` shares the visit among tabs, `connector.js` connects again and again, `socket_transport.js`,
 * `poll_transport.js` and `offline.js` are the ways to be in a room, and `freshness.js` knows what came last
 * and how fresh that is. What the wire says: docs/reference/protocol.md.
 */

import {Connector} from './connector.js';
import {Freshness} from './freshness.js';
import {after} from './timers.js';
import {Visit} from './visit.js';

/** Programs that call themselves so are not counted; a phone is called Cubot. */
const BOT = /(?<!cu)bot\b|crawl|spider|slurp|facebookexternalhit|lighthouse|preview/i;

/**
 * Join a room, or watch it.
 *
 * @param {string | URL} url  Where the server is.
 * @param {object} [options]
 * @param {string} [options.room]  The room's name; without it, the server's default (`offline`: `lobby`).
 * @param {string} [options.mood]  The mood to come with; without it, the one that this browser chose last.
 * @param {'socket' | 'poll' | 'offline'} [options.mode]  How to connect; without it, as the config says.
 * @param {string} [options.visitor]  An id of your own, 16 to 64 of A-Z a-z 0-9 _ - or signed by your server;
 *   nothing is then stored.
 * @param {boolean} [options.observe]  Look without being counted.
 * @param {boolean} [options.storage]  False: keep nothing in the browser. Each page is then another visitor.
 * @param {string | URL} [options.history]  For `offline`: where the averages are; by default where a server
 *   publishes them.
 * @param {string | URL} [options.report]  For `offline`: where to report joins, changes of mood and leaves.
 * @param {number} [options.hiddenMs]  How long a hidden page stays; by default as long as it is open.
 * @returns {Room}
 */
export function join(url, options) {
  return new Room(url, options ?? {});
}

/**
 * A room as seen from here.
 *
 * Events: `presence` (one came), `state` (it or the transport changed), `config`, `clock` (the server's time
 * is better known), `mood` (it was changed, perhaps in another tab) and `error`, whose `detail` is
 * `{code, message}`.
 */
class Room extends EventTarget {
  /** The room's moods, breath and times; null until it came. */
  config = null;
  /** The mood that we named; null: none yet. */
  mood = null;

  #observe;
  #hiddenMs;
  #hiddenTimer;
  #early = false;     // whether a mood was named before the room was
  #freshness = new Freshness();
  #connector = null;  // null where the address is none
  #visit = null;      // likewise
  #closed = new AbortController();

  constructor(url, options) {
    super();
    const {room, mode, history, report, mood, visitor = '', storage = true, hiddenMs = Infinity} = options;
    const observe = options.observe || BOT.test(globalThis.navigator?.userAgent);
    this.#observe = observe;
    this.#hiddenMs = hiddenMs;
    const freshness = this.#freshness;
    const self = {observe, mood: () => this.mood};
    try {
      this.#connector = new Connector({url, room, mode, history, report, ...self, freshness});
    } catch {
      // A moment later, when the page has had the time to add a listener.
      queueMicrotask(() => this.#fail('bad_url', `not a server URL: ${url}; expected http:// or https://`));
      return;
    }
    const key = storage && !visitor && !observe ? `breathing-room ${this.#connector.base}` : '';
    this.#visit = new Visit({connector: this.#connector, freshness, key, visitor});
    this.#passOnEvents();
    this.mood = mood ?? null;
    if (this.#connector.isNamed) this.mood ??= this.#visit.recalledMood;
    this.#watchThePage();
  }

  /** The latest presence, as in the protocol; null until the first. */
  get presence() {
    return this.#freshness.presence;
  }

  /** `live`, `stale` (last known), `estimated` (from what is usual), or `unknown`. */
  get state() {
    return this.#freshness.state;
  }

  /** How we are connected: `socket`, `polling`, or `history` where there is no server; null: not now. */
  get transport() {
    return this.#freshness.transport;
  }

  /** The server's wall time minus ours, in milliseconds. */
  get clockOffsetMs() {
    return this.#freshness.clockOffsetMs;
  }

  /** How old the presence is, in milliseconds: 0 while any change would reach us. */
  get ageMs() {
    return this.#freshness.ageMs;
  }

  /**
   * The count to show now, null while none is known. Between two polls it walks from one presence to the
   * next, and never leaves the interval of the latest.
   */
  get shown() {
    return this.#freshness.shown;
  }

  /** Whether the count has us in it: it counts no observer, and what is usual counts none of those here. */
  get counted() {
    return !this.#observe && this.presence?.method !== 'estimated';
  }

  /** How many others are here, not rounded; null while no count is known. */
  get others() {
    const count = this.presence?.count ?? null;
    return count && Math.max(0, count - this.counted);
  }

  /** The server's wall time now, in milliseconds since 1970. */
  now() {
    return Date.now() + this.clockOffsetMs;
  }

  /** Feel so from now on; `unspoken` takes it back. */
  setMood(mood) {
    if (this.#observe) return this.#fail('not_joined', 'an observer has no mood');
    if (!this.#declares(mood)) return this.#fail('unknown_mood', `this room has no mood ${mood}`);
    this.#early = !this.#connector?.isNamed;
    this.#visit?.keepMood(mood);
    this.#take(mood);
    this.#connector?.send({type: 'mood', mood});
  }

  /** Go, for good. */
  leave() {
    this.#visit?.depart();
    this.#closed.abort();
  }

  #passOnEvents() {
    const pass = (type) => (detail) => this.#emit(type, detail);
    this.#freshness.on({presence: pass('presence'), state: pass('state'), clock: pass('clock')});
    this.#connector.on({
      config: (config) => this.#adopt(config),
      error: pass('error'),
      forget: () => {
        this.#take(null);
        this.#visit.shareMood(null);
      },
    });
    this.#visit.on({
      mood: (mood) => {
        if (mood === this.mood) return;
        this.#take(mood);
        this.#connector.send({type: 'mood', mood: mood ?? undefined});
      },
      joined: () => {
        if (this.#early && this.mood) this.#visit.keepMood(this.mood);
        this.#early = false;
      },
    });
  }

  #adopt(config) {
    // The server's default room has a name only now, and with it a mood that this browser may recall.
    if (!this.config) this.mood ??= this.#visit.recalledMood;
    this.config = config;
    if (this.mood && !this.#declares(this.mood)) {
      this.#fail('unknown_mood', `this room has no mood ${this.mood}`);
      this.mood = null;
    }
    this.#emit('config');
  }

  #take(mood) {
    this.mood = mood;
    this.#emit('mood');
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

  /** Be in the room while the page is there. */
  #watchThePage() {
    const visit = this.#visit;
    const {signal} = this.#closed;
    const on = (target, type, listener) => target?.addEventListener?.(type, listener, {signal});
    const {document} = globalThis;
    const look = () => {
      clearTimeout(this.#hiddenTimer);
      if (document?.hidden) {
        if (this.#hiddenMs < Infinity) this.#hiddenTimer = after(this.#hiddenMs, () => visit.depart());
        return;
      }
      visit.arrive();
      // Timers of a page that was hidden, or of a computer that slept, are late.
      this.#freshness.settle();
      this.#connector.wake();
    };
    const come = () => {
      if (document?.prerendering) return; // it is not shown, and may never be
      visit.arrive();
      look();
    };
    // A page on its way out, or put aside for the back button, is not here; `pageshow` brings it back.
    on(globalThis, 'pagehide', () => visit.depart());
    on(globalThis, 'pageshow', come);
    // One that is put to sleep may be back in a moment: the lease decides.
    on(document, 'freeze', () => visit.depart({graceful: false}));
    on(document, 'resume', come);
    on(document, 'prerenderingchange', come);
    on(document, 'visibilitychange', look);
    on(globalThis, 'offline', () => this.#connector.goOffline());
    on(globalThis, 'online', () => this.#connector.goOnline());
    come();
  }
}
