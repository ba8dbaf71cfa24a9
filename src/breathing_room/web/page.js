/**
 * The page: an orb that breathes with everybody's, how many are here, and how they feel.
 *
 * The breath is handed to the browser as animations that start at the right moment of the server's time; between two
 * phases no script runs. The rest changes when a presence comes.
 */

import {breathAt, cycleMs, keyframes} from './breath.js';
import {join} from './client.js';
import * as words from './words.js';

/** A presence may be told to a screen reader this often at most. */
const NEWS_MS = 60_000;
/** How often "a moment ago" is looked at again, and a count on its way between two polls. */
const AGE_MS = 5_000;
/** An animation that is off by more is set right; less is not seen. */
const DRIFT_MS = 15;
/** The gap between two arcs of the ring, as a share of it. */
const GAP = 0.011;

/** One shape a mood, in the order of the room's moods, so that colour is never the only sign. */
const SHAPES = [
  'M0-5A5 5 0 1 1 0 5A5 5 0 1 1 0-5Z',
  'M0-6.2L6.2 0 0 6.2-6.2 0Z',
  'M0-5.6L5.8 4.6H-5.8Z',
  'M-2.6-4A4 4 0 1 0-2.6 4A4 4 0 1 0-2.6-4ZM2.6-4A4 4 0 1 0 2.6 4A4 4 0 1 0 2.6-4Z',
  'M-4.6-4.6H4.6V4.6H-4.6Z',
  'M0-6.4L1.7-1.7 6.4 0 1.7 1.7 0 6.4-1.7 1.7-6.4 0-1.7-1.7Z',
  'M-5.8-4H5.8L0 6Z',
  'M-6-2.2H-2.2V-6H2.2V-2.2H6V2.2H2.2V6H-2.2V2.2H-6Z',
];

const byId = (id) => document.getElementById(id);
const stillness = matchMedia('(prefers-reduced-motion: reduce)');
const name = new URLSearchParams(location.search).get('room') || 'lobby';

export const room = join(new URL('.', import.meta.url), {room: name});
let stopped = '';

document.title = words.title(name);
room.addEventListener('config', furnish);
room.addEventListener('presence', () => {
  stopped = '';
  show();
});
room.addEventListener('state', show);
room.addEventListener('mood', show);
room.addEventListener('clock', breathe);
room.addEventListener('error', ({detail}) => {
  if (!room.transport) stopped = words.stopped(detail.code);
  show();
});
document.addEventListener('visibilitychange', () => (document.hidden ? rest() : (breathe(), show())));
stillness.addEventListener('change', breathe);
setInterval(() => document.hidden || (showPeople(), showSource()), AGE_MS);

// --- the room's furniture: made once its moods and its breath are known ---

/** Per mood: its button, the button's number, and its arc and mark on the ring. */
let moods = new Map();
let unspokenArc;

function furnish() {
  const buttons = byId('moods');
  buttons.querySelectorAll('button').forEach((button) => button.remove());
  byId('ring').replaceChildren();
  unspokenArc = arc('unspoken');
  moods = new Map(
    room.config.moods.map((mood, index) => {
      const button = element('button', {type: 'button', 'data-mood': index % SHAPES.length});
      const count = element('span', {class: 'count', 'aria-hidden': 'true'});
      const label = element('span', {class: 'name'});
      label.textContent = mood;
      button.append(glyph(index), label, count);
      button.addEventListener('click', () => room.setMood(room.mood === mood ? 'unspoken' : mood));
      buttons.append(button);
      return [mood, {button, count, arc: arc(index % SHAPES.length), mark: mark(index)}];
    }),
  );
  breathe();
  show();
}

