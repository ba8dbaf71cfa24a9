/**
 * English, and the pattern of every language. Forms of a plural are those of `Intl.PluralRules`, `other` at
 * least; `{n}` is a number, written as the language writes it.
 */

// How many are here: on the page, and in `<breathing-room>` on a page that gives it no words of its own.
// `with_you` counts the others, who are at least 1; `here` is for those who only observe.
export const here = {
  first: 'you are the first one here',
  alone: 'you are here',
  with_you: {one: '{n} person is here with you', other: '{n} people are here with you'},
  here: {one: '{n} person is here', other: '{n} people are here'},
  usual_people: {one: 'usually {n} person at this hour', other: 'usually {n} people at this hour'},
  about: 'about {n}',
  about_form: '', // the plural form after `about`, where it is not that of the number
};

// The rest is the page's.
export default {
  dir: 'ltr',

  // The sentence under the orb.
  looking: 'looking for the others',
  counting: 'counting who is here',
  people: {one: '{n} person breathing with you', other: '{n} people breathing with you'},

  // The orb, and its quiet word.
  breath: 'an orb that breathes with everyone',
  phases: {inhale: 'inhale', hold: 'hold', exhale: 'exhale', rest: 'rest'},

  // The moods.
  ask: 'how do you feel?',
  moods: {gratitude: 'gratitude', presence: 'presence', release: 'release', connection: 'connection'},
  apart: 'few or none',
  unspoken: '{n} unspoken',
  merged: '{n} not told apart',

  // The quiet line: how the number was obtained, and when.
  methods: {counted: 'counted', sampled: 'estimated from a sample', estimated: 'estimated from what is usual'},
  within: '±{n} at {level}',
  silent: {other: '{n} fell silent'},
  range: '{n} to {high}',
  now: 'now',
  moment: 'a moment ago',
  minute: 'a minute ago',
  last_known: 'last known',
  recounting: 'counting again',
  connecting: 'connecting',
  known: {not_yet: 'not known yet', soon: 'counting'},
  stopped: {
    bad_room: 'there can be no room of this name',
    closed_4501: 'too many pages of this room are open here',
    otherwise: 'the server asked this page not to come back',
  },

  awake: 'keep the screen on',
};
