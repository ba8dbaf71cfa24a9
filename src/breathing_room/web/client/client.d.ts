/** How many people are here right now, and how they feel. */

import type {Config as RoomConfig, Presence as RoomPresence} from './wire.js';

/** What is published about a room; `epoch` is missing in `offline` mode. */
export interface Presence extends Omit<RoomPresence, 'epoch'> {
  epoch?: number;
}

/** How a room works; in `offline` mode no more than its name and moods is known. */
export interface Config extends Pick<RoomConfig, 'room' | 'moods'>, Partial<Omit<RoomConfig, 'room' | 'moods' | 'mode'>> {
  mode: RoomConfig['mode'] | 'offline';
}

export type State = 'live' | 'stale' | 'estimated' | 'unknown';
export type Transport = 'socket' | 'polling' | 'history';

export interface Options {
  /** The room's name; without it, the server's default room (in `offline` mode `lobby`). */
  room?: string;
  /** The mood to come with; without it, the one that this browser last chose here. */
  mood?: string;
  /** How to connect; without it, as the room's config says. `offline`: show who is usually there, with no server. */
  mode?: 'socket' | 'poll' | 'offline';
  /** An id of your own, 16 to 64 of A-Z a-z 0-9 _ - or signed by your server; nothing is then stored. */
  visitor?: string;
  /** Look without being counted. */
  observe?: boolean;
  /** False: keep nothing in the browser. Each page is then a visitor of its own. */
  storage?: boolean;
  /** How long a page that nobody sees stays in the room; by default as long as it is open. */
  hiddenMs?: number;
  /** For `offline`: where the averages are; by default where a server publishes them. */
  history?: string | URL;
  /** For `offline`: who is told that somebody came, changed the mood, or went. */
  report?: string | URL;
}

export interface RoomEventMap {
  /** A presence came. */
  presence: CustomEvent<Presence>;
  /** The state or the transport changed. */
  state: CustomEvent<State>;
  config: CustomEvent<null>;
  /** The server's time is better known. */
  clock: CustomEvent<null>;
  /** The mood was changed, perhaps in another tab. */
  mood: CustomEvent<null>;
  /** Something was refused. Where it stopped the room, `transport` is null. */
  error: CustomEvent<{code: string; message: string}>;
}

/** A room as seen from here. It never throws. */
export interface Room extends EventTarget {
  /** The latest presence; null until the first. */
  readonly presence: Presence | null;
  readonly state: State;
  readonly config: Config | null;
  /** The mood that we named; null: none yet. */
  readonly mood: string | null;
  /** How we are connected; null: not now. */
  readonly transport: Transport | null;
  /** The server's wall time minus ours, in milliseconds. */
  readonly clockOffsetMs: number;
  /** How old the presence is, in milliseconds: 0 while we would be told of any change. */
  readonly ageMs: number;
  /** The count to show now: between two polls it walks from one to the next, inside of the latest interval. */
  readonly shown: number | null;
  /** Whether the count has us in it: it counts no observer, and what is usual counts none of those who are here now. */
  readonly counted: boolean;
  /** How many others are here, not rounded; null while no count is known. */
  readonly others: number | null;
  /** The server's wall time now, in milliseconds since 1970. */
  now(): number;
  /** Feel so from now on; `unspoken` takes it back. */
  setMood(mood: string): void;
  /** Go, for good. */
  leave(): void;

  addEventListener<Type extends keyof RoomEventMap>(
    type: Type,
    listener: (this: Room, event: RoomEventMap[Type]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/** Join a room, or watch it. */
export function join(url: string | URL, options?: Options): Room;
