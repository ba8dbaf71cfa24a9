"""The React hook, run in Node with hooks and rooms of a few lines, so that each render and each effect is a
test's to call.
"""

import json
from typing import Any

from node import CLIENT, node

STAGE = """
    const fs = await import('node:fs');
    const hooks = `
      const slots = []; let at = 0; const due = [];
      const same = (one, other) => one && one.length === other.length && one.every((value, index) => Object.is(value, other[index]));
      export const useState = (first) => { const slot = (slots[at++] ??= {value: first}); return [slot.value, (value) => { slot.value = value; }]; };
      export const useCallback = (made, on) => { const slot = (slots[at++] ??= {}); if (!same(slot.on, on)) Object.assign(slot, {made, on}); return slot.made; };
      export const useEffect = (run, on) => { const slot = (slots[at++] ??= {}); if (!same(slot.on, on)) due.push(() => { slot.end?.(); slot.end = run(); slot.on = on; }); };
      export const render = (component) => { at = 0; const seen = component(); while (due.length) due.shift()(); return seen; };
      export const unmount = () => slots.forEach((slot) => slot.end?.());`;
    const client = `
      export const rooms = [];
      export const join = (url, options) => {
        const room = {url: String(url), options, presence: null, state: 'unknown', config: null, mood: null, transport: null, left: 0, listeners: {},
          addEventListener(type, run) { this.listeners[type] = run; }, removeEventListener(type) { delete this.listeners[type]; },
          setMood(mood) { this.mood = mood; this.listeners.mood?.(); return 'set'; }, leave() { this.left++; }};
        rooms.push(room);
        return room;
      };`;
    const url = (text) => 'data:text/javascript,' + encodeURIComponent(text);
    const source = fs.readFileSync(new URL('react.js', CLIENT), 'utf8')
      .replace("'react'", JSON.stringify(url(hooks))).replace("'./client.js'", JSON.stringify(url(client)));
    const [{usePresence}, {render, unmount}, {rooms}] = [await import(url(source)), await import(url(hooks)), await import(url(client))];
    const show = (options) => render(() => usePresence('https://room.example', options));
"""


def run(steps: str) -> Any:
    stage = STAGE.replace("CLIENT)", f"{json.dumps(CLIENT.as_uri() + '/')})")
    return node("shapes.js", f"await (async () => {{ {stage} {steps} }})()")


def test_one_room_while_the_component_is_mounted() -> None:
    """
    Renders with equal options share one room; other options leave it for another; unmounted, the hook leaves
    and listens no more.
    """
    assert run("""
        show({room: 'lobby'}); show({room: 'lobby'});
        const first = rooms.map(({url, options}) => [url, options.room]);
        show({room: 'garden'}); unmount();
        return [first, rooms.map(({options, left, listeners}) => [options.room, left, Object.keys(listeners).length])];
    """) == [[["https://room.example", "lobby"]], [["lobby", 1, 0], ["garden", 1, 0]]]


def test_what_the_room_says_is_seen_by_the_next_render() -> None:
    """
    Before the room says anything the state is unknown; each of its events shows in the next render, and a
    mood can be set.
    """
    assert run("""
        const before = show({});
        const [room] = rooms;
        Object.assign(room, {presence: {count: 3}, state: 'live', transport: 'socket'});
        room.listeners.presence();
        const {presence, state, transport, setMood} = show({});
        const result = setMood('calm');
        return [before.state, before.presence, presence, state, transport, result, show({}).mood, show({}).setMood === setMood];
    """) == ["unknown", None, {"count": 3}, "live", "socket", "set", "calm", True]
