/**
 * What is told to those who listen rather than look: seldom, and only what matters.
 */

/** Between two tellings, at least. */
const REST_MS = 30_000;
/** A crowd that grows or shrinks by less than this share is the same crowd. */
const SAME_CROWD = 0.1;

export class News {
  #told = null;
  #toldAtMs = -Infinity;

  /** What is to be told now of `{sentence, state, count}`; empty: nothing. */
  next(seen, nowMs) {
    if (nowMs - this.#toldAtMs < REST_MS || !isNews(this.#told, seen)) return '';
    this.#told = seen;
    this.#toldAtMs = nowMs;
    return seen.sentence;
  }
}

function isNews(told, seen) {
  if (!told) return seen.state !== 'unknown'; // that nothing is known yet is no news
  if (told.sentence === seen.sentence) return false;
  if (told.state !== seen.state || told.count === null || seen.count === null) return true;
  return Math.abs(seen.count - told.count) >= SAME_CROWD * told.count;
}
