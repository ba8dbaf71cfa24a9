/**
 * Paints the sky. A light is painted only while it appears or vanishes; the browser's compositor turns,
 * glimmers and scales the sky, which costs the main thread nothing.
 */

import {Motion} from './motion.js';
import {FARTHEST, LAYERS, brightnesses, fade, place} from './sky.js';

/** Lights fade in steps of this length: a slow fade needs no more. */
const STEP_MS = 100;
/** A soft light gains nothing from a finer canvas. */
const PIXEL_RATIO_MAX = 1.5;
const SPRITE_PX = 64;

export class Lights {
  #canvases;
  #colorOf;
  #motion = new Motion();
  #sprites = new Map();
  #places = new Map();
  #shown = {};
  #target = {};
  #timer = 0;
  #paintedAtMs = 0;

  /** Paint into an element; `colorOf(mood)` is a CSS color. */
  constructor(sky, colorOf) {
    this.#colorOf = colorOf;
    this.#canvases = LAYERS.map(() => document.createElement('canvas'));
    sky.append(...this.#canvases);
    new ResizeObserver(() => this.#fit(sky.clientWidth)).observe(sky);
  }

  /** Show a light for each of these people, `{mood: people}`; lights fade in and out. */
  show(tallies, certainty) {
    this.#target = brightnesses(tallies, certainty);
    this.#schedule();
  }

  /** Paint all lights again, after the moods and with them their colors changed. */
  recolor() {
    this.#sprites.clear();
    this.#paint();
  }

  /**
   * Move as at a server time, in step with every other page; without motion, `still`, the sky only glimmers.
   */
  syncTo(nowMs, {still}) {
    this.#motion.define(still ? 'still' : 'turning', (run) => {
      this.#canvases.forEach((canvas, layer) => {
        const {turnMs, glimmerMs} = LAYERS[layer];
        if (!still) run(canvas, [{transform: 'rotate(0turn)'}, {transform: 'rotate(1turn)'}], turnMs);
        const easing = 'ease-in-out';
        run(canvas, [{opacity: 1, easing}, {opacity: 0.72, easing}, {opacity: 1}], glimmerMs);
      });
    });
    this.#motion.syncTo(nowMs);
    this.#schedule();
  }

  /** Stop moving and painting, while the page is hidden. */
  pause() {
    this.#motion.cancel();
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  #schedule() {
    if (this.#timer || document.hidden) return;
    this.#paintedAtMs = performance.now();
    this.#timer = setTimeout(() => this.#step(), STEP_MS);
  }

  #step() {
    this.#timer = 0;
    const shown = fade(this.#shown, this.#target, performance.now() - this.#paintedAtMs);
    if (shown === this.#shown) return; // every light is as bright as its target: no timer until the next change
    this.#shown = shown;
    this.#paint();
    this.#schedule();
  }

  #fit(sizePx) {
    const side = Math.round(sizePx * Math.min(devicePixelRatio, PIXEL_RATIO_MAX));
    if (this.#canvases[0].width === side) return;
    for (const canvas of this.#canvases) canvas.width = canvas.height = side;
    this.#paint();
  }

  #paint() {
    const pens = this.#canvases.map((canvas) => canvas.getContext('2d'));
    const half = this.#canvases[0].width / 2;
    const unit = half / (FARTHEST + 0.2); // the outermost lights keep their glow
    for (const pen of pens) pen.clearRect(0, 0, 2 * half, 2 * half);
    for (const [mood, row] of Object.entries(this.#shown)) {
      const sprite = this.#sprite(mood);
      row.forEach((brightness, index) => {
        const {layer, x, y, size} = this.#place(mood, index);
        const glow = size * unit;
        pens[layer].globalAlpha = brightness;
        pens[layer].drawImage(sprite, half + x * unit - glow, half + y * unit - glow, 2 * glow, 2 * glow);
      });
    }
  }

  #place(mood, index) {
    const key = `${mood} ${index}`;
    if (!this.#places.has(key)) this.#places.set(key, place(mood, index));
    return this.#places.get(key);
  }

  /** One light, painted once a mood: a core that is nearly white, in a glow that ends nowhere. */
  #sprite(mood) {
    if (this.#sprites.has(mood)) return this.#sprites.get(mood);
    const sprite = document.createElement('canvas');
    sprite.width = sprite.height = SPRITE_PX;
    const pen = sprite.getContext('2d');
    const middle = SPRITE_PX / 2;
    const color = this.#colorOf(mood);
    const draw = (radius, stops) => {
      pen.fillStyle = pen.createRadialGradient(middle, middle, 0, middle, middle, radius);
      for (const [at, of] of stops) pen.fillStyle.addColorStop(at, of);
      pen.fillRect(0, 0, SPRITE_PX, SPRITE_PX);
    };
    draw(middle, [[0, `${color}8c`], [0.14, `${color}59`], [0.35, `${color}1f`], [0.65, `${color}0a`], [1, `${color}00`]]);
    draw(middle * 0.2, [[0, color], [0.45, color], [1, `${color}00`]]);
    draw(middle * 0.13, [[0, '#ffffffd9'], [1, '#ffffff00']]);
    this.#sprites.set(mood, sprite);
    return sprite;
  }
}
