/**
 * A visitor that polls: when to poll, when to report, and whether to send a leave.
 *
 * The same as `core/client_rules/polling.py` and `core/tickets.py`, in the same order; tests compare the two.
 * It sends nothing itself: `poll_transport.js` does. Sampling is not random per report: a visitor whose
 * ticket is below the published rate is in the sample, and the ticket is drawn once for the whole visit.
 */

const STRIDE_MIN = 0.9;
const STRIDE_MAX = 1.1;
/**
 * The part of a heartbeat interval that is jittered: a tenth of it is less than the 45 s by which a report
 * may be late.
 */
const HEARTBEAT_JITTERED_MS = 300_000;
const BACKOFF_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
const TICKETS = 2 ** 32;
/** No deadline. */
const NO_DEADLINE = Infinity;

export const POLL = {type: 'poll'};

/** The ticket of a visitor, a number in [0, 1): MurmurHash3's finalizer over room, epoch and id. */
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
 * One visitor that polls; the id is null for an observer, which is never in the sample. Every time given is
 * by a monotonic clock.
 */
export class Poller {
  #visitor;
  #room;
  #heartbeatMs;
  #mood;
  #moodSent;
  #random;
  #stride;
  // What the server published last, and when that was true.
  #asOfMs = -1;
  #epoch = null;
  #ticket = 1;
  #rate = 0;
  #pollAtMs;
  #pollFailures = 0;
  #reportAtMs = NO_DEADLINE;
  #reportFailures = 0;
  #shedUntilMs;
  #reporting = false;
  #reported = false;
  #acknowledged = false;

  constructor({visitor, room, heartbeatMs, mood, nowMs, random = Math.random}) {
    this.#visitor = visitor;
    this.#room = room;
    this.#mood = this.#moodSent = mood;
    this.#random = random;
    this.#stride = this.#uniform(STRIDE_MIN, STRIDE_MAX);
    this.#heartbeatMs = heartbeatMs + Math.round(Math.min(heartbeatMs, HEARTBEAT_JITTERED_MS) * (this.#stride - 1));
    this.#pollAtMs = this.#shedUntilMs = nowMs;
  }

  // --- queries ---

  /** When to call `due`; later is harmless. */
  get nextAtMs() {
    return Math.min(this.#pollAtMs, this.#reportAtMs);
  }

  /** Whether this visitor is in the sample, as far as is known. */
  get isSampled() {
    return this.#ticket < this.#rate;
  }

  /** Whether the server took the last report, and the visitor is still in the sample. */
  get isAcknowledged() {
    return this.#acknowledged;
  }

  // --- events ---

  /** Return the requests to send now. Each is in flight until one of the methods below gives its outcome. */
  due(nowMs) {
    const requests = [];
    if (this.#reportAtMs <= nowMs) {
      this.#reportAtMs = NO_DEADLINE;
      this.#reporting = this.#reported = true;
      this.#moodSent = this.#mood;
      requests.push({type: 'report', visitor: this.#visitor, mood: this.#mood, epoch: this.#epoch});
    }
    if (this.#pollAtMs <= nowMs) {
      this.#pollAtMs = NO_DEADLINE;
      requests.push(POLL);
    }
    return requests;
  }

  /** A poll was answered. */
  polled(presence, nowMs) {
    this.#pollFailures = 0;
    this.#pollAtMs = nowMs + Math.round(presence.poll_ms * this.#stride);
    if (this.#epoch === null || presence.epoch > this.#epoch + 1) this.#beginVisit(presence.epoch);
    this.#noteRate(presence);
    if (!this.isSampled) {
      this.#acknowledged = false;
      this.#reportAtMs = NO_DEADLINE;
      // The server removed our seat when it lowered the rate: there is nothing to leave any more.
      this.#reported = this.#reporting;
    } else if (!this.#acknowledged && !this.#reporting && this.#reportAtMs === NO_DEADLINE) {
      this.#reportAtMs = Math.max(nowMs, this.#shedUntilMs);
    }
  }

  /** A report was answered; the rate in the response says whether the visitor is still in the sample. */
  acknowledged(presence, nowMs) {
    this.#reporting = false;
    this.#reportFailures = 0;
    this.#noteRate(presence);
    this.#acknowledged = this.#reported = this.isSampled;
    this.#reportAtMs = NO_DEADLINE;
    if (this.#acknowledged) this.#reportAtMs = this.#mood === this.#moodSent ? nowMs + this.#heartbeatMs : nowMs;
    // The response has what a poll would, and it is fresher.
    if (this.#pollAtMs !== NO_DEADLINE) this.#pollAtMs = nowMs + Math.round(presence.poll_ms * this.#stride);
  }

  /** A request failed; `retryMs` is the wait that the server asked for, null if it asked for none. */
  failed(request, nowMs, retryMs = null) {
    if (request === POLL) {
      this.#pollAtMs = nowMs + (retryMs ?? 0) + this.#waitMs(this.#pollFailures++);
      return;
    }
    this.#reporting = false;
    const atMs = nowMs + (retryMs ?? 0) + this.#waitMs(this.#reportFailures++);
    if (!this.isSampled) { // The rate fell while it was in flight: it is not needed any more.
      this.#reported = false;
      return;
    }
    if (retryMs === null) {
      this.#reportAtMs = atMs;
      return;
    }
    // It was shed: poll first, and report if the visitor is still in the sample. A poll in flight is enough.
    this.#acknowledged = false;
    this.#reportAtMs = NO_DEADLINE;
    this.#shedUntilMs = atMs;
    if (this.#pollAtMs !== NO_DEADLINE) this.#pollAtMs = atMs;
  }

  /** The server rejected a report, since the epoch of the visit has expired: begin another visit. */
  epochExpired(nowMs) {
    this.#reporting = this.#acknowledged = false;
    this.#epoch = null;
    this.#ticket = 1;
    this.#reportAtMs = NO_DEADLINE;
    if (this.#pollAtMs !== NO_DEADLINE) this.#pollAtMs = nowMs + this.#waitMs(this.#reportFailures);
    this.#reportFailures++;
  }

  /** The mood was changed. A visitor in the sample reports it at once. */
  setMood(mood, nowMs) {
    this.#mood = mood;
    if (this.#acknowledged && !this.#reporting && mood !== this.#moodSent) this.#reportAtMs = nowMs;
  }

  /** Return whether to send a leave: without a seat there is nothing to leave. */
  leave() {
    return this.#reported;
  }

  // --- inside ---

  /** Take the rate of a presence, unless a cache kept it for so long that a later one is known. */
  #noteRate({as_of_ms, sample_rate}) {
    if (as_of_ms < this.#asOfMs) return;
    this.#asOfMs = as_of_ms;
    this.#rate = sample_rate;
  }

  #beginVisit(epoch) {
    this.#epoch = epoch;
    if (this.#visitor !== null) this.#ticket = ticket(this.#visitor, this.#room, epoch);
    this.#acknowledged = false;
    this.#reportAtMs = NO_DEADLINE;
  }

  /** Full jitter: a random wait up to 1 s, 2 s, 4 s, … 30 s. */
  #waitMs(failures) {
    return Math.round(this.#uniform(0, Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(failures, 10))));
  }

  #uniform(low, high) {
    return low + (high - low) * this.#random();
  }
}
