import {For, render} from 'solid-js/web';
import {createStore, reconcile} from 'solid-js/store';

export function start(target) {
  const [elements, setElements] = createStore([]);
  const App = () => (
    <For each={elements}>
      {(it) => (
        <breathing-room
          server={it.server} room={it.room} mood={it.mood} observe={it.observe}
          label={it.label} hide-below={it.hideBelow} cap-above={it.capAbove}
        />
      )}
    </For>
  );
  render(App, target);
  return (next) => setElements(reconcile(next, {key: 'id'}));
}
