/** An event target whose events are values: `emit('time', {nowMs})` reaches `on({time: ({nowMs}) => …})`. */
export class Emitter extends EventTarget {
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }

  /** Add listeners, by event type. */
  on(listeners) {
    for (const [type, listener] of Object.entries(listeners)) {
      this.addEventListener(type, ({detail}) => listener(detail));
    }
  }
}
