/**
 * The sky: a light for each of the people around the orb, in the color of their mood.
 *
 * A pure function of the tallies and the time, so that pages with the same presence show the same sky.
 *
 * Theory of operation: each mood has an endless row of places, which follow from its name. Of n people the
 * first n are lit. So a tally that changes by one lights or darkens one place, and moves none. A large crowd
 * has fewer lights than people: then a tally comes to a fractional number of lights, and the last one is lit
 * in part. The motion depends on the time only: the lights are on a few layers, and each layer turns at its
 * own speed.
 */

/** Up to so many people, each has a light. */
const EACH_HAS_ONE = 256;
/** Beyond, each doubling of the crowd adds so many. */
const A_DOUBLING_ADDS = 20;

/** How far from the middle the lights are, in radii of the ring. */
export const NEAREST = 0.74;
export const FARTHEST = 1.62;

/**
 * How long a layer takes for a turn, and between two glimmers. No two are in a simple ratio, so that nothing
 * repeats.
 */
export const LAYERS = [
  {turnMs: 540_000, glimmerMs: 7_100},
  {turnMs: 780_000, glimmerMs: 9_700},
  {turnMs: 1_260_000, glimmerMs: 12_700},
];

/** A light takes so long to appear or to vanish. */
const FADE_MS = 2_500;

/** How many lights a crowd has. */
export const lightsOf = (people) =>
  people <= EACH_HAS_ONE ? people : EACH_HAS_ONE + A_DOUBLING_ADDS * Math.log2(people / EACH_HAS_ONE);

/**
 * How bright each mood's lights are, 0..1, from people by mood: `{gratitude: [1, 1, 0.4]}`. `certainty` is
 * the brightness of a whole light: those of whom we only know that they were here, or usually are, shine
 * less.
 */
export function brightnesses(tallies, certainty = 1) {
  const people = Object.values(tallies).reduce((sum, tally) => sum + tally, 0);
  const lightsEach = people ? lightsOf(people) / people : 0;
  return Object.fromEntries(
    Object.entries(tallies).map(([mood, tally]) => {
      const lights = tally * lightsEach;
      return [mood, Array.from({length: Math.ceil(lights)}, (_, index) => certainty * Math.min(1, lights - index))];
    }),
  );
}

/** Bring brightnesses nearer to those that are wanted; the same object again: they are there. */
export function fade(shown, wanted, elapsedMs) {
  const step = elapsedMs / FADE_MS;
  let moved = false;
  const moods = new Set([...Object.keys(shown), ...Object.keys(wanted)]);
  const next = {};
  for (const mood of moods) {
    const [from, to] = [shown[mood] ?? [], wanted[mood] ?? []];
    const row = Array.from({length: Math.max(from.length, to.length)}, (_, index) => {
      const [now, then] = [from[index] ?? 0, to[index] ?? 0];
      moved ||= now !== then;
      return now < then ? Math.min(then, now + step) : Math.max(then, now - step);
    });
    while (row.at(-1) === 0) row.pop();
    if (row.length) next[mood] = row;
  }
  return moved ? next : shown;
}

/**
 * Where a mood's light is: `{layer, x, y, size}`, in radii of the ring from the middle, before its layer
 * turned; its glow ends `size` from it.
 *
 * The first lights of a mood are large, as the brightest of the stars are few.
 */
export function place(mood, index) {
  const seed = hash(mood);
  const share = (salt, step) => (hash(`${seed} ${salt}`) / 2 ** 32 + index * step) % 1;
  const stray = (salt) => hash(`${seed} ${salt} ${index}`) / 2 ** 32;
  // The next place is far from all former ones (Roberts' R2 sequence, steps of 1/p and 1/p² with p the
  // plastic number); a little chance takes the lattice out of it.
  const angle = 2 * Math.PI * ((share('angle', 0.7548776662) + 0.05 * stray('angle')) % 1);
  const outward = ((share('radius', 0.569840291) + 0.15 * stray('radius')) % 1) ** 1.25;
  const radius = Math.sqrt(NEAREST ** 2 + outward * (FARTHEST ** 2 - NEAREST ** 2));
  return {
    layer: hash(`${seed} layer ${index}`) % LAYERS.length,
    x: radius * Math.cos(angle),
    y: radius * Math.sin(angle),
    size: (0.055 + 0.075 * stray('size') ** 3) * (1 + 1.2 / (1 + index / 3)),
  };
}

/** How far a layer has turned at a time, in turns. */
export const turned = (layer, nowMs) => (nowMs / LAYERS[layer].turnMs) % 1;

/** The hash of a name, 0..2^32 (FNV-1a, and a finalizer by which each letter reaches each bit). */
function hash(text) {
  let state = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}
