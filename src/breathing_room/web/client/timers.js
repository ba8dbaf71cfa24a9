/** Timers for any length of time, and for one that a server, a page or a clock got wrong. */

/** A timer holds no more, and takes more for 0: what should wait for a month would run in a circle. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Call `act` after `ms`, or after 24 days where that is later. */
export function after(ms, act) {
  return setTimeout(act, Math.min(ms, TIMER_MS_MAX));
}
