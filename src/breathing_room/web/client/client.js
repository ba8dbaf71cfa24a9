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
 * - It never invents a number: a presence that may be outdated is kept, with the state `stale`.
 * - All tabs and reloads of one browser are one person, and have one connection. A prerendered page is not
 *   counted, nor is a bot.
 * - It reconnects by itself, spread out in time, and stops when the server says so.
 *
 * This file is the interface to a page: the room, its mood, and when the page counts as present. Behind it,
 * `visit.js` shares the visit among tabs, `connector.js` connects again and again, `socket_transport.js`,
 * `poll_transport.js` and `offline.js` are the transports, and `freshness.js` has the latest presence and
 * how fresh it is. The wire: docs/reference/protocol.md.
 */

import {Connector} from './connector.js';
import {Freshness} from './freshness.js';
import {after} from './timers.js';
import {Visit} from './visit.js';

/** Programs with such a user agent are not counted; a phone is called Cubot. */
const BOT = /(?<!cu)bot\b|crawl|spider|slurp|facebookexternalhit|lighthouse|preview/i;

/**
 * Join a room, or watch it.
 *
 * @param {string | URL} url  Where the server is.
 * @param {object} [options]
 * @param {string} [options.room]  The room's name; without it, the server's default (`offline`: `lobby`).
 * @param {string} [options.mood]  The mood to join with; without it, the one that this browser chose last.
 * @param {'socket' | 'poll' | 'offline'} [options.mode]  How to connect; without it, as the config says.
 * @param {string} [options.visitor]  An id of your own, 16 to 64 of A-Z a-z 0-9 _ - or signed by your server;
 *   nothing is then stored.
 * @param {boolean} [options.observe]  Observe without being counted.
 * @param {boolean} [options.storage]  False: store nothing in the browser. Each page is then another visitor.
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
 * A room that the page has joined or observes.
 *
 * Events: `presence` (one came), `state` (it or the transport changed), `config`, `clock` (there is a better
 * estimate of the server's time), `mood` (it was changed, perhaps in another tab) and `error`, whose `detail`
 * is `{code, message}`.
 */
class Room extends EventTarget {
  /** The room's moods, breathing pattern and intervals; null until they came. */
  config = null;
  /** The mood of this visitor; null: none yet. */
  mood = null;

  #observe;
  #hiddenMs;
  #hiddenTimer;
  #early = false;     // whether a mood was set before the room had a name
  #freshness = new Freshness();
  #connector = null;  // null where the URL is invalid
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
    this.#forwardEvents();
    this.mood = mood ?? null;
    if (this.#connector.isNamed) this.mood ??= this.#visit.storedMood;
    this.#watchPage();
  }

  /** The latest presence, as in the protocol; null until the first. */
  get presence() {
    return this.#freshness.presence;
  }

  /** `live`, `stale` (last known), `estimated` (from averages), or `unknown`. */
  get state() {
    return this.#freshness.state;
  }

  /** The transport: `socket`, `polling`, or `history` where there is no server; null while not connected. */
  get transport() {
    return this.#freshness.transport;
  }

  /** The server's wall time minus ours, in milliseconds. */
  get clockOffsetMs() {
    return this.#freshness.clockOffsetMs;
  }

  /** How old the presence is, in milliseconds: 0 while changes are pushed. */
  get ageMs() {
    return this.#freshness.ageMs;
  }

  /**
   * The count to display now, null while none is known. Between two polls it is interpolated from one
   * presence to the next, and never leaves the interval of the latest.
   */
  get displayedCount() {
    return this.#freshness.displayedCount;
  }

  /**
   * Whether the count includes this visitor: it includes no observer, and an average includes no visitor of
   * now.
   */
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

  /** Change the mood; `unspoken` clears it. */
  setMood(mood) {
    if (this.#observe) return this.#fail('not_joined', 'an observer has no mood');
    if (!this.#declares(mood)) return this.#fail('unknown_mood', `this room has no mood ${mood}`);
    this.#early = !this.#connector?.isNamed;
    this.#visit?.storeMood(mood);
    this.#changeMood(mood);
    this.#connector?.send({type: 'mood', mood});
  }

  /** Leave the room for good. */
  leave() {
    this.#visit?.end();
    this.#closed.abort();
  }

  #forwardEvents() {
    const forward = (type) => (detail) => this.#emit(type, detail);
    this.#freshness.on({presence: forward('presence'), state: forward('state'), clock: forward('clock')});
    this.#connector.on({
      config: (config) => this.#setConfig(config),
      error: forward('error'),
      forget: () => {
        this.#changeMood(null);
        this.#visit.shareMood(null);
      },
    });
    this.#visit.on({
      mood: (mood) => {
        if (mood === this.mood) return;
        this.#changeMood(mood);
        this.#connector.send({type: 'mood', mood: mood ?? undefined});
      },
      joined: () => {
        if (this.#early && this.mood) this.#visit.storeMood(this.mood);
        this.#early = false;
      },
    });
  }

  #setConfig(config) {
    // The server's default room has a name only now, and with it a mood that this browser may have stored.
    if (!this.config) this.mood ??= this.#visit.storedMood;
    this.config = config;
    if (this.mood && !this.#declares(this.mood)) {
      this.#fail('unknown_mood', `this room has no mood ${this.mood}`);
      this.mood = null;
    }
    this.#emit('config');
  }

  #changeMood(mood) {
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

  /** Stay in the room while the page is there. */
  #watchPage() {
    const visit = this.#visit;
    const {signal} = this.#closed;
    const on = (target, type, listener) => target?.addEventListener?.(type, listener, {signal});
    const {document} = globalThis;
    const update = () => {
      clearTimeout(this.#hiddenTimer);
      if (document?.hidden) {
        if (this.#hiddenMs < Infinity) this.#hiddenTimer = after(this.#hiddenMs, () => visit.end());
        return;
      }
      visit.start();
      // Timers of hidden pages and of sleeping computers are late.
      this.#freshness.updateState();
      this.#connector.wake();
    };
    const start = () => {
      if (document?.prerendering) return; // it is not shown, and may never be
      visit.start();
      update();
    };
    // A page that is unloaded, or kept for the back button, is not present; `pageshow` brings it back.
    on(globalThis, 'pagehide', () => visit.end());
    on(globalThis, 'pageshow', start);
    // One that is frozen may be back in a moment: the lease decides.
    on(document, 'freeze', () => visit.end({graceful: false}));
    on(document, 'resume', start);
    on(document, 'prerenderingchange', start);
    on(document, 'visibilitychange', update);
    on(globalThis, 'offline', () => this.#connector.goOffline());
    on(globalThis, 'online', () => this.#connector.goOnline());
    start();
  }
}
