/** A room in React, and in TypeScript: one hook. */

import {createRoot} from 'react-dom/client';
import {usePresence} from 'breathing-room/react';
import {sentence} from 'breathing-room/sentence';

function Room() {
  const {room, presence, state, config, mood, setMood} = usePresence('/breathing', {room: 'react'});
  return (
    <>
      <h1>A room in React</h1>
      <p role="status">{sentence(room) ? `${sentence(room)} (${state})` : 'looking for the room'}</p>
      {config?.moods.map((name) => (
        <button key={name} aria-pressed={name === mood} onClick={() => setMood(name)}>
          {name}: {presence?.moods[name] ?? 0}
        </button>
      ))}
    </>
  );
}

createRoot(document.getElementById('root')!).render(<Room />);
