/**
 * Every sentence of the page. Pure but for the loading of a language.
 *
 * A language is a file, `words.de.js`, of which `words.en.js` is the pattern; it is found by its name alone. Three rules: a number
 * that is not known is never shown as 0, being alone is said only when it is counted, and no number is shown finer than it is
 * known.
 */

import english from './words.en.js';

/** A presence's interval holds the truth so often. */
const LEVEL = 0.95;

/** Speak the first of these languages that there is: `await speak(['de-AT', 'fr'])`; English, if there is none. */
export async function speak(tags) {
  for (const tag of tags.filter(Boolean)) {
    try {
      const {language, baseName} = new Intl.Locale(tag);
      const {default: phrases} = language === 'en' ? {default: english} : await import(`./words.${language}.js`);
      return new Words(baseName, phrases);
    } catch {
      // It is no language, or there is no file of it.
    }
  }
  return new Words('en', english);
}

class Words {
  #phrases;
  #number;
  #percent;
  #compact;
  #plural;
  #relative;

  /** In the language of a tag, such as `de-AT`, with these phrases. */
  constructor(lang, phrases) {
    this.lang = lang;
    this.dir = phrases.dir;
    this.#phrases = phrases;
    this.#number = new Intl.NumberFormat(lang);
    this.#percent = new Intl.NumberFormat(lang, {style: 'percent'});
    this.#compact = new Intl.NumberFormat(lang, {notation: 'compact'});
    this.#plural = new Intl.PluralRules(lang);
    this.#relative = new Intl.RelativeTimeFormat(lang);
  }

  title(room) {
    return room === 'lobby' ? 'Breathing Room' : `Breathing Room · ${room}`;
  }

  /** A phrase that says no number. */
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

  /** The sentence under the orb. `shown` is the count to show now, which walks between two polls. */
  people(presence, state, shown) {
    const {looking, counting, first, alone, people, about_people, usual_people} = this.#phrases;
    if (state === 'unknown') return presence ? counting : looking;
    const {count, high, method, label} = presence;
    if (count <= 1) return state === 'live' && high === 1 && method !== 'estimated' ? first : alone;
    const rounded = label.startsWith('about'); // the server's own rounding, which does not jitter
    const number = rounded ? Number(label.replace(/\D/g, '')) : shown || count;
    if (method === 'estimated') return this.#count(usual_people, number);
    return number === 1 ? alone : this.#count(rounded ? about_people : people, number);
  }

  /**
   * How the number was obtained, and when: the quiet line. `ageMs` is 0 while we would be told of any change, and `lost` says that
   * there is no connection.
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
    return join(methods[method] ?? method, this.#doubt(presence), method === 'estimated' ? '' : when, again);
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
    return `${exact ? '' : '~'}${(figure < 10_000 ? this.#number : this.#compact).format(figure)}`;
  }

  /** What a mood's button is called to those who hear it. */
  button({mood, people, low, high}) {
    if (people === null) return `${this.mood(mood)}, ${this.#phrases.apart}`;
    if (!people) return this.mood(mood);
    const {figure, exact} = rounded(people, low, high);
    const number = this.#number.format(figure);
    return `${this.mood(mood)}, ${exact ? number : fill(this.#phrases.about, number)}`;
  }

  /** How many named no mood, and how many are in moods too small to be told apart. */
  rest(unspoken, merged) {
    const {unspoken: said, merged: together} = this.#phrases;
    return join(unspoken.people ? fill(said, this.tally(unspoken)) : '', merged.people ? fill(together, this.tally(merged)) : '');
  }

  #count(forms, number) {
    return fill(forms[this.#plural.select(number)] ?? forms.other, this.#number.format(number));
  }

  /** How far the truth may be from the count. */
  #doubt({count, low, high, method}) {
    if (low >= high) return '';
    if (method === 'sampled' && count) {
      // Rounded up, and to the side that is farther, so that what is said holds the whole interval.
      const share = Math.ceil((100 * Math.max(high - count, count - low)) / count) / 100;
      return fill(fill(this.#phrases.within, this.#percent.format(share)), this.#percent.format(LEVEL), '{level}');
    }
    // A count of sockets is uncertain only by those who fell silent and may come back: their leases still run.
    if (method === 'counted' && count === high) return this.#count(this.#phrases.silent, high - low);
    return this.#range({low, high});
  }

  #range({low, high}) {
    return low < high ? fill(fill(this.#phrases.range, this.#number.format(low)), this.#number.format(high), '{high}') : '';
  }

  /** A length of time, as one would say it. */
  #ago(ms) {
    const minutes = Math.round(ms / 60_000);
    if (minutes < 1) return this.#phrases.moment;
    if (minutes < 2) return this.#phrases.minute;
    return minutes < 60 ? this.#relative.format(-minutes, 'minute') : this.#relative.format(-Math.round(minutes / 60), 'hour');
  }
}

const fill = (phrase, value, place = '{n}') => phrase.replace(place, value);

const join = (...parts) => parts.filter(Boolean).join(' · ');

/**
 * A tally rounded to its own precision, as the server rounds the count: to the largest of 1, 2, 5, 10, … that is at most half
 * of its interval's width.
 */
function rounded(people, low, high) {
  const half = Math.floor((high - low) / 2);
  let step = 1;
  for (let ten = 1; ten <= half; ten *= 10) step = [5, 2, 1].find((factor) => factor * ten <= half) * ten;
  const figure = Math.round(people / step) * step || people;
  return {figure, exact: step === 1};
}
