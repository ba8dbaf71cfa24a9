/**
 * The orb that breathes in step with the server's time.
 *
 * The browser's compositor runs the breath as animations that start at the right moment of the server's time;
 * between two phases no script runs.
 */

import {breathAt, cycleMs, keyframes} from './breath.js';
import {Motion} from './motion.js';

/** What grows with the lungs, and shines with them: by element, its least scale and its least opacity. */
const BREATHING = {
  sky: [0.86, 0.8],
  halo: [0.7, 0.4],
  veil: [0.48, 0.3],
  shell: [0.56, 0.5],
  body: [0.6, 0.8],
};

export class Orb {
  #elements;
  #hand;
  #word;
  #wordOf;
  #motion = new Motion();

  /** `wordOf(phase)` is the word for a phase. */
  constructor(wordOf) {
    this.#wordOf = wordOf;
    this.#elements = Object.entries(BREATHING).map(([id, least]) => [document.getElementById(id), ...least]);
    this.#hand = document.getElementById('hand');
    this.#word = document.getElementById('phase');
  }

  /**
   * Breathe as at a server time; without motion, `still`, only the brightness changes. Return what is left of
   * the phase.
   */
  syncTo(nowMs, phases, {still}) {
    this.#motion.define(JSON.stringify([phases, still]), (run) => {
      const lengthMs = cycleMs(phases);
      const from = (least) => (fullness) => least + (1 - least) * fullness;
      for (const [element, leastScale, leastOpacity] of this.#elements) {
        const [size, light] = [from(leastScale), from(leastOpacity)];
        run(element, keyframes(phases, (fullness) => ({opacity: light(fullness)})), lengthMs);
        if (!still) run(element, keyframes(phases, (fullness) => ({transform: `scale(${size(fullness)})`})), lengthMs);
      }
      if (!still) run(this.#hand, [{transform: 'rotate(0turn)'}, {transform: 'rotate(1turn)'}], lengthMs);
    });
    this.#motion.syncTo(nowMs);
    const {phase, leftMs} = breathAt(nowMs, phases);
    this.#showWord(this.#wordOf(phase));
    return leftMs;
  }

  /** Stop moving, while the page is hidden. */
  pause() {
    this.#motion.cancel();
  }

  #showWord(word) {
    if (this.#word.textContent === word) return;
    this.#word.textContent = word;
    this.#word.animate([{opacity: 0}, {opacity: 1}], {duration: 900, easing: 'ease-out'});
  }
}
