/**
 * English, and the pattern of every language. Forms of a plural are those of `Intl.PluralRules`, `other` at least; `{n}` is a
 * number, written as the language writes it. Nothing here is said of 0 people, and `people` is never said of 1.
 */
export default {
  dir: 'ltr',

  // The sentence under the orb.
  looking: 'looking for the others',
  counting: 'counting who is here',
  first: 'you are the first one here',
  alone: 'you are here',
  people: {other: '{n} people breathing with you'},
  about_people: {other: 'about {n} people breathing with you'},
  usual_people: {other: 'usually {n} people at this hour'},

  // The orb, and its quiet word.
  breath: 'an orb that breathes with everyone',
  phases: {inhale: 'inhale', hold: 'hold', exhale: 'exhale', rest: 'rest'},

  // The moods.
  ask: 'how do you feel?',
  moods: {gratitude: 'gratitude', presence: 'presence', release: 'release', connection: 'connection'},
  about: 'about {n}',
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
