/**
 * The latest presence of a room, the state that follows from its age, and the server's clock.
 *
 * A pushed presence is live while its connection is. A polled one is live until the next poll, and
 * `stale_after_ms` beyond; one timer runs until then. A presence that is no longer live is kept, with the
 * state `stale`.
 *
 * Events: `presence`, `state` (it or the transport changed) and `clock` (there is a better estimate of it).
 */

import {Emitter} from './emitter.js';
import {Interpolator} from './interpolation.js';
import {after} from './timers.js';

/** The best of the last few measurements of the server's clock counts. */
const SAMPLES = 8;

export class Freshness extends Emitter {
  presence = null;
  state = 'unknown';
  /** The transport that presences come over: `socket`, `polling` or `history`; null: none is connected. */
  transport = null;
  /** The server's wall time minus ours. */
  clockOffsetMs = 0;

  #receivedAtMs = 0;
  #liveMs = 0;      // how long the presence is live from then on, without a connection
  #interpolator = new Interpolator();
  #clocks = [];     // the last few {offsetMs, tripMs}
  #lastState = '';  // the state and the transport of the last event
  #staleTimer;

  get ageMs() {
    return this.#isPushed ? 0 : Math.max(1, Date.now() - this.#receivedAtMs);
  }

  /** The count to display now, interpolated from one presence to the next. */
  get displayedCount() {
    return this.#interpolator.at(performance.now());
  }

  /** Take a presence that came over a transport, perhaps to another tab a moment ago. */
  receive({type, ...presence}, transport, nowMs = Date.now()) {
    const {as_of_ms} = this.presence ?? {};
    this.transport = transport;
    // A cache may hold a presence that is older than the latest. It is ignored, unless the server's clock was
    // set back.
    if (!this.#isPushed && presence.as_of_ms < as_of_ms && this.#leftMs > 0) return this.updateState();
    // A copy that is not updated any more does not become younger by being read.
    if (this.#isPushed || presence.as_of_ms !== as_of_ms) this.#receivedAtMs = nowMs;
    const nextMs = this.#isPushed ? 0 : presence.poll_ms;
    this.#liveMs = presence.stale_after_ms + nextMs;
    this.#interpolator = this.#interpolator.retarget(presence, performance.now(), nextMs);
    this.presence = presence;
    this.updateState();
    this.emit('presence', presence);
  }

  /** No presences come any more, for now. */
  disconnect() {
    this.transport = null;
    this.updateState();
  }

  /**
   * Update the state. A page calls it when it is shown: timers of hidden pages and of sleeping computers are
   * late.
   */
  updateState() {
    clearTimeout(this.#staleTimer);
    const {method = 'unknown'} = this.presence ?? {};
    const leftMs = this.#isPushed ? Infinity : this.#leftMs;
    if (leftMs > 0 && leftMs < Infinity) this.#staleTimer = after(leftMs, () => this.updateState());
    this.#staleTimer?.unref?.(); // a program in Node need not wait for it
    const known = method === 'stale' || leftMs <= 0 ? 'stale' : method === 'estimated' ? method : 'live';
    const state = method === 'unknown' ? 'unknown' : known;
    const stateAndTransport = `${state} ${this.transport}`;
    if (stateAndTransport === this.#lastState) return;
    this.#lastState = stateAndTransport;
    this.state = state;
    this.emit('state', state);
  }

  /**
   * Measure the server's clock: a request sent at `sentMs` by ours was answered at `nowMs` by the server's,
   * just now.
   */
  setClock({sentMs, nowMs}) {
    const receivedMs = Date.now();
    const clock = {offsetMs: nowMs - (sentMs + receivedMs) / 2, tripMs: receivedMs - sentMs};
    // Each is right to half its round trip. Two that disagree by more mean that a clock was set.
    const agrees = ({offsetMs, tripMs}) =>
      Math.abs(offsetMs - clock.offsetMs) <= (tripMs + clock.tripMs) / 2 + 10;
    this.#clocks = [...this.#clocks.filter(agrees), clock].slice(-SAMPLES);
    const best = this.#clocks.reduce((best, other) => (other.tripMs < best.tripMs ? other : best));
    this.clockOffsetMs = best.offsetMs;
    this.emit('clock');
  }

  /** All that another tab needs in order to show the same. */
  get snapshot() {
    const {presence, transport, clockOffsetMs} = this;
    return {presence, transport, clockOffsetMs, receivedAtMs: this.#receivedAtMs};
  }

  /** Take the snapshot of the tab that has the connection. */
  applySnapshot({presence, transport, clockOffsetMs, receivedAtMs}) {
    if (clockOffsetMs !== this.clockOffsetMs) {
      this.clockOffsetMs = clockOffsetMs;
      this.emit('clock');
    }
    if (transport) this.receive(presence, transport, receivedAtMs);
    else this.disconnect();
  }

  /** How long the presence is live from now on, without a connection. */
  get #leftMs() {
    // A clock that was set back must not make it live for longer.
    this.#receivedAtMs = Math.min(this.#receivedAtMs, Date.now());
    return this.#receivedAtMs + this.#liveMs - Date.now();
  }

  get #isPushed() {
    return this.transport !== null && this.transport !== 'polling';
  }
}
