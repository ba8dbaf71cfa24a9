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
  /** The mood to join with; without it, the one that this browser last chose here. */
  mood?: string;
  /**
   * How to connect; without it, as the room's config says. `offline`: show how many are usually there,
   * without a server.
   */
  mode?: 'socket' | 'poll' | 'offline';
  /** An id of your own, 16 to 64 of A-Z a-z 0-9 _ - or signed by your server; nothing is then stored. */
  visitor?: string;
  /** Observe without being counted. */
  observe?: boolean;
  /** False: store nothing in the browser. Each page is then a visitor of its own. */
  storage?: boolean;
  /** How long a hidden page stays in the room; by default as long as it is open. */
  hiddenMs?: number;
  /** For `offline`: where the averages are; by default where a server publishes them. */
  history?: string | URL;
  /** For `offline`: where to report joins, changes of mood and leaves. */
  report?: string | URL;
}

export interface RoomEventMap {
  /** A presence came. */
  presence: CustomEvent<Presence>;
  /** The state or the transport changed. */
  state: CustomEvent<State>;
  config: CustomEvent<null>;
  /** There is a better estimate of the server's time. */
  clock: CustomEvent<null>;
  /** The mood was changed, perhaps in another tab. */
  mood: CustomEvent<null>;
  /** The server rejected something. Where it stopped the room, `transport` is null. */
  error: CustomEvent<{code: string; message: string}>;
}

/** A room that the page has joined or observes. It never throws. */
export interface Room extends EventTarget {
  /** The latest presence; null until the first. */
  readonly presence: Presence | null;
  readonly state: State;
  readonly config: Config | null;
  /** The mood of this visitor; null: none yet. */
  readonly mood: string | null;
  /** The transport; null while not connected. */
  readonly transport: Transport | null;
  /** The server's wall time minus ours, in milliseconds. */
  readonly clockOffsetMs: number;
  /** How old the presence is, in milliseconds: 0 while changes are pushed. */
  readonly ageMs: number;
  /** The count to display now: between two polls it is interpolated, inside the latest interval. */
  readonly displayedCount: number | null;
  /**
   * Whether the count includes this visitor: it includes no observer, and an average includes no visitor of
   * now.
   */
  readonly counted: boolean;
  /** How many others are here, not rounded; null while no count is known. */
  readonly others: number | null;
  /** The server's wall time now, in milliseconds since 1970. */
  now(): number;
  /** Change the mood; `unspoken` clears it. */
  setMood(mood: string): void;
  /** Leave the room for good. */
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

/** Join a room, or observe it. */
export function join(url: string | URL, options?: Options): Room;
