/** Spanish: a million takes «de». */

export const here = {
  first: 'la primera persona aquí eres tú',
  alone: 'estás aquí',
  with_you: {
    one: '{n} persona está aquí contigo',
    many: '{n} de personas están aquí contigo',
    other: '{n} personas están aquí contigo',
  },
  here: {one: '{n} persona está aquí', many: '{n} de personas están aquí', other: '{n} personas están aquí'},
  usual_people: {
    one: 'lo habitual a esta hora: {n} persona',
    many: 'lo habitual a esta hora: {n} de personas',
    other: 'lo habitual a esta hora: {n} personas',
  },
  about: 'cerca de {n}',
  about_form: '',
};

export default {
  dir: 'ltr',

  looking: 'buscando a los demás',
  counting: 'contando quién está aquí',
  people: {
    one: '{n} persona respira contigo',
    many: '{n} de personas respiran contigo',
    other: '{n} personas respiran contigo',
  },

  breath: 'una esfera que respira con todos',
  phases: {inhale: 'inhala', hold: 'retén', exhale: 'exhala', rest: 'descansa'},

  ask: '¿cómo te sientes?',
  moods: {gratitude: 'gratitud', presence: 'presencia', release: 'soltar', connection: 'conexión'},
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
