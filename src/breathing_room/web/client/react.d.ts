import type {DetailedHTMLProps, HTMLAttributes} from 'react';
import type {Config, Options, Presence, Room, State, Transport} from './client.js';
import type {BreathingRoom, BreathingRoomAttributes} from './element.js';

/** The room, and what it has at this render. */
export interface Seen {
  /** The room, as `join` gives it; null before the first effect. */
  room: Room | null;
  presence: Presence | null;
  state: State;
  config: Config | null;
  mood: string | null;
  transport: Transport | null;
  setMood(mood: string): void;
}

/** Join a room while the component is mounted. */
export function usePresence(url: string | URL, options?: Options): Seen;

/** The tag, for pages in TypeScript; `import type {} from 'breathing-room/react'` is enough. */
declare module 'react' {
  namespace JSX {
    interface IntrinsicElements {
      'breathing-room': DetailedHTMLProps<HTMLAttributes<BreathingRoom>, BreathingRoom> & BreathingRoomAttributes;
    }
  }
}
