/**
 * How many others are here, and the numbers and plurals of a language. For the page, and for `sentence.js`.
 *
 * A presence counts its reader as well, unless the reader only observes. "12 people with you" is a count of
 * 13, so the reader is subtracted first, and then the number takes its plural form.
 */

/**
 * The people of a presence without its reader.
 *
 * @param {object} presence  A presence whose count is known.
 * @param {boolean} counted  Whether the reader is one of those who are counted.
 * @param {number} [displayedCount]  The count to display now, which is interpolated between two polls.
 * @returns {{exact: number, number: number, about: boolean, certain: boolean}}  `exact` is the count without
 * the reader, `number` what to show of it: rounded where the presence's label is, and then `about` is true.
 * Both are at least 0, and `number` is at most `high` without the reader. `certain`: where `number` is 0, it
 * is known that there are no others.
 */
export function othersOf({count, high, label}, counted, displayedCount) {
  const self = counted ? 1 : 0;
  const exact = Math.max(0, count - self);
  const certain = high === self;
  const about = exact > 0 && label.startsWith('about'); // the server's rounding, which does not jitter
  const number = about ? Math.min(Number(label.replace(/\D/g, '')), high - self) : (displayedCount || count) - self;
  return {exact, number: exact && Math.max(0, number), about, certain};
}

/** Numbers of people in one language. */
export class Counting {
  #number;
  #plural;
  #phrases;

  /**
   * In the language of a tag, such as `de-AT`, with its `about` and `about_form`; without these, with the
   * sign `~`.
   */
  constructor(lang, phrases) {
    this.#number = new Intl.NumberFormat(lang);
    this.#plural = new Intl.PluralRules(lang);
    this.#phrases = phrases;
  }

  /** A number as the language writes it: `12,345`. */
  write(number) {
    return this.#number.format(number);
  }

  /** What `othersOf` found, as the language writes it: `12`, `about 10,000`; `500+` where it is `capped`. */
  figure({number, about, capped}) {
    if (capped) return `${this.write(number)}+`;
    if (!about) return this.write(number);
    // A range whose ends are one number is written with the language's sign for "about".
    return this.#phrases ? fill(this.#phrases.about, this.write(number)) : this.#number.formatRange(number, number);
  }

  /** The form that a number takes, of forms by the categories of `Intl.PluralRules`. */
  form(forms, {number, about, capped}) {
    const category = (about && this.#phrases?.about_form) || this.#plural.select(number);
    return forms[capped && category === 'one' ? 'other' : category] ?? forms.other;
  }

  /** A phrase with its number: `2 people breathing with you`. */
  phrase(forms, found) {
    return fill(this.form(forms, found), this.figure(found));
  }
}

/** A phrase with a value in its place. */
export const fill = (phrase, value, place = '{n}') => phrase.replace(place, value);
