/** Endless animations, in step with the server's time. */

/** An animation that is off by more is set right; less is not seen. */
const DRIFT_MS = 15;

export class Motion {
  #animations = [];
  #name = null;

  /**
   * Replace the animations by those of a name, which `start(run)` starts by `run(element, keyframes,
   * lengthMs)`.
   */
  define(name, start) {
    if (name === this.#name) return;
    this.cancel();
    this.#name = name;
    start((element, keyframes, lengthMs) => {
      this.#animations.push(element.animate(keyframes, {duration: lengthMs, iterations: Infinity}));
    });
  }

  /**
   * Set each to its position at a time, counted from 1970.
   *
   * `startTime` is set rather than `currentTime`, which would be the position at the next frame, and that is
   * late where the browser is busy.
   */
  syncTo(nowMs) {
    for (const animation of this.#animations) {
      const lengthMs = animation.effect.getTiming().duration;
      const beganAtMs = performance.now() - (nowMs % lengthMs);
      const offMs = Math.abs((animation.startTime ?? Infinity) - beganAtMs) % lengthMs;
      if (!(Math.min(offMs, lengthMs - offMs) < DRIFT_MS)) animation.startTime = beganAtMs;
    }
  }

  /** Remove all animations. */
  cancel() {
    for (const animation of this.#animations) animation.cancel();
    this.#animations = [];
    this.#name = null;
  }
}
