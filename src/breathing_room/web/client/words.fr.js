/** French: a million takes «de». */

export const here = {
  first: 'la première présence ici, c’est vous',
  alone: 'vous êtes là',
  with_you: {
    one: '{n} personne est ici avec vous',
    many: '{n} de personnes sont ici avec vous',
    other: '{n} personnes sont ici avec vous',
  },
  here: {one: '{n} personne est ici', many: '{n} de personnes sont ici', other: '{n} personnes sont ici'},
  usual_people: {
    one: 'd’habitude {n} personne à cette heure',
    many: 'd’habitude {n} de personnes à cette heure',
    other: 'd’habitude {n} personnes à cette heure',
  },
  about: 'environ {n}',
  about_form: '',
};

export default {
  dir: 'ltr',

  looking: 'à la recherche des autres',
  counting: 'on compte qui est là',
  people: {
    one: '{n} personne respire avec vous',
    many: '{n} de personnes respirent avec vous',
    other: '{n} personnes respirent avec vous',
  },

  breath: 'une sphère qui respire avec tout le monde',
  phases: {inhale: 'inspirez', hold: 'retenez', exhale: 'expirez', rest: 'repos'},

  ask: 'comment vous sentez-vous ?',
  moods: {gratitude: 'gratitude', presence: 'présence', release: 'lâcher-prise', connection: 'lien'},
  apart: 'peu de personnes ou aucune',
  unspoken: '{n} sans le dire',
  merged: '{n} regroupés',

  methods: {counted: 'compté', sampled: 'estimé sur un échantillon', estimated: 'estimé d’après l’habitude'},
  within: '±{n}, sûr à {level}',
  silent: {
    one: '{n} personne s’est tue',
    many: '{n} de personnes se sont tues',
    other: '{n} personnes se sont tues',
  },
  range: 'de {n} à {high}',
  now: 'maintenant',
  moment: 'à l’instant',
  minute: 'il y a une minute',
  last_known: 'dernier nombre connu',
  recounting: 'on recompte',
  connecting: 'connexion en cours',
  known: {not_yet: 'pas encore connu', soon: 'on compte'},
  stopped: {
    bad_room: 'aucune salle ne peut porter ce nom',
    closed_4501: 'trop de pages de cette salle sont ouvertes ici',
    otherwise: 'le serveur a demandé à cette page de ne pas revenir',
  },

  awake: 'garder l’écran allumé',
};
