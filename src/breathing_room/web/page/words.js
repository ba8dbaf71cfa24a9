/**
 * Every sentence of the page. Pure, apart from the loading of a language.
 *
 * A language is a file, `words.de.js`, of which `words.en.js` is the pattern; it is found by its name alone.
 * Three rules: a number that is not known is never shown as 0, being alone is said only when it is counted,
 * and no number is shown finer than it is known.
 */

import {Counting, fill, othersOf} from './others.js';
import {rounded} from './rounding.js';
import * as english from './words.en.js';

/** The confidence level of a presence's interval. */
const LEVEL = 0.95;

/**
 * Load the words of the first of these languages that there is: `await loadWords(['de-AT', 'fr'])`; else
 * English.
 */
export async function loadWords(tags) {
  for (const tag of tags.filter(Boolean)) {
    try {
      const {language, baseName} = new Intl.Locale(tag);
      return new Words(baseName, language === 'en' ? english : await import(`./words.${language}.js`));
    } catch {
      // The tag is invalid, or there is no file of its language.
    }
  }
  return new Words('en', english);
}

class Words {
  #phrases;
  #counting;
  #percent;
  #compact;
  #relative;

  /** In the language of a tag, such as `de-AT`, with what its file has. */
  constructor(lang, {here, default: phrases}) {
    this.lang = lang;
    this.dir = phrases.dir;
    this.#phrases = {...here, ...phrases};
    this.#counting = new Counting(lang, here);
    this.#percent = new Intl.NumberFormat(lang, {style: 'percent'});
    this.#compact = new Intl.NumberFormat(lang, {notation: 'compact'});
    this.#relative = new Intl.RelativeTimeFormat(lang);
  }

  /** The page's title; without a room, that of the default one. */
  title(room) {
    return room ? `Breathing Room · ${room}` : 'Breathing Room';
  }

  /** A phrase without a number. */
  say(key) {
    return this.#phrases[key];
  }

  phase(name) {
    return this.#phrases.phases[name] ?? name;
  }

  /** What the orb does, for those who cannot see it. */
  breath(phases) {
    const seconds = new Intl.NumberFormat(this.lang, {style: 'unit', unit: 'second', unitDisplay: 'long'});
    const parts = phases.map(([name, lengthMs]) => `${this.phase(name)} ${seconds.format(lengthMs / 1_000)}`);
    return `${this.#phrases.breath}: ${new Intl.ListFormat(this.lang, {type: 'unit'}).format(parts)}`;
  }

  /**
   * The sentence under the orb: how many others are here. `displayedCount` is the count to display now, which
   * is interpolated between two polls, and `counted` whether the count includes the reader.
   */
  people(presence, state, displayedCount, counted = true) {
    const {looking, counting, first, alone, people, here, usual_people} = this.#phrases;
    if (state === 'unknown') return presence ? counting : looking;
    if (presence.method === 'estimated') {
      const usual = othersOf(presence, false, displayedCount);
      return usual.exact > 1 ? this.#counting.phrase(usual_people, {...usual, about: false}) : alone;
    }
    const others = othersOf(presence, counted, displayedCount);
    if (!counted) return this.#counting.phrase(here, others);
    if (others.number) return this.#counting.phrase(people, others);
    return others.certain && state === 'live' ? first : alone;
  }

  /**
   * How the number was obtained, and when: the quiet line. `ageMs` is 0 while changes are pushed, and `lost`
   * means that there is no connection.
   */
  source(presence, state, ageMs, lost = false) {
    const {connecting, recounting, known, last_known, now, methods} = this.#phrases;
    if (!presence) return join(known.not_yet, connecting);
    if (state === 'unknown') return join(known.not_yet, ageMs ? connecting : known.soon);
    const again = lost ? connecting : '';
    if (state === 'stale' && !ageMs) return join(last_known, this.#range(presence), recounting);
    if (state === 'stale') return join(last_known, this.#ago(ageMs), again);
    const when = ageMs ? this.#ago(ageMs) : now;
    const {method} = presence;
    return join(methods[method] ?? method, this.#error(presence), method === 'estimated' ? '' : when, again);
  }

  /** Why the page stopped asking. */
  stopped(code) {
    return this.#phrases.stopped[code] ?? this.#phrases.stopped.otherwise;
  }

  /** A mood's name. Those of a room's own are shown as they are. */
  mood(name) {
    return this.#phrases.moods[name] ?? name.replace(/[_-]/g, ' ');
  }

  /** How many feel so, in the little room of a button: 7,204, but ~2,400 where it is estimated, and 12K. */
  tally({people, low, high}) {
    const {figure, exact} = rounded(people, low, high);
    return `${exact ? '' : '~'}${figure < 10_000 ? this.#counting.write(figure) : this.#compact.format(figure)}`;
  }

  /** The accessible name of a mood's button. */
  button({mood, people, low, high}) {
    if (people === null) return `${this.mood(mood)}, ${this.#phrases.apart}`;
    if (!people) return this.mood(mood);
    const {figure, exact} = rounded(people, low, high);
    const number = this.#counting.write(figure);
    return `${this.mood(mood)}, ${exact ? number : fill(this.#phrases.about, number)}`;
  }

  /** How many named no mood, and how many are in merged moods. */
  rest(unspoken, merged) {
    const {unspoken: without, merged: together} = this.#phrases;
    return join(unspoken.people ? fill(without, this.tally(unspoken)) : '', merged.people ? fill(together, this.tally(merged)) : '');
  }

  /** The error of the count: its interval. */
  #error({count, low, high, method}) {
    if (low >= high) return '';
    if (method === 'sampled' && count) {
      // Rounded up, and of the farther end, so that it covers the whole interval.
      const share = Math.ceil((100 * Math.max(high - count, count - low)) / count) / 100;
      return fill(fill(this.#phrases.within, this.#percent.format(share)), this.#percent.format(LEVEL), '{level}');
    }
    // A count of sockets is uncertain only by the suspect ones, whose connections are lost and whose leases
    // still run.
    if (method === 'counted' && count === high) return this.#counting.phrase(this.#phrases.silent, {number: high - low});
    return this.#range({low, high});
  }

  #range({low, high}) {
    return low < high ? fill(fill(this.#phrases.range, this.#counting.write(low)), this.#counting.write(high), '{high}') : '';
  }

  /** A length of time, as one would say it. */
  #ago(ms) {
    const minutes = Math.round(ms / 60_000);
    if (minutes < 1) return this.#phrases.moment;
    if (minutes < 2) return this.#phrases.minute;
    return minutes < 60 ? this.#relative.format(-minutes, 'minute') : this.#relative.format(-Math.round(minutes / 60), 'hour');
  }
}

const join = (...parts) => parts.filter(Boolean).join(' · ');
