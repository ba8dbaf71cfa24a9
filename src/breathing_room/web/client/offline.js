/**
 * Show how many are usually in a room, without a server: from its averages by hour of the week, a static
 * file.
 *
 * The same as `core/estimate/history.py`. The presence is a prediction and always labeled `estimated`, with
 * the interval that the file gives; an hour that was not observed in two weeks has none, and is `unknown`.
 */

import {beacon, request} from './http.js';
import {rounded} from './rounding.js';
import {Transport} from './transport.js';

const HOUR_MS = 3_600_000;
const HOURS = 168;
/** Hour 0 is Monday, 00:00 UTC, and 1970-01-01 was a Thursday. */
const EPOCH_HOUR = 3 * 24;

/** A visit without a server. To `report`, if given, joins, changes of mood and leaves are posted. */
export class OfflineTransport extends Transport {
  name = 'history';

  #url;
  #report;
  #joined = false;  // whether the join was reported
  #over = false;
  #wake = () => {};

  /** `url` is where the averages are. */
  constructor({url, report, ...place}) {
    super(place);
    this.#url = url;
    this.#report = report;
  }

  async run(signal) {
    const history = await (await request(this.#url)).json();
    if (this.#over || signal.aborted) return {};
    const moods = [...new Set(history.hours.flatMap((hour) => Object.keys(hour.moods)))];
    const own = moods.filter((mood) => mood !== 'unspoken' && mood !== 'merged');
    this.emit('config', {room: this.room, mode: 'offline', moods: own});

    const leave = () => this.close({graceful: true});
    signal.addEventListener('abort', leave);
    this.#joined = true;
    this.#sendReport('join');
    while (!this.#over) {
      this.emit('presence', usual(history, Date.now(), this.observe ? 0 : 1));
      await this.#sleep(HOUR_MS - (Date.now() % HOUR_MS));
    }
    signal.removeEventListener('abort', leave);
    return {};
  }

  send({type}) {
    if (this.#joined) this.#sendReport(type);
  }

  close({graceful = false} = {}) {
    if (graceful && !this.#over) this.#sendReport('leave');
    this.#over = true;
    this.#wake();
  }

  wake() {
    this.#wake();
  }

  #sendReport(event) {
    // It has no id: events are collected, not people.
    if (this.#report) beacon(this.#report, {room: this.room, event, mood: this.self().mood});
  }

  #sleep(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => (clearTimeout(timer), resolve());
    });
  }
}

/** A presence from the averages, at an instant; `here` is 1 if the reader is counted, who is surely there. */
export function usual({room, hours}, nowMs, here) {
  const hour = (Math.floor(nowMs / HOUR_MS) + EPOCH_HOUR) % HOURS;
  const average = hours.find((other) => other.hour === hour) ?? {low: null};
  const leftMs = HOUR_MS - (nowMs % HOUR_MS);
  const presence = {room, sample_rate: 0, as_of_ms: nowMs, stale_after_ms: leftMs, poll_ms: leftMs, mood_intervals: {}};
  if (average.low === null) {
    return {...presence, count: null, low: here, high: null, method: 'unknown', moods: {}, unspoken: here, label: 'unknown'};
  }
  const count = Math.max(Math.round(average.count), here);
  const low = Math.max(average.low, here);
  const high = Math.max(average.high, count);
  const {merged = 0, unspoken = 0, ...moods} = average.moods;
  const names = Object.keys(moods);
  // Moods that were merged then cannot be separated now.
  const parts = merged ? [...names, ''].map(() => null) : apportion(count, [...Object.values(moods), unspoken]);
  const byMood = Object.fromEntries(names.map((mood, index) => [mood, parts[index]]));
  return {...presence, count, low, high, method: 'estimated', moods: byMood, unspoken: parts.at(-1), label: label(count, low, high)};
}

/**
 * Apportion a whole number by weights, by largest remainders. If all weights are 0, the last part gets it.
 */
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

/** The label of a count: rounded to its own precision, in English. */
function label(count, low, high) {
  const {figure, exact} = rounded(count, low, high);
  return (exact ? '' : 'about ') + figure.toLocaleString('en');
}
