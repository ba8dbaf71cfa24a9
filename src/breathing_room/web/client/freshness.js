/**
 * What is known of a room, and how fresh that is: the latest presence, the state that follows from its age,
 * and the server's clock.
 *
 * A pushed presence is live while its connection is. A polled one is live until the next poll, and `stale_after_ms`
 * beyond; one timer runs until then. What is no longer live stays, and is `stale`.
 *
 * Events: `presence`, `state` (it or the transport changed) and `clock` (the server's time is better known).
 */

import {Emitter} from './emitter.js';
import {Walk} from './interpolation.js';
import {after} from './timers.js';

/** Of so many measurements of the server's clock the best counts. */
const SAMPLES = 8;

export class Freshness extends Emitter {
  presence = null;
  state = 'unknown';
  /** How presences come now: `socket`, `polling` or `history`; null: they do not. */
  transport = null;
  /** The server's wall time minus ours. */
  clockOffsetMs = 0;

  #heardAtMs = 0;
  #liveMs = 0;    // how long the presence is live from then on, without a connection
  #walk = new Walk();
  #clocks = [];   // the last few {offsetMs, tripMs}
  #settled = '';  // the state and the transport of the last event
  #staleTimer;

  get ageMs() {
    return this.#isPushed ? 0 : Math.max(1, Date.now() - this.#heardAtMs);
  }

  /** The count to show now, on its way from one presence to the next. */
  get shown() {
    return this.#walk.at(performance.now());
  }

  /** Take a presence that came over a transport, perhaps to another tab a moment ago. */
  hear({type, ...presence}, transport, nowMs = Date.now()) {
    const {as_of_ms} = this.presence ?? {};
    this.transport = transport;
    // A cache may hold what is older than an answer of the server. That is no news, unless time was set back.
    if (!this.#isPushed && presence.as_of_ms < as_of_ms && this.#leftMs > 0) return this.settle();
    // A copy that is not written any more does not become younger by being read.
    if (this.#isPushed || presence.as_of_ms !== as_of_ms) this.#heardAtMs = nowMs;
    const nextMs = this.#isPushed ? 0 : presence.poll_ms;
    this.#liveMs = presence.stale_after_ms + nextMs;
    this.#walk = this.#walk.toward(presence, performance.now(), nextMs);
    this.presence = presence;
    this.settle();
    this.emit('presence', presence);
  }

  /** Nothing comes any more, for now. */
  lose() {
    this.transport = null;
    this.settle();
  }

  /** Bring the state up to date. Timers may be late: of a page that was hidden, or a computer that slept. */
  settle() {
    clearTimeout(this.#staleTimer);
    const {method = 'unknown'} = this.presence ?? {};
    const leftMs = this.#isPushed ? Infinity : this.#leftMs;
    if (leftMs > 0 && leftMs < Infinity) this.#staleTimer = after(leftMs, () => this.settle());
    this.#staleTimer?.unref?.(); // a program in Node need not wait for it
    const known = method === 'stale' || leftMs <= 0 ? 'stale' : method === 'estimated' ? method : 'live';
    const state = method === 'unknown' ? 'unknown' : known;
    const settled = `${state} ${this.transport}`;
    if (settled === this.#settled) return;
    this.#settled = settled;
    this.state = state;
    this.emit('state', state);
  }

  /** Measure the server's clock: what we sent at `sentMs` was answered at `nowMs` by it, a moment ago. */
  setClock({sentMs, nowMs}) {
    const receivedMs = Date.now();
    const clock = {offsetMs: nowMs - (sentMs + receivedMs) / 2, tripMs: receivedMs - sentMs};
    // Each is right to half its round trip. Two that disagree by more mean that a clock was set, or slept.
    const agrees = ({offsetMs, tripMs}) =>
      Math.abs(offsetMs - clock.offsetMs) <= (tripMs + clock.tripMs) / 2 + 10;
    this.#clocks = [...this.#clocks.filter(agrees), clock].slice(-SAMPLES);
    const best = this.#clocks.reduce((best, other) => (other.tripMs < best.tripMs ? other : best));
    this.clockOffsetMs = best.offsetMs;
    this.emit('clock');
  }

  /** All that another tab needs in order to know as much. */
  get news() {
    const {presence, transport, clockOffsetMs} = this;
    return {presence, transport, clockOffsetMs, heardAtMs: this.#heardAtMs};
  }

  /** Take the news of the tab that has the connection. */
  follow({presence, transport, clockOffsetMs, heardAtMs}) {
    if (clockOffsetMs !== this.clockOffsetMs) {
      this.clockOffsetMs = clockOffsetMs;
      this.emit('clock');
    }
    if (transport) this.hear(presence, transport, heardAtMs);
    else this.lose();
  }

  /** How long the presence is live from now on, without a connection. */
  get #leftMs() {
    // A clock that was set back must not make it live for longer.
    this.#heardAtMs = Math.min(this.#heardAtMs, Date.now());
    return this.#heardAtMs + this.#liveMs - Date.now();
  }

  get #isPushed() {
    return this.transport !== null && this.transport !== 'polling';
  }
}
