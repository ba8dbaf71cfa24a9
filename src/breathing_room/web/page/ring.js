/** The mix of moods as a ring of arcs around the orb, whose colors shine into it. */

import {COLORS, drawn, shapeOf} from './shapes.js';
import {peopleOf} from './mix.js';

/** The gap between two arcs, as a share of the ring. */
const GAP = 0.011;
/**
 * A mix that differs by less from what is drawn, in shares of the ring, is left as it is; one that differs by
 * little more is drawn in its new place at once, which is not visible; the rest glides there. Gliding, and
 * melting colors into others, is what costs: a busy room changes a little every second.
 */
const SEEN = 0.003;
const GLIDES = 0.02;
/** The ring in its own drawing, which is 200 wide. */
const RADIUS = 94;

export class Ring {
  #svg;
  #colors;
  #arcs = new Map();
  #drawn = null;
  #tinted = null;

  /** Draw into an SVG, and shine into an element with two layers. */
  constructor(svg, colors) {
    this.#svg = svg;
    this.#colors = colors;
  }

  /** Make an arc for each of the room's moods. */
  setMoods(moods) {
    this.#svg.replaceChildren();
    this.#drawn = this.#tinted = null;
    this.#arcs = new Map(
      [...moods, 'unspoken', 'merged'].map((mood, index) => {
        const hue = index < moods.length ? index % COLORS : mood;
        const add = (tag, attributes) => {
          const part = drawn(tag, {'data-mood': hue, ...attributes});
          this.#svg.append(part);
          return part;
        };
        const circle = {r: RADIUS, pathLength: 1, 'stroke-dasharray': '0 1'};
        const [arc, sure] = [add('circle', {...circle, class: 'arc'}), add('circle', {...circle, class: 'sure arc'})];
        const mark = index < moods.length ? add('path', {d: shapeOf(index), class: 'mark'}) : null;
        return [mood, {arc, sure, mark, hue}];
      }),
    );
  }

  /** Show a mix: an arc is as long as its share, and bright as far as its people are certain. */
  show(parts) {
    const total = peopleOf(parts);
    const seen = parts.flatMap(({people, low}) => [people / total || 0, low / total || 0]);
    const change = differ(seen, this.#drawn);
    if (change < SEEN) return;
    this.#svg.classList.toggle('gliding', change >= GLIDES);
    this.#drawn = seen;
    const drawnArcs = [];
    let start = 0;
    for (const {mood, people, low} of parts) {
      const {arc, sure, mark, hue} = this.#arcs.get(mood);
      const share = total ? people / total : 0;
      const middle = start + share / 2;
      const gap = share < 1 ? Math.min(GAP, share / 2) : 0;
      const certain = people ? Math.min(1, Math.max(0, low / people)) : 0;
      lay(arc, middle, share - gap);
      lay(sure, middle, (share - gap) * certain);
      if (mark) {
        mark.style.opacity = share > 3 * GAP ? 1 : 0;
        mark.style.transform = `rotate(${middle}turn) translateY(${-RADIUS}px) rotate(${-middle}turn)`;
      }
      if (share) drawnArcs.push({color: mark ? `var(--mood-${hue})` : 'var(--moonlight)', start, share});
      start += share;
    }
    if (!drawnArcs.length || differ(seen, this.#tinted) < GLIDES) return;
    this.#tint(drawnArcs);
    this.#tinted = seen;
  }

  /** Let the arcs' colors shine into the orb: each onto its side, melting into its neighbors. */
  #tint(arcs) {
    // A color melts as far as the lesser of the two allows, so that few people tint little.
    const melt = arcs.map(({share}, index) => 0.4 * Math.min(share, arcs[(index + 1) % arcs.length].share));
    const stops = arcs.map(({color, start, share}, index) => [color, start + melt.at(index - 1), start + share - melt[index]]);
    // The circle is cut open in the middle of the first arc, where the color is the same on both sides.
    const [color, , to] = stops.shift();
    const cut = arcs[0].share / 2;
    const last = [color, 1 + melt.at(-1), 1 + cut];
    const turns = [[color, cut, to], ...stops, last].map(([of, ...ends]) => [of, ...ends.map((end) => `${(end - cut).toFixed(4)}turn`)]);
    const gradient = `conic-gradient(from ${cut.toFixed(4)}turn, ${turns.map((stop) => stop.join(' ')).join(', ')})`;
    // A gradient cannot melt into another, but one layer can fade out over the next.
    const [below] = this.#colors.children;
    below.style.background = gradient;
    this.#colors.append(below);
    below.animate([{opacity: 0}, {opacity: 1}], 3_000);
  }
}

/** Lay an arc of a length, in turns, about its middle. */
function lay(circle, middle, length) {
  circle.setAttribute('stroke-dasharray', length < 1 ? `${Math.max(0, length)} 1` : 'none');
  circle.setAttribute('stroke-dashoffset', length / 2 - middle);
  circle.style.opacity = length > 0 ? '' : 0;
}

/** How far two mixes are apart: the most that any share differs. */
const differ = (one, other) => (other ? Math.max(...one.map((share, index) => Math.abs(share - other[index]))) : 1);
