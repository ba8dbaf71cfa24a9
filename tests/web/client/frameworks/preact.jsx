/** @jsxImportSource preact */
import {render} from 'preact';

const App = ({elements}) => elements.map((it) => (
  <breathing-room
    key={it.id} server={it.server} room={it.room} mood={it.mood} observe={it.observe}
    label={it.label} hideBelow={it.hideBelow} cap-above={it.capAbove}
  />
));

export function start(target) {
  return (elements) => render(<App elements={elements} />, target);
}
