/** German. */

export const here = {
  first: 'du bist als Erstes hier',
  alone: 'du bist hier',
  with_you: {one: '{n} Mensch ist mit dir hier', other: '{n} Menschen sind mit dir hier'},
  here: {one: '{n} Mensch ist hier', other: '{n} Menschen sind hier'},
  usual_people: {one: 'um diese Zeit meist {n} Mensch', other: 'um diese Zeit meist {n} Menschen'},
  about: 'etwa {n}',
  about_form: '',
};

export default {
  dir: 'ltr',

  looking: 'auf der Suche nach den anderen',
  counting: 'wir zählen, wer da ist',
  people: {one: '{n} Mensch atmet mit dir', other: '{n} Menschen atmen mit dir'},

  breath: 'eine Kugel, die mit allen atmet',
  phases: {inhale: 'einatmen', hold: 'halten', exhale: 'ausatmen', rest: 'ruhen'},

  ask: 'wie fühlst du dich?',
  moods: {gratitude: 'dankbar', presence: 'ganz da', release: 'loslassend', connection: 'verbunden'},
  apart: 'wenige oder niemand',
  unspoken: '{n} ohne Angabe',
  merged: '{n} nicht unterschieden',

  methods: {counted: 'gezählt', sampled: 'aus einer Stichprobe geschätzt', estimated: 'nach dem Üblichen geschätzt'},
  within: '±{n} bei {level} Sicherheit',
  silent: {one: '{n} Person verstummt', other: '{n} Menschen verstummt'},
  range: '{n} bis {high}',
  now: 'jetzt',
  moment: 'eben erst',
  minute: 'vor einer Minute',
  last_known: 'zuletzt bekannt',
  recounting: 'wir zählen neu',
  connecting: 'Verbindung wird aufgebaut',
  known: {not_yet: 'noch nicht bekannt', soon: 'wir zählen'},
  stopped: {
    bad_room: 'einen Raum dieses Namens kann es nicht geben',
    closed_4501: 'zu viele Seiten dieses Raums sind hier offen',
    otherwise: 'der Server bat diese Seite, nicht wiederzukommen',
  },

  awake: 'Bildschirm anlassen',
};
