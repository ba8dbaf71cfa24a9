/**
 * Round a number of people to its own precision: no finer than its interval.
 *
 * The same as `precision` and `read_label` in `core/presence.py`, without what keeps a label from jittering.
 */

/** The largest of 1, 2, 5, 10, 20, 50, … that is at most half of an interval's width; at least 1. */
export function precision(low, high) {
  const half = Math.floor((high - low) / 2);
  let step = 1;
  for (let ten = 1; ten <= half; ten *= 10) step = [5, 2, 1].find((factor) => factor * ten <= half) * ten;
  return step;
}

/**
 * Round a count to the precision of its interval.
 *
 * @returns {{figure: number, exact: boolean}}  `figure` lies in the interval, and is 0 only if the count is.
 */
export function rounded(count, low, high) {
  const step = precision(low, high);
  let figure = Math.round(count / step) * step || count;
  // The interval may begin or end near the count. It holds two steps, so one back is inside.
  if (figure > high) figure -= step;
  else if (figure < low) figure += step;
  return {figure, exact: step === 1};
}