function element(tag, attributes, space = 'http://www.w3.org/1999/xhtml') {
  const made = document.createElementNS(space, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const drawn = (tag, attributes) => element(tag, attributes, 'http://www.w3.org/2000/svg');

function glyph(index) {
  const svg = drawn('svg', {viewBox: '-8 -8 16 16', class: 'glyph', 'aria-hidden': 'true'});
  svg.append(drawn('path', {d: SHAPES[index % SHAPES.length]}));
  return svg;
}

function arc(mood) {
  const circle = drawn('circle', {r: 94, pathLength: 1, class: 'arc', 'data-mood': mood, 'stroke-dasharray': '0 1'});
  byId('ring').append(circle);
  return circle;
}

function mark(index) {
  const path = drawn('path', {d: SHAPES[index % SHAPES.length], class: 'mark', 'data-mood': index % SHAPES.length});
  byId('ring').append(path);
  return path;
}

// --- who is here ---

function show() {
  const {presence, state} = room;
  document.body.dataset.state = state;
  const sentence = showPeople();
  showSource();
  if (moods.size) showMix(state === 'unknown' ? null : presence);
  tell(sentence);
}

function showPeople() {
  const {presence, state, shown} = room;
  // A rounded count moves by its own steps; an exact one walks from poll to poll.
  const walks = presence?.label === words.number(presence?.count ?? 0);
  const sentence = words.people(walks ? {...presence, label: words.number(shown)} : presence, state);
  byId('people').textContent = sentence;
  return sentence;
}

const source = () => stopped || words.source(room.presence, room.state, room.ageMs);

function showSource() {
  byId('source').textContent = source();
}

function showMix(presence) {
  const told = presence ? [...Object.values(presence.moods), presence.unspoken] : [];
  const known = told.reduce((sum, count) => sum + count, 0);
  // Moods that hold too few people are merged: their tallies are null, and what is left of the count is theirs.
  const merged = told.includes(null) ? Math.max(0, presence.count - known) : 0;
  const total = known + merged;
  const parts = [];
  let start = 0;
  const lay = (circle, count, colour) => {
    const share = total ? count / total : 0;
    const gap = share < 1 ? Math.min(GAP, share / 2) : 0;
    circle.setAttribute('stroke-dasharray', share < 1 ? `${share - gap} 1` : 'none');
    circle.setAttribute('stroke-dashoffset', -start - gap / 2);
    circle.style.opacity = share > 0 ? 1 : 0;
    if (share) parts.push({colour, start, share});
    start += share;
    return {share, middle: start - share / 2};
  };
  for (const [mood, {button, count, arc, mark}] of moods) {
    const people = presence ? (presence.moods[mood] ?? 0) : 0;
    button.setAttribute('aria-pressed', room.mood === mood);
    button.setAttribute('aria-label', words.mood(mood, people));
    count.textContent = people ? words.tally(people) : '';
    const {share, middle} = lay(arc, people, `var(--mood-${arc.dataset.mood})`);
    mark.style.opacity = share > 3 * GAP ? 1 : 0;
    mark.style.transform = `rotate(${middle}turn) translateY(-94px) rotate(${-middle}turn) scale(.7)`;
  }
  lay(unspokenArc, (presence?.unspoken ?? 0) + merged, 'var(--moonlight)');
  byId('unspoken').textContent = total > 1 ? words.unspoken(presence.unspoken ?? 0, merged) : '';
  tint(parts);
}

let tinted = '';

/** Let the ring's colours shine into the body: each arc onto its side, melting into its neighbours. */
function tint(parts) {
  if (!parts.length) return;
  // A colour melts as far as the lesser of the two allows, so that few people tint little.
  const melt = parts.map(({share}, index) => 0.4 * Math.min(share, parts[(index + 1) % parts.length].share));
  const stops = parts.map(({colour, start, share}, index) => {
    const [from, to] = [start + melt.at(index - 1), start + share - melt[index]];
    return [colour, from, to];
  });
  // The circle is cut open in the middle of the first arc, where the colour is the same on both sides.
  const [colour, , to] = stops.shift();
  const cut = parts[0].share / 2;
  const last = [colour, 1 + melt.at(-1), 1 + cut];
  const around = [[colour, cut, to], ...stops, last].map(([of, ...turns]) => [of, ...turns.map((turn) => `${turn - cut}turn`)]);
  const gradient = `conic-gradient(from ${cut}turn, ${around.map((stop) => stop.join(' ')).join(', ')})`;
  if (gradient === tinted) return;
  tinted = gradient;
  // A gradient cannot melt into another, but one layer can fade out over the next.
  const [below] = byId('colours').children;
  below.style.background = gradient;
  byId('colours').append(below);
  below.animate([{opacity: 0}, {opacity: 1}], 3_000);
}

let toldAtMs = -Infinity;
let told = '';

/** Tell those who listen rather than look: seldom, and only what changed. */
function tell(sentence) {
  const news = room.state === 'stale' ? source() : sentence;
  const turned = room.state !== told;
  if (room.state === 'unknown' || (!turned && performance.now() - toldAtMs < NEWS_MS)) return;
  told = room.state;
  toldAtMs = performance.now();
  byId('news').textContent = news;
}

// --- the breath ---

let animations = [];
let animated = '';
let nextPhase;

/** Where everybody's breath is now: `{phase, positionMs, leftMs}`; null until the room's config came. */
export const breath = () => room.config && breathAt(room.now(), room.config.breath.phases);

/** Bring the orb in phase with everybody, and come again when the phase changes. */
function breathe() {
  clearTimeout(nextPhase);
  if (!room.config || document.hidden) return;
  const {phases} = room.config.breath;
  const wanted = JSON.stringify([phases, stillness.matches]);
  if (animated !== wanted) {
    rest();
    animate(phases);
    animated = wanted;
  }
  const {phase, positionMs, leftMs} = breath();
  for (const animation of animations) {
    const offMs = (animation.currentTime ?? Infinity) - positionMs;
    if (!(Math.abs(offMs % cycleMs(phases)) < DRIFT_MS)) animation.currentTime = positionMs;
  }
  sayPhase(phase);
  nextPhase = setTimeout(breathe, leftMs + 1);
}

function animate(phases) {
  const timing = {duration: cycleMs(phases), iterations: Infinity};
  const run = (id, style) => byId(id).animate(keyframes(phases, style), timing);
  const grow = (id, least) => run(id, (fullness) => ({transform: `scale(${least + (1 - least) * fullness})`}));
  const glow = (id, least) => run(id, (fullness) => ({opacity: least + (1 - least) * fullness}));
  animations = [glow('halo', 0.4), glow('body', 0.8), glow('shell', 0.5), glow('veil', 0.3)];
  if (!stillness.matches) {
    animations.push(grow('halo', 0.7), grow('body', 0.6), grow('shell', 0.5), grow('veil', 0.4));
    animations.push(byId('hand').animate([{transform: 'rotate(0turn)'}, {transform: 'rotate(1turn)'}], timing));
  }
}

/** Nobody looks: nothing moves. */
function rest() {
  clearTimeout(nextPhase);
  for (const animation of animations) animation.cancel();
  animations = [];
  animated = '';
}

function sayPhase(phase) {
  const word = byId('phase');
  if (word.textContent === phase) return;
  word.textContent = phase;
  word.animate([{opacity: 0}, {opacity: 1}], {duration: 900, easing: 'ease-out'});
}
