/** One shape a mood, in the order of the room's moods, so that color is never the only sign. */

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

/** So many colors there are, `--mood-0` and on. */
export const COLORS = SHAPES.length;

/**
 * The shape of the mood at a place. Where the colors begin again the shapes are shifted: no two of 64 moods
 * look the same.
 */
export const shapeOf = (index) => SHAPES[(index + Math.floor(index / COLORS)) % SHAPES.length];

/** Make an element of an SVG. */
export function drawn(tag, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** A mood's shape, to stand beside its name. */
export function glyph(index) {
  const svg = drawn('svg', {viewBox: '-8 -8 16 16', class: 'glyph', 'aria-hidden': 'true'});
  svg.append(drawn('path', {d: shapeOf(index)}));
  return svg;
}
