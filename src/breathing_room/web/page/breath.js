/**
 * The shared breath: a pure function of the server's wall time and the room's phases.
 *
 * Phases are `[name, length_ms]` pairs named inhale, hold, exhale or rest, as in the room's config. All pages
 * that have the server's time are at the same position of the breath.
 */

/** How full the lungs are when a phase ends, 0..1. */
const FULL_AFTER = {inhale: 1, hold: 1, exhale: 0, rest: 0};

/** The length of one whole breath, in milliseconds. */
export const cycleMs = (phases) => phases.reduce((sum, [, lengthMs]) => sum + lengthMs, 0);

/**
 * Where the breath is at a server time: `{phase, positionMs, leftMs}`, the last being what is left of the
 * phase.
 */
export function breathAt(nowMs, phases) {
  const positionMs = nowMs % cycleMs(phases);
  let endMs = 0;
  for (const [phase, lengthMs] of phases) {
    endMs += lengthMs;
    if (positionMs < endMs) return {phase, positionMs, leftMs: endMs - positionMs};
  }
  return {phase: phases.at(-1)[0], positionMs, leftMs: 0};
}

/**
 * One breath as keyframes for `Element.animate`.
 *
 * `style(fullness)` names the properties for lungs filled 0..1. Handing the whole breath to the browser's
 * compositor, rather than drawing each frame, is what lets the page stay open for hours at no cost to the
 * main thread.
 */
export function keyframes(phases, style) {
  const cycle = cycleMs(phases);
  const frames = [{offset: 0, easing: 'ease-in-out', ...style(FULL_AFTER[phases.at(-1)[0]])}];
  let endMs = 0;
  for (const [phase, lengthMs] of phases) {
    endMs += lengthMs;
    frames.push({offset: Math.min(1, endMs / cycle), easing: 'ease-in-out', ...style(FULL_AFTER[phase])});
  }
  return frames;
}
