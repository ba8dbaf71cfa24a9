/** French: a million takes «de». */
export default {
  dir: 'ltr',

  looking: 'à la recherche des autres',
  counting: 'on compte qui est là',
  first: 'la première présence ici, c’est vous',
  alone: 'vous êtes là',
  people: {many: '{n} de personnes respirent avec vous', other: '{n} personnes respirent avec vous'},
  about_people: {many: 'environ {n} de personnes respirent avec vous', other: 'environ {n} personnes respirent avec vous'},
  usual_people: {many: 'd’habitude {n} de personnes à cette heure', other: 'd’habitude {n} personnes à cette heure'},

  breath: 'une sphère qui respire avec tout le monde',
  phases: {inhale: 'inspirez', hold: 'retenez', exhale: 'expirez', rest: 'repos'},

  ask: 'comment vous sentez-vous ?',
  moods: {gratitude: 'gratitude', presence: 'présence', release: 'lâcher-prise', connection: 'lien'},
  about: 'environ {n}',
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
