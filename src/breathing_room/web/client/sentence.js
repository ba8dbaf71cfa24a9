/**
 * One sentence that says how many others are in a room, in the language of the page around it.
 *
 *     import {join} from 'https://example.org/client.js';
 *     import {sentence} from 'https://example.org/sentence.js';
 *     const room = join('https://example.org');
 * room.addEventListener('presence', () => (document.querySelector('#here').textContent = sentence(room)));
 *
 * It is the text of `<breathing-room>`: "you are the first one here", "1 person is here with you", "etwa
 * 10.000 Menschen sind mit dir hier". It is empty while no number is known. A reader who is not counted reads
 * "12 people are here".
 *
 * A `label` of your own has these places:
 *
 * - `{others}`: how many others are here, `{label}`: how many with the reader, both rounded to what is known;
 * `{count}`: not rounded.
 * - `{one=person is|other=people are}`: the form of the number's plural category, as `Intl.PluralRules` has
 * it for the language. `{0=no others|one=…|other=…}` has a form for one number alone.
 * - `{person is|people are}`: the first for exactly 1, the second for all else.
 *
 * The forms follow `{others}`, or where only `{label}` or `{count}` is written, that. When a label counts
 * others and there are none, its form `0=` is used; without one, or when it is not certain, our own sentence
 * is, in the languages that we have.
 */

import {Counting, othersOf} from './others.js';
import {here as de} from './words.de.js';
import {here as en} from './words.en.js';
import {here as es} from './words.es.js';
import {here as fr} from './words.fr.js';
import {here as pl} from './words.pl.js';

const LANGUAGES = {de, en, es, fr, pl};
const NUMBERS = /{(others|label|count)}/g;
const FORMS = /{((?:\d+|zero|one|two|few|many|other)=[^{}]*)}/g;
const TWO_FORMS = /{([^{}|]*)\|([^{}|]*)}/g;
const FORM_OF_NONE = /[{|]0=/;

/**
 * Return the sentence; the empty string while no count is known, or too few people are here.
 *
 * @param {Room | null} room  As `join` gives it.
 * @param {object} [options]
 * @param {string} [options.label]  The sentence, with the places above, instead of ours.
 * @param {string} [options.lang]  The language's tag, such as `pl`; by default that of the page.
 * @param {number} [options.hideBelow]  The empty string for fewer people than this: others, where the
 * sentence counts others.
 * @param {number} [options.capAbove]  `500+` for more people than this.
 * @returns {string}
 */
export function sentence(room, {label, lang = languageAt(), hideBelow = 0, capAbove = Infinity} = {}) {
  if (!room?.presence || room.state === 'unknown') return '';
  const {presence, state, counted} = room;
  const cap = (found) => (found.exact > capAbove ? {...found, number: capAbove, about: false, capped: true} : found);
  const all = othersOf(presence, false);
  const numbers = {
    others: cap(othersOf(presence, counted)),
    label: cap(all),
    count: cap({...all, number: all.exact, about: false}),
  };
  const counts = subjectOf(label);
  const subject = numbers[counts];
  if (subject.exact < hideBelow) return '';

  const {phrases, counting} = languageOf(lang, label);
  if (counts === 'others' && counted && !subject.exact) {
    const certain = subject.certain && state === 'live';
    if (!certain || !FORM_OF_NONE.test(label)) return phrases?.[certain ? 'first' : 'alone'] ?? '';
  }
  if (label !== undefined) return fillIn(label, numbers, subject, counting);
  if (presence.method === 'estimated') return counting.phrase(phrases.usual_people, {...subject, about: false});
  return counting.phrase(counted ? phrases.with_you : phrases.here, subject);
}

/** The language of a place in a page: the nearest `lang` around it, or else the browser's. */
export function languageAt(place = globalThis.document?.documentElement) {
  for (let node = place; node; node = node.getRootNode().host) {
    const lang = node.closest('[lang]')?.getAttribute('lang');
    if (lang) return lang;
  }
  return globalThis.navigator?.language ?? 'en';
}

/** Which number a label's forms follow. */
function subjectOf(label) {
  if (label === undefined) return 'others';
  const named = ['others', 'label', 'count'].find((name) => label.includes(`{${name}}`));
  return named ?? (label.search(FORMS) < 0 ? 'count' : 'others');
}

/**
 * Our phrases in a language, if we have them, and its numbers; English where there is neither a label nor
 * phrases.
 */
function languageOf(lang, label) {
  let tag = 'en';
  try {
    tag = new Intl.Locale(lang).baseName;
  } catch {
    // A page may have an invalid tag, such as `de_DE`.
  }
  const phrases = LANGUAGES[tag.split('-')[0]];
  if (!phrases && label === undefined) return languageOf('en');
  return {phrases, counting: new Counting(tag, phrases)};
}

function fillIn(label, numbers, subject, counting) {
  const {number, capped} = subject;
  const choose = (_, branches) => {
    const forms = Object.fromEntries(branches.split('|').map((branch) => branch.split(/=(.*)/s)));
    return (capped ? undefined : forms[number]) ?? counting.form(forms, subject) ?? '';
  };
  return label
    .replace(NUMBERS, (_, name) => counting.figure(numbers[name]))
    .replace(FORMS, choose)
    .replace(TWO_FORMS, (_, one, more) => (number === 1 && !capped ? one : more));
}
