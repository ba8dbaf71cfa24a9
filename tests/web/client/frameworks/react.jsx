/** @jsxImportSource react */
import {StrictMode} from 'react';
import {createRoot} from 'react-dom/client';

const App = ({elements}) => elements.map((it) => (
  <breathing-room
    key={it.id} server={it.server} room={it.room} mood={it.mood} observe={it.observe}
    label={it.label} hideBelow={it.hideBelow} cap-above={it.capAbove}
  />
));

export function start(target) {
  const root = createRoot(target);
  return (elements) => root.render(<StrictMode><App elements={elements} /></StrictMode>);
}
