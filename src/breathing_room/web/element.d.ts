import {type Room, join} from './client.js';

export {join};
export {sentence} from './sentence.js';

/** `<breathing-room>`: how many people are here, in one line of a page. */
export class BreathingRoom extends HTMLElement {
  static observedAttributes: string[];
  /** The room, as `join` gives it; null while the element is on no page. */
  readonly room: Room | null;
}

declare global {
  interface HTMLElementTagNameMap {
    'breathing-room': BreathingRoom;
  }
}
