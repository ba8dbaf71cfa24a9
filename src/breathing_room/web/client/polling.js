/**
 * Somebody without a socket: when to look, when to report, when to say goodbye.
 *
 * The same as `core/client_rules/polling.py` and `core/tickets.py`, in the same words and order; tests hold one against the other.
 * Nothing here knows how it is carried: `poll_transport.js` does that. No coin is flipped: whoever holds a ticket below the
 * announced rate is asked to report, and the ticket is drawn once, for the whole stay.
 */

const STRIDE_LEAST = 0.9;
const STRIDE_MOST = 1.1;
/** Of a longer beat only so much is stretched: a tenth of it is less than the 45 s by which a report may be late. */
const HEARTBEAT_STRETCHED_MS = 300_000;
const BACKOFF_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
const TICKETS = 2 ** 32;
/** Later than any instant. */
const NEVER = Infinity;

export const POLL = {type: 'poll'};

/** The ticket of a visitor, a number in [0, 1): MurmurHash3's finaliser over room, epoch and id. */
export function ticket(visitor, room, epoch) {
  let state = 0x9e3779b9;
  for (const byte of new TextEncoder().encode(`${room}\0${epoch}\0${visitor}`)) {
    state ^= byte;
    state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
    state ^= state >>> 16;
  }
  return (state >>> 0) / TICKETS;
}

/**
 * One visitor who polls; null for somebody who only looks, and is never asked. Every time given is by a clock that does
 * not jump, and at least as late as the last.
 */
export class Poller {
  #visitor;
  #room;
  #beatMs;
  #mood;
  #moodTold;
  #random;
  #stride;
  // What the server said last, and when that was true.
  #asOfMs = -1;
  #epoch = null;
  #ticket = 1;
  #rate = 0;
  #pollAtMs;
  #pollFailures = 0;
  #reportAtMs = NEVER;
  #reportFailures = 0;
  #shedUntilMs;
  #reporting = false;
  #reported = false;
  #acknowledged = false;

  constructor({visitor, room, beatMs, mood, nowMs, random = Math.random}) {
    this.#visitor = visitor;
    this.#room = room;
    this.#mood = this.#moodTold = mood;
    this.#random = random;
    this.#stride = this.#uniform(STRIDE_LEAST, STRIDE_MOST);
    this.#beatMs = beatMs + Math.round(Math.min(beatMs, HEARTBEAT_STRETCHED_MS) * (this.#stride - 1));
    this.#pollAtMs = this.#shedUntilMs = nowMs;
  }

  // --- what can be asked ---

  /** When to call `due`; later is harmless. */
  get nextAtMs() {
    return Math.min(this.#pollAtMs, this.#reportAtMs);
  }

  /** Whether we are in the sample, as far as we know. */
  get isAsked() {
    return this.#ticket < this.#rate;
  }

  /** Whether the server took our report, and has not said since that it needs none. */
  get isAcknowledged() {
    return this.#acknowledged;
  }

  // --- what happens ---

  /** List what to send now. Each is on its way from then on, until one of the calls below. */
  due(nowMs) {
    const requests = [];
    if (this.#reportAtMs <= nowMs) {
      this.#reportAtMs = NEVER;
      this.#reporting = this.#reported = true;
      this.#moodTold = this.#mood;
      requests.push({type: 'report', visitor: this.#visitor, mood: this.#mood, epoch: this.#epoch});
    }
    if (this.#pollAtMs <= nowMs) {
      this.#pollAtMs = NEVER;
      requests.push(POLL);
    }
    return requests;
  }

  /** A poll was answered. */
  heard(presence, nowMs) {
    this.#pollFailures = 0;
    this.#pollAtMs = nowMs + Math.round(presence.poll_ms * this.#stride);
    if (this.#epoch === null || presence.epoch > this.#epoch + 1) this.#beginStay(presence.epoch);
    this.#learn(presence);
    if (!this.isAsked) {
      this.#acknowledged = false;
      this.#reportAtMs = NEVER;
      // The server gave our seat up when it lowered the rate: there is nothing to take back any more.
      this.#reported = this.#reporting;
    } else if (!this.#acknowledged && !this.#reporting && this.#reportAtMs === NEVER) {
      this.#reportAtMs = Math.max(nowMs, this.#shedUntilMs);
    }
  }

  /** A report was answered; whether it counts, the rate in the answer says. */
  acknowledged(presence, nowMs) {
    this.#reporting = false;
    this.#reportFailures = 0;
    this.#learn(presence);
    this.#acknowledged = this.#reported = this.isAsked;
    this.#reportAtMs = NEVER;
    if (this.#acknowledged) this.#reportAtMs = this.#mood === this.#moodTold ? nowMs + this.#beatMs : nowMs;
    // The answer says what a poll would, and it is fresher.
    if (this.#pollAtMs !== NEVER) this.#pollAtMs = nowMs + Math.round(presence.poll_ms * this.#stride);
  }

  /** A request came to nothing; `retryMs` is how long the server told us to stay away, null if it did not. */
  failed(request, nowMs, retryMs = null) {
    if (request === POLL) {
      this.#pollAtMs = nowMs + (retryMs ?? 0) + this.#waitMs(this.#pollFailures++);
      return;
    }
    this.#reporting = false;
    const atMs = nowMs + (retryMs ?? 0) + this.#waitMs(this.#reportFailures++);
    if (!this.isAsked) { // The rate fell while it was on its way: nobody wants it any more.
      this.#reported = false;
      return;
    }
    if (retryMs === null) {
      this.#reportAtMs = atMs;
      return;
    }
    // It was shed: look first, and report if we are still asked. A poll on its way will do for the looking.
    this.#acknowledged = false;
    this.#reportAtMs = NEVER;
    this.#shedUntilMs = atMs;
    if (this.#pollAtMs !== NEVER) this.#pollAtMs = atMs;
  }

  /** The server refused a report, since our stay began in an epoch that is over: begin another. */
  outdated(nowMs) {
    this.#reporting = this.#acknowledged = false;
    this.#epoch = null;
    this.#ticket = 1;
    this.#reportAtMs = NEVER;
    if (this.#pollAtMs !== NEVER) this.#pollAtMs = nowMs + this.#waitMs(this.#reportFailures);
    this.#reportFailures++;
  }

  /** Somebody feels otherwise. Who is counted says so at once. */
  feel(mood, nowMs) {
    this.#mood = mood;
    if (this.#acknowledged && !this.#reporting && mood !== this.#moodTold) this.#reportAtMs = nowMs;
  }

  /** Somebody goes; tells whether to say goodbye. Whoever has no seat has nothing to take back. */
  leave() {
    return this.#reported;
  }

  // --- inside ---

  /** Take note of the rate, unless a cache kept the presence for so long that we know better. */
  #learn({as_of_ms, sample_rate}) {
    if (as_of_ms < this.#asOfMs) return;
    this.#asOfMs = as_of_ms;
    this.#rate = sample_rate;
  }

  #beginStay(epoch) {
    this.#epoch = epoch;
    if (this.#visitor !== null) this.#ticket = ticket(this.#visitor, this.#room, epoch);
    this.#acknowledged = false;
    this.#reportAtMs = NEVER;
  }

  /** Full jitter: a random wait up to 1 s, 2 s, 4 s, … 30 s. */
  #waitMs(failures) {
    return Math.round(this.#uniform(0, Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(failures, 10))));
  }

  #uniform(low, high) {
    return low + (high - low) * this.#random();
  }
}
