/** Endless animations, in step with everybody's time. */

/** An animation that is off by more is set right; less is not seen. */
const DRIFT_MS = 15;

export class Motion {
  #animations = [];
  #made = null;

  /** Have the animations of this name, which `make(run)` starts by `run(element, keyframes, lengthMs)`. */
  make(name, make) {
    if (name === this.#made) return;
    this.cancel();
    this.#made = name;
    make((element, keyframes, lengthMs) => {
      this.#animations.push(element.animate(keyframes, {duration: lengthMs, iterations: Infinity}));
    });
  }

  /**
   * Bring each to where it is at a time, counted from 1970.
   *
   * It is told when it began, rather than where it is: that would be taken for the place at the next frame, which comes late
   * where the browser is busy.
   */
  follow(nowMs) {
    for (const animation of this.#animations) {
      const lengthMs = animation.effect.getTiming().duration;
      const beganAtMs = performance.now() - (nowMs % lengthMs);
      const offMs = Math.abs((animation.startTime ?? Infinity) - beganAtMs) % lengthMs;
      if (!(Math.min(offMs, lengthMs - offMs) < DRIFT_MS)) animation.startTime = beganAtMs;
    }
  }

  /** Nobody looks: nothing moves. */
  cancel() {
    for (const animation of this.#animations) animation.cancel();
    this.#animations = [];
    this.#made = null;
  }
}
