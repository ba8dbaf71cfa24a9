import type {Room} from './client.js';

export interface SentenceOptions {
  /**
   * The sentence to use instead of ours. `{others}` is how many others are here and `{label}` how many with
   * the reader, both rounded to what is known; `{count}` is not rounded. `{0=…|one=…|few=…|many=…|other=…}`
   * is the form that the number takes in the language.
   */
  label?: string | undefined;
  /** The language's tag, such as `pl`; by default that of the page. */
  lang?: string | undefined;
  /** The empty string for fewer people than this. */
  hideBelow?: number | undefined;
  /** `500+` for more people than this. */
  capAbove?: number | undefined;
}

/**
 * Return how many others are in a room as a sentence in the language of the page; empty while no count is
 * known.
 */
export function sentence(room: Pick<Room, 'presence' | 'state' | 'counted'> | null, options?: SentenceOptions): string;

/** The language of a place in a page: the nearest `lang` around it, or else the browser's. */
export function languageAt(place?: Element): string;
