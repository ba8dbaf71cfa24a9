/**
 * The text of the page's ARIA live region, which screen readers read out: it changes seldom, and only for
 * what matters.
 */

/** Between two changes, at least. */
const INTERVAL_MS = 30_000;
/** A crowd that grows or shrinks by less than this share is not worth a change. */
const SAME_CROWD = 0.1;

export class LiveRegion {
  #last = null;
  #changedAtMs = -Infinity;

  /** The new text for `{sentence, state, count}`; empty: it stays. */
  next(seen, nowMs) {
    if (nowMs - this.#changedAtMs < INTERVAL_MS || !matters(this.#last, seen)) return '';
    this.#last = seen;
    this.#changedAtMs = nowMs;
    return seen.sentence;
  }
}

function matters(last, seen) {
  if (!last) return seen.state !== 'unknown'; // that nothing is known yet does not matter
  if (last.sentence === seen.sentence) return false;
  if (last.state !== seen.state || last.count === null || seen.count === null) return true;
  return Math.abs(seen.count - last.count) >= SAME_CROWD * last.count;
}
