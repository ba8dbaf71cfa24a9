import {type Options, type Room, join} from './client.js';

export {join};
export {sentence} from './sentence.js';

/** What a tag of `<breathing-room>` takes; the types of a framework's tags can be extended with it. */
export interface BreathingRoomAttributes {
  /** Where the server is; by default where the script came from. */
  server?: string | URL | null | undefined;
  /** The room's name; `lobby` by default. */
  room?: string | number | null | undefined;
  /** How to connect; by default as the room's config says. */
  mode?: Options['mode'] | null | undefined;
  /** Observe without being counted. */
  observe?: boolean | 'true' | 'false' | null | undefined;
  /** For `offline`: where the averages are. */
  history?: string | URL | null | undefined;
  /** The mood to join with; a change is sent. */
  mood?: string | null | undefined;
  /** The sentence, as a template. */
  label?: string | null | undefined;
  /** Hide the element where fewer people are there. */
  'hide-below'?: number | string | null | undefined;
  /** From more people than this on, show `500+`. */
  'cap-above'?: number | string | null | undefined;
}

/**
 * `<breathing-room>`: how many people are here, in one line of a page.
 *
 * Each attribute is a property too. It reads and writes the attribute; null where there is none.
 */
export class BreathingRoom extends HTMLElement {
  static observedAttributes: string[];

  get server(): string | null;
  set server(value: BreathingRoomAttributes['server']);
  get room(): string | null;
  set room(value: BreathingRoomAttributes['room']);
  get mode(): string | null;
  set mode(value: BreathingRoomAttributes['mode']);
  get observe(): boolean;
  set observe(value: BreathingRoomAttributes['observe']);
  get history(): string | null;
  set history(value: BreathingRoomAttributes['history']);
  get mood(): string | null;
  set mood(value: BreathingRoomAttributes['mood']);
  get label(): string | null;
  set label(value: BreathingRoomAttributes['label']);
  get hideBelow(): number | null;
  set hideBelow(value: BreathingRoomAttributes['hide-below']);
  get capAbove(): number | null;
  set capAbove(value: BreathingRoomAttributes['cap-above']);

  /**
   * The room of `join`; null while the element is on no page. A change of `server`, `room` or `mode` makes
   * another one.
   */
  get joinedRoom(): Room | null;
}

declare global {
  interface HTMLElementTagNameMap {
    'breathing-room': BreathingRoom;
  }
}
