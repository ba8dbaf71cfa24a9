/** A room in React: a hook of a few lines, and a component that uses it. */

import {useCallback, useEffect, useRef, useState} from 'react';
import {createRoot} from 'react-dom/client';
import {join} from '/breathing/client.js';

/** Be in a room for as long as the component is shown. Gives what is known of the room, and how to name a mood. */
function usePresence(url, options) {
  const {room: name} = options;
  const room = useRef(null);
  const [seen, setSeen] = useState({presence: null, state: 'unknown', config: null, mood: null});

  useEffect(() => {
    const joined = room.current = join(url, {room: name});
    const look = () => {
      const {presence, state, config, mood} = joined;
      setSeen({presence, state, config, mood});
    };
    for (const event of ['presence', 'state', 'config', 'mood']) joined.addEventListener(event, look);
    return () => joined.leave();
  }, [url, name]);

  const setMood = useCallback((mood) => room.current?.setMood(mood), []);
  return {...seen, setMood};
}

function Room() {
  const {presence, state, config, mood, setMood} = usePresence('/breathing', {room: 'react'});
  return (
    <>
      <h1>A room in React</h1>
      <p role="status">{presence ? `${presence.label} here (${state})` : 'looking for the room'}</p>
      {config?.moods.map((name) => (
        <button key={name} aria-pressed={name === mood} onClick={() => setMood(name)}>
          {name}: {presence?.moods[name] ?? 0}
        </button>
      ))}
    </>
  );
}

createRoot(document.getElementById('root')).render(<Room />);
