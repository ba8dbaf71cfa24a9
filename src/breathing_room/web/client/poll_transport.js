/** A visit to a room over HTTP: poll and report as `polling.js` says. */

import {beacon, request} from './http.js';
import {POLL, Poller} from './polling.js';
import {after} from './timers.js';
import {Transport} from './transport.js';

/** How often the presence is read in a room of connections: as often as a cache renews it by default. */
const FALLBACK_POLL_MS = 5_000;
/**
 * For how long, before a socket is tried again; up to twice as long, so that clients do not all try at once.
 */
const FALLBACK_MS = 600_000;

/**
 * In a room that polls it polls on through every failure, since a visit keeps its ticket. As a `fallback` for
 * a socket it polls more often, and ends with the first failure or after a while: a socket may open by then.
 */
export class PollTransport extends Transport {
  name = 'polling';

  #fallback;
  #poller;
  #presenceUrl;
  #ending = null;     // how it ended; null while it runs
  #wake = () => {};

  constructor({fallback = false, ...place}) {
    super(place);
    this.#fallback = fallback;
    this.#presenceUrl = new URL(this.config.presence_url ?? this.address, this.address).href;
  }

  async run(signal) {
    const {visitor, mood} = this.self();
    this.#poller = new Poller({
      visitor: this.observe ? null : visitor,
      room: this.room,
      heartbeatMs: this.config.heartbeat_ms,
      mood,
      nowMs: performance.now(),
    });
    const leave = () => this.close({graceful: true});
    signal.addEventListener('abort', leave);
    const endAtMs = this.#fallback ? performance.now() + FALLBACK_MS * (1 + Math.random()) : Infinity;
    while (!this.#ending) {
      for (const due of this.#poller.due(performance.now())) this.#send(due);
      await this.#sleep(Math.min(this.#poller.nextAtMs, endAtMs) - performance.now());
      if (performance.now() >= endAtMs) this.#end({});
    }
    signal.removeEventListener('abort', leave);
    return this.#ending;
  }

  send({mood}) {
    this.#poller.setMood(mood, performance.now());
    this.#wake();
  }

  close({graceful = false} = {}) {
    if (graceful && !this.#ending && this.#poller.leave()) {
      beacon(`${this.address}/leave`, {visitor: this.self().visitor});
      this.emit('left');
    }
    this.#end({});
  }

  wake() {
    this.#wake();
  }

  #end(ending) {
    this.#ending ??= ending;
    this.#wake();
  }

  #sleep(ms) {
    return new Promise((resolve) => {
      const timer = after(ms, resolve);
      this.#wake = () => (clearTimeout(timer), resolve());
    });
  }

  /** Send a request of the poller, and pass it the outcome. */
  async #send(due) {
    try {
      await (due === POLL ? this.#poll() : this.#report(due));
    } catch (error) {
      if (!this.#ending) this.#fail(due, error);
    }
    this.#wake();
  }

  async #poll() {
    const presence = await this.#read(request(this.#presenceUrl));
    if (this.#ending) return;
    this.#poller.polled(presence, performance.now());
    this.emit('presence', presence);
    this.emit('heartbeat');
  }

  async #report({visitor, mood, epoch}) {
    const sentMs = Date.now();
    // As plain text: for JSON a browser would send a CORS preflight to another origin before every report.
    const body = JSON.stringify({visitor, mood, epoch});
    const presence = await this.#read(request(`${this.address}/heartbeat`, {method: 'POST', body}));
    if (this.#ending) return;
    this.emit('time', {sentMs, nowMs: presence.as_of_ms}); // no cache keeps this response
    this.#poller.acknowledged(presence, performance.now());
    this.emit('counted');
    this.emit('presence', presence);
    this.emit('heartbeat');
  }

  #fail(due, error) {
    const {code, message, retryMs, stop} = error;
    if (code === 'unknown_mood') {
      this.emit('refused', {code, message, forget: true});
      this.#poller.setMood(undefined, performance.now());
    } else if (code !== 'bad_epoch' && (stop || this.#fallback)) {
      return this.#end(error);
    }
    if (code === 'bad_epoch') this.#poller.epochExpired(performance.now());
    else this.#poller.failed(due, performance.now(), retryMs);
    if (due === POLL) this.emit('lost');
  }

  /** Read the presence in a response; throws where there is none, as in a proxy's page with status 200. */
  async #read(response) {
    const presence = await (await response).json();
    const {poll_ms, as_of_ms, epoch, sample_rate} = presence;
    const isPresence = poll_ms > 0 && [as_of_ms, epoch, sample_rate].every(Number.isFinite);
    if (!isPresence) throw new TypeError('this is no presence');
    return this.#fallback ? {...presence, poll_ms: Math.min(poll_ms, FALLBACK_POLL_MS)} : presence;
  }
}
