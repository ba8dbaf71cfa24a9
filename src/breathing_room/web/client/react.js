/**
 * A room in React:
 *
 *     const {room, presence, state, mood, setMood} = usePresence('https://example.org', {room: 'lobby'});
 *     return <p>{sentence(room)}</p>; // of 'breathing-room/sentence': empty until a number is known
 */

import {useCallback, useEffect, useState} from 'react';
import {join} from './client.js';

const NOTHING = {room: null, presence: null, state: 'unknown', config: null, mood: null, transport: null};

/**
 * Join a room while the component is mounted. The options are those of `join`; other options are another
 * room.
 */
export function usePresence(url, options = {}) {
  const [seen, setSeen] = useState(NOTHING);
  const place = JSON.stringify([String(url), options]);

  useEffect(() => {
    const room = join(url, options);
    const update = () => {
      const {presence, state, config, mood, transport} = room;
      setSeen({room, presence, state, config, mood, transport});
    };
    for (const type of ['presence', 'state', 'config', 'mood']) room.addEventListener(type, update);
    update();
    return () => {
      for (const type of ['presence', 'state', 'config', 'mood']) room.removeEventListener(type, update);
      room.leave();
    };
  }, [place]);

  const {room} = seen;
  const setMood = useCallback((mood) => room?.setMood(mood), [room]);
  return {...seen, setMood};
}
