/** Spanish: a million takes «de». */
export default {
  dir: 'ltr',

  looking: 'buscando a los demás',
  counting: 'contando quién está aquí',
  first: 'la primera persona aquí eres tú',
  alone: 'estás aquí',
  people: {many: '{n} de personas respiran contigo', other: '{n} personas respiran contigo'},
  about_people: {many: 'unos {n} de personas respiran contigo', other: 'unas {n} personas respiran contigo'},
  usual_people: {many: 'lo habitual a esta hora: {n} de personas', other: 'lo habitual a esta hora: {n} personas'},

  breath: 'una esfera que respira con todos',
  phases: {inhale: 'inhala', hold: 'retén', exhale: 'exhala', rest: 'descansa'},

  ask: '¿cómo te sientes?',
  moods: {gratitude: 'gratitud', presence: 'presencia', release: 'soltar', connection: 'conexión'},
  about: 'unas {n}',
  apart: 'pocas personas o ninguna',
  unspoken: '{n} sin decirlo',
  merged: '{n} sin distinguir',

  methods: {counted: 'contado', sampled: 'estimado con una muestra', estimated: 'estimado según lo habitual'},
  within: '±{n} al {level}',
  silent: {
    one: '{n} persona ha callado',
    many: '{n} de personas han callado',
    other: '{n} personas han callado',
  },
  range: 'de {n} a {high}',
  now: 'ahora',
  moment: 'hace un momento',
  minute: 'hace un minuto',
  last_known: 'último dato conocido',
  recounting: 'contando de nuevo',
  connecting: 'conectando',
  known: {not_yet: 'aún no se sabe', soon: 'contando'},
  stopped: {
    bad_room: 'no puede haber una sala con este nombre',
    closed_4501: 'hay demasiadas páginas de esta sala abiertas aquí',
    otherwise: 'el servidor pidió a esta página que no vuelva',
  },

  awake: 'mantener la pantalla encendida',
};
