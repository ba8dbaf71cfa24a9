/** Timers for any length of time, also one that a server, a page or a clock got wrong. */

/**
 * The longest time of a timer. It takes a longer one for 0, so that a wait of a month would loop without end.
 */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Call `act` after `ms`, or after 24 days where that is later. */
export function after(ms, act) {
  return setTimeout(act, Math.min(ms, TIMER_MS_MAX));
}
