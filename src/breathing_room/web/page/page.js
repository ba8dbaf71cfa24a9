/**
 * The page: an orb that breathes with the server's time, a light for each of the people, how many they are,
 * and how they feel.
 *
 * The text changes when a presence comes, and the browser's compositor moves the rest: between two presences
 * hardly a script runs. The files of `web/client` are served beside these, so `./client.js` is the client, as
 * it was built.
 */

import {keepAwake} from './awake.js';
import {breathAt} from './breath.js';
import {join} from './client.js';
import {Lights} from './lights.js';
import {LiveRegion} from './live_region.js';
import {mixOf, peopleOf} from './mix.js';
import {Orb} from './orb.js';
import {Ring} from './ring.js';
import {COLORS, glyph} from './shapes.js';
import {loadWords} from './words.js';

/** How often "a moment ago" and an interpolated count are updated. */
const AGE_MS = 5_000;
/** How bright the lights of a stale count are, and those of an average. */
const [STALE, USUAL] = [0.6, 0.4];

const byId = (id) => document.getElementById(id);
const stillness = matchMedia('(prefers-reduced-motion: reduce)');
const query = new URLSearchParams(location.search);
const name = query.get('room') ?? ''; // without one it is the server's default room

export const room = join(new URL('.', import.meta.url), {room: name});
let stopped = '';
room.addEventListener('error', ({detail}) => {
  if (!room.transport) stopped = detail.code;
});

const words = await loadWords([query.get('lang'), ...navigator.languages]);
const orb = new Orb((phase) => words.phase(phase));
const ring = new Ring(byId('ring'), byId('colors'));
const lights = new Lights(byId('sky'), colorOf);
const liveRegion = new LiveRegion();
let buttons = new Map(); // by mood, once the room's are known
let nextPhase; // the timer until the breath turns

document.documentElement.lang = words.lang;
document.documentElement.dir = words.dir;
document.title = words.title(name);
byId('ask').textContent = words.say('ask');
byId('awake').append(words.say('awake'));
keepAwake(byId('awake'));

room.addEventListener('config', showConfig);
room.addEventListener('presence', () => {
  stopped = '';
  show();
});
for (const type of ['state', 'mood', 'error']) room.addEventListener(type, show);
room.addEventListener('clock', breathe);
stillness.addEventListener('change', breathe);
document.addEventListener('visibilitychange', () => (document.hidden ? pause() : (breathe(), show())));
setInterval(() => document.hidden || showSentences(), AGE_MS);
showConfig();

// --- what follows from the room's config ---

function showConfig() {
  if (room.config) {
    const {moods, breath} = room.config;
    buttons.forEach((button) => button.remove());
    buttons = new Map(moods.map((mood, index) => [mood, makeButton(mood, index)]));
    byId('moods').append(...buttons.values());
    byId('orb').setAttribute('aria-label', words.breath(breath.phases));
    ring.setMoods(moods);
    lights.recolor();
  }
  breathe();
  show();
}

function makeButton(mood, index) {
  const button = document.createElement('button');
  button.type = 'button';
  button.dataset.mood = index % COLORS;
  const [label, count, spoken] = ['name', 'count', 'visually-hidden'].map((part) => {
    const span = document.createElement('span');
    span.className = part;
    return span;
  });
  // The screen shows "~3,000"; a screen reader reads "about 3,000".
  label.ariaHidden = count.ariaHidden = 'true';
  label.textContent = words.mood(mood);
  button.append(glyph(index), label, count, spoken);
  button.addEventListener('click', () => room.setMood(room.mood === mood ? 'unspoken' : mood));
  return button;
}

/** The color of a mood's lights; that of the moon for `unspoken` and for merged moods. */
function colorOf(mood) {
  const index = room.config?.moods.indexOf(mood) ?? -1;
  const hue = index < 0 ? '--moonshine' : `--mood-${index % COLORS}`;
  return getComputedStyle(document.documentElement).getPropertyValue(hue).trim();
}

// --- who is here ---

function show() {
  const {presence, state} = room;
  document.body.dataset.state = state;
  showSentences();
  if (room.config) showMix(mixOf(state === 'unknown' ? null : presence, room.config.moods));
}

/**
 * Show how many are here and how that is known; the live region, which screen readers read out, changes
 * seldom.
 */
function showSentences() {
  const {presence, state, displayedCount, counted, ageMs, transport} = room;
  const sentence = words.people(presence, state, displayedCount, counted);
  const source = stopped ? words.stopped(stopped) : words.source(presence, state, ageMs, !transport);
  write('people', sentence);
  write('source', source);
  const spoken = state === 'stale' ? `${sentence}, ${source}` : sentence;
  const text = liveRegion.next({sentence: spoken, state, count: presence?.count ?? null}, performance.now());
  if (text) write('live-region', text);
}

function write(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function showMix(parts) {
  for (const part of parts.slice(0, -2)) {
    const button = buttons.get(part.mood);
    button.setAttribute('aria-pressed', room.mood === part.mood);
    button.querySelector('.visually-hidden').textContent = words.button(part);
    button.querySelector('.count').textContent = part.people ? words.tally(part) : part.people === null ? '·' : '';
  }
  const [unspoken, merged] = parts.slice(-2);
  write('rest', peopleOf(parts) > 1 ? words.rest(unspoken, merged) : '');
  ring.show(parts);
  const certainty = room.presence?.method === 'estimated' ? USUAL : room.state === 'stale' ? STALE : 1;
  lights.show(Object.fromEntries(parts.filter(({people}) => people).map(({mood, people}) => [mood, people])), certainty);
}

// --- the breath ---

/** The position of the breath now: `{phase, positionMs, leftMs}`; null until the room's config came. */
export const breath = () => room.config && breathAt(room.now(), room.config.breath.phases);

/** Set what moves to the server's time, and again when the phase changes. */
function breathe() {
  clearTimeout(nextPhase);
  if (!room.config || document.hidden) return;
  const motion = {still: stillness.matches};
  lights.syncTo(room.now(), motion);
  nextPhase = setTimeout(breathe, orb.syncTo(room.now(), room.config.breath.phases, motion) + 1);
}

function pause() {
  clearTimeout(nextPhase);
  orb.pause();
  lights.pause();
}
