/** Polish: 2 osoby, 5 osób, 22 osoby; but always „około 22 osób”. */

export const here = {
  first: 'na razie nie ma tu nikogo poza tobą',
  alone: 'jesteś tutaj',
  with_you: {
    one: '{n} osoba jest tu z tobą',
    few: '{n} osoby są tu z tobą',
    many: '{n} osób jest tu z tobą',
    other: '{n} osoby jest tu z tobą',
  },
  here: {one: '{n} osoba tu jest', few: '{n} osoby tu są', many: '{n} osób tu jest', other: '{n} osoby tu jest'},
  usual_people: {
    one: 'o tej porze zwykle {n} osoba',
    few: 'o tej porze zwykle {n} osoby',
    many: 'o tej porze zwykle {n} osób',
    other: 'o tej porze zwykle {n} osoby',
  },
  about: 'około {n}',
  about_form: 'many',
};

export default {
  dir: 'ltr',

  looking: 'szukamy innych',
  counting: 'liczymy, kto tu jest',
  people: {
    one: '{n} osoba oddycha z tobą',
    few: '{n} osoby oddychają z tobą',
    many: '{n} osób oddycha z tobą',
    other: '{n} osoby oddychają z tobą',
  },

  breath: 'kula, która oddycha ze wszystkimi',
  phases: {inhale: 'wdech', hold: 'zatrzymaj', exhale: 'wydech', rest: 'odpocznij'},

  ask: 'jak się czujesz?',
  moods: {gratitude: 'wdzięczność', presence: 'obecność', release: 'odpuszczenie', connection: 'więź'},
  apart: 'niewiele osób lub nikt',
  unspoken: '{n} bez słowa',
  merged: '{n} łącznie z innymi',

  methods: {counted: 'policzone', sampled: 'oszacowane z próby', estimated: 'oszacowane z tego, co zwykle'},
  within: '±{n} z pewnością {level}',
  silent: {
    one: '{n} osoba zamilkła',
    few: '{n} osoby zamilkły',
    many: '{n} osób zamilkło',
    other: '{n} osoby zamilkły',
  },
  range: 'od {n} do {high}',
  now: 'teraz',
  moment: 'przed chwilą',
  minute: 'minutę temu',
  last_known: 'ostatnio znane',
  recounting: 'liczymy od nowa',
  connecting: 'łączenie',
  known: {not_yet: 'jeszcze nie wiadomo', soon: 'liczymy'},
  stopped: {
    bad_room: 'nie może być pokoju o tej nazwie',
    closed_4501: 'za dużo stron tego pokoju jest tu otwartych',
    otherwise: 'serwer poprosił tę stronę, by nie wracała',
  },

  awake: 'nie wygaszaj ekranu',
};
