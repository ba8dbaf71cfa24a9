/**
 * The page: an orb that breathes with everybody's, a light for each of the people, how many they are, and how they feel.
 *
 * What is shown changes when a presence comes, and what is drawn moves by itself: between two presences hardly a script runs.
 * The files of `web/client` are served beside these, so `./client.js` is the client, as it was built.
 */

import {keepAwake} from './awake.js';
import {breathAt} from './breath.js';
import {join} from './client.js';
import {Lights} from './lights.js';
import {mixOf, peopleOf} from './mix.js';
import {News} from './news.js';
import {Orb} from './orb.js';
import {Ring} from './ring.js';
import {COLOURS, glyph} from './shapes.js';
import {speak} from './words.js';

/** How often "a moment ago" is looked at again, and a count on its way between two polls. */
const AGE_MS = 5_000;
/** How bright the lights are of those who were here when we last knew, and of those who usually are. */
const [KNOWN_BEFORE, USUAL] = [0.6, 0.4];

const byId = (id) => document.getElementById(id);
const stillness = matchMedia('(prefers-reduced-motion: reduce)');
const asked = new URLSearchParams(location.search);
const name = asked.get('room') ?? ''; // without one it is the server's default room

export const room = join(new URL('.', import.meta.url), {room: name});
let stopped = '';
room.addEventListener('error', ({detail}) => {
  if (!room.transport) stopped = detail.code;
});

const words = await speak([asked.get('lang'), ...navigator.languages]);
const orb = new Orb((phase) => words.phase(phase));
const ring = new Ring(byId('ring'), byId('colours'));
const lights = new Lights(byId('sky'), colourOf);
const news = new News();
let buttons = new Map(); // by mood, once the room's are known
let nextPhase; // the timer until the breath turns

document.documentElement.lang = words.lang;
document.documentElement.dir = words.dir;
document.title = words.title(name);
byId('ask').textContent = words.say('ask');
byId('awake').append(words.say('awake'));
keepAwake(byId('awake'));

room.addEventListener('config', furnish);
room.addEventListener('presence', () => {
  stopped = '';
  show();
});
for (const type of ['state', 'mood', 'error']) room.addEventListener(type, show);
room.addEventListener('clock', breathe);
stillness.addEventListener('change', breathe);
document.addEventListener('visibilitychange', () => (document.hidden ? rest() : (breathe(), show())));
setInterval(() => document.hidden || tell(), AGE_MS);
furnish();

// --- the room's furniture: made once its moods and its breath are known ---

function furnish() {
  if (room.config) {
    const {moods, breath} = room.config;
    buttons.forEach((button) => button.remove());
    buttons = new Map(moods.map((mood, index) => [mood, makeButton(mood, index)]));
    byId('moods').append(...buttons.values());
    byId('orb').setAttribute('aria-label', words.breath(breath.phases));
    ring.furnish(moods);
    lights.recolour();
  }
  breathe();
  show();
}

function makeButton(mood, index) {
  const button = document.createElement('button');
  button.type = 'button';
  button.dataset.mood = index % COLOURS;
  const [label, count, told] = ['name', 'count', 'told'].map((part) => {
    const span = document.createElement('span');
    span.className = part;
    return span;
  });
  // The eye sees "~3,000"; the ear is told "about 3,000".
  label.ariaHidden = count.ariaHidden = 'true';
  label.textContent = words.mood(mood);
  button.append(glyph(index), label, count, told);
  button.addEventListener('click', () => room.setMood(room.mood === mood ? 'unspoken' : mood));
  return button;
}

/** The colour of a mood's lights. Those who named none shine like the moon, as do those of merged moods. */
function colourOf(mood) {
  const index = room.config?.moods.indexOf(mood) ?? -1;
  const hue = index < 0 ? '--moonshine' : `--mood-${index % COLOURS}`;
  return getComputedStyle(document.documentElement).getPropertyValue(hue).trim();
}

// --- who is here ---

function show() {
  const {presence, state} = room;
  document.body.dataset.state = state;
  tell();
  if (room.config) showMix(mixOf(state === 'unknown' ? null : presence, room.config.moods));
}

/** Say who is here and how that is known; to those who listen, seldom. */
function tell() {
  const {presence, state, shown, counted, ageMs, transport} = room;
  const sentence = words.people(presence, state, shown, counted);
  const source = stopped ? words.stopped(stopped) : words.source(presence, state, ageMs, !transport);
  write('people', sentence);
  write('source', source);
  const told = state === 'stale' ? `${sentence}, ${source}` : sentence;
  const now = news.next({sentence: told, state, count: presence?.count ?? null}, performance.now());
  if (now) write('news', now);
}

function write(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function showMix(parts) {
  for (const part of parts.slice(0, -2)) {
    const button = buttons.get(part.mood);
    button.setAttribute('aria-pressed', room.mood === part.mood);
    button.querySelector('.told').textContent = words.button(part);
    button.querySelector('.count').textContent = part.people ? words.tally(part) : part.people === null ? '·' : '';
  }
  const [unspoken, merged] = parts.slice(-2);
  write('rest', peopleOf(parts) > 1 ? words.rest(unspoken, merged) : '');
  ring.show(parts);
  const certainty = room.presence?.method === 'estimated' ? USUAL : room.state === 'stale' ? KNOWN_BEFORE : 1;
  lights.show(Object.fromEntries(parts.filter(({people}) => people).map(({mood, people}) => [mood, people])), certainty);
}

// --- the breath ---

/** Where everybody's breath is now: `{phase, positionMs, leftMs}`; null until the room's config came. */
export const breath = () => room.config && breathAt(room.now(), room.config.breath.phases);

/** Bring what moves in step with everybody, and come again when the phase changes. */
function breathe() {
  clearTimeout(nextPhase);
  if (!room.config || document.hidden) return;
  const motion = {still: stillness.matches};
  lights.follow(room.now(), motion);
  nextPhase = setTimeout(breathe, orb.follow(room.now(), room.config.breath.phases, motion) + 1);
}

function rest() {
  clearTimeout(nextPhase);
  orb.rest();
  lights.rest();
}
