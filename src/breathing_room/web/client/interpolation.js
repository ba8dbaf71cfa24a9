/**
 * What to show between two polls: a count that walks from one presence to the next.
 *
 * The same as `core/client_rules/interpolation.py`. What is shown always lies in the interval of the latest presence; a walk goes one
 * way and takes until the next poll; what was not known is not walked from, so nobody sees a room fill up from 0.
 */
export class Walk {
  /** From `start` to `end` (null: nothing is to be shown), within `lengthMs` from `beganAtMs` on. */
  constructor(start = null, end = null, beganAtMs = 0, lengthMs = 0) {
    Object.assign(this, {start, end, beganAtMs, lengthMs});
  }

  /** What to show at an instant. */
  at(nowMs) {
    const {start, end, beganAtMs, lengthMs} = this;
    if (end === null || start === null || nowMs >= beganAtMs + lengthMs) return end;
    return start + Math.round((end - start) * (Math.max(0, nowMs - beganAtMs) / lengthMs));
  }

  /** Turn to a new presence; the next one is expected in `lengthMs`. */
  toward({count, low, high}, nowMs, lengthMs) {
    const shown = this.at(nowMs);
    if (count === null || shown === null) return new Walk(count, count, nowMs, 0);
    return new Walk(Math.min(Math.max(shown, low), high ?? Infinity), count, nowMs, lengthMs);
  }
}
