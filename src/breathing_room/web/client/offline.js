/**
 * To show who is usually in a room, with no server at all: from its averages by hour of the week, a static file.
 *
 * The same as `core/estimate/history.py`. What is shown is a prediction and always labelled `estimated`, with the interval
 * that the file gives; an hour that was not seen in two weeks has none, and says `unknown`. `client.js` says what a line is.
 */

const HOUR_MS = 3_600_000;
const HOURS = 168;
/** Hour 0 is Monday, 00:00 UTC, and 1970-01-01 was a Thursday. */
const EPOCH_HOUR = 3 * 24;

/** Be on one's own until the line is given up; `report`, if any, is told that somebody came, felt otherwise, or went. */
export async function offline(line, {url, report}) {
  const history = await (await line.ask(url)).json();
  const moods = [...new Set(history.hours.flatMap((hour) => Object.keys(hour.moods)))];
  line.adopt({room: line.room, mode: 'offline', moods: moods.filter((mood) => mood !== 'unspoken' && mood !== 'merged')});

  const tell = (event) => {
    // No id goes with it: whoever collects these counts events, not people.
    if (report) line.beacon(report, {room: line.room, event, mood: line.self().mood});
  };
  let wake;
  let over = false;
  line.drop = () => {
    over = true;
    wake?.();
  };
  line.tell = () => tell('mood');
  line.wake = () => wake?.();
  line.signal.addEventListener('abort', () => {
    if (!over) tell('leave');
    line.drop();
  });
  tell('join');
  while (!over) {
    line.hear(usual(history, Date.now(), line.observe ? 0 : 1), 'history');
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, HOUR_MS - (Date.now() % HOUR_MS));
      wake = () => (clearTimeout(timer), resolve());
    });
  }
  return {};
}

/** A presence from the averages, at an instant; `here` people are surely there: us. */
export function usual({room, hours}, nowMs, here) {
  const hour = (Math.floor(nowMs / HOUR_MS) + EPOCH_HOUR) % HOURS;
  const average = hours.find((other) => other.hour === hour) ?? {low: null};
  const leftMs = HOUR_MS - (nowMs % HOUR_MS);
  const presence = {room, rate: 0, as_of_ms: nowMs, valid_ms: leftMs, next_ms: leftMs, mood_intervals: {}};
  if (average.low === null) {
    return {...presence, count: null, low: here, high: null, method: 'unknown', moods: {}, unspoken: here, label: 'unknown'};
  }
  const count = Math.max(Math.round(average.count), here);
  const low = Math.max(average.low, here);
  const high = Math.max(average.high, count);
  const {merged = 0, unspoken = 0, ...moods} = average.moods;
  const names = Object.keys(moods);
  // What was not told apart then cannot be told apart now.
  const parts = merged ? [...names, ''].map(() => null) : apportion(count, [...Object.values(moods), unspoken]);
  const told = Object.fromEntries(names.map((mood, index) => [mood, parts[index]]));
  return {...presence, count, low, high, method: 'estimated', moods: told, unspoken: parts.at(-1), label: label(count, low, high)};
}

/** Share a whole number out so that the parts sum to it: largest remainders. If all weights are 0, it goes to the last. */
function apportion(total, weights) {
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  if (!whole) return weights.map((_, index) => (index === weights.length - 1 ? total : 0));
  const exact = weights.map((weight) => (total * weight) / whole);
  const parts = exact.map(Math.floor);
  const order = exact.map((_, index) => index).sort((one, other) => parts[one] - exact[one] - (parts[other] - exact[other]));
  const left = total - parts.reduce((sum, part) => sum + part, 0);
  for (const index of order.slice(0, left)) parts[index]++;
  return parts;
}

/** A count as people read it: rounded to 1, 2, 5, 10, 20, … which is at most half of what it may be off by. */
function label(count, low, high) {
  const widest = Math.floor((high - low) / 2);
  let step = 1;
  for (let index = 1; ; index++) {
    const next = 10 ** Math.floor(index / 3) * [1, 2, 5][index % 3];
    if (next > widest) break;
    step = next;
  }
  let figure = Math.floor((count + Math.floor(step / 2)) / step) * step || count;
  if (figure > high) figure -= step;
  else if (figure < low) figure += step;
  return (step > 1 ? 'about ' : '') + figure.toLocaleString('en');
}
