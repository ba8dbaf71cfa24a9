/**
 * What to show between two polls: a count that is interpolated from one presence to the next.
 *
 * The same as `core/client_rules/interpolation.py`. The displayed count always lies in the interval of the
 * latest presence; it moves one way and arrives with the next poll; it does not start from an unknown count,
 * so that no room seems to fill up from 0.
 */
export class Interpolator {
  /** From `start` to `end` (null: nothing is to be shown), within `lengthMs` from `beganAtMs` on. */
  constructor(start = null, end = null, beganAtMs = 0, lengthMs = 0) {
    Object.assign(this, {start, end, beganAtMs, lengthMs});
  }

  /** The count to display at an instant. */
  at(nowMs) {
    const {start, end, beganAtMs, lengthMs} = this;
    if (end === null || start === null || nowMs >= beganAtMs + lengthMs) return end;
    return start + Math.round((end - start) * (Math.max(0, nowMs - beganAtMs) / lengthMs));
  }

  /**
   * An interpolator from the count that is displayed now to a new presence; the next one is expected in
   * `lengthMs`.
   */
  retarget({count, low, high}, nowMs, lengthMs) {
    const displayed = this.at(nowMs);
    if (count === null || displayed === null) return new Interpolator(count, count, nowMs, 0);
    return new Interpolator(Math.min(Math.max(displayed, low), high ?? Infinity), count, nowMs, lengthMs);
  }
}
