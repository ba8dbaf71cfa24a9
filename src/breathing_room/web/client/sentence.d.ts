import type {Room} from './client.js';

export interface SentenceOptions {
  /**
   * The sentence to say instead of ours. `{others}` is how many others are here and `{label}` how many with the reader, both rounded to
   * what is known; `{count}` is not rounded. `{0=…|one=…|few=…|many=…|other=…}` is the form that the number takes in the language.
   */
  label?: string | undefined;
  /** The language's tag, such as `pl`; by default that of the page. */
  lang?: string | undefined;
  /** The fewest people that are spoken of; of fewer nothing is said. */
  hideBelow?: number | undefined;
  /** The most people that are spoken of; of more it says `500+`. */
  capAbove?: number | undefined;
}

/** Say how many others are in a room, in the language of the page; the empty string while there is nothing to say. */
export function sentence(room: Pick<Room, 'presence' | 'state' | 'counted'> | null, options?: SentenceOptions): string;

/** The language of a place in a page: the nearest `lang` around it, or else the browser's. */
export function languageAt(place?: Element): string;
