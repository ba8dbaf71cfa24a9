/**
 * `<breathing-room>`: how many others are here, in one line of a page and in its language.
 *
 *     <script type="module" src="https://example.org/element.js"></script>
 *     <breathing-room></breathing-room>
 *     <breathing-room label="{label} {person is|people are} looking at this" hide-below="5" cap-above="500"></breathing-room>
 *
 * Attributes: `server` (by default where the script came from), `room`, `mood`, `mode`, `observe`, `history`, as for `join`;
 * `label`, `lang`, `hide-below` and `cap-above`, as for `sentence`: what to say, in which language, and of how many. The language is
 * that of the nearest `lang` around the element.
 *
 * The element is `hidden` while there is nothing to say: nothing known, or too few. Its attribute `state` is the room's, for
 * styles such as `breathing-room[state=stale] { opacity: .6 }`; its property `room` is what `join` gave.
 */

import {join} from './client.js';
import {languageAt, sentence} from './sentence.js';

export {join, sentence};

/** Another value of these means another room. */
const PLACES = ['server', 'room', 'mode', 'observe', 'history'];
const HERE = new URL('.', import.meta.url);
// Node has no elements, and need not fail when a page is rendered there.
const Element = globalThis.HTMLElement ?? class {};

export class BreathingRoom extends Element {
  static observedAttributes = [...PLACES, 'mood', 'label', 'lang', 'hide-below', 'cap-above'];

  /** The room, as `join` gives it; null while the element is on no page. */
  room = null;

  connectedCallback() {
    if (!this.room) this.#join();
  }

  disconnectedCallback() {
    // It may only be moved.
    queueMicrotask(() => this.isConnected || this.#leave());
  }

  attributeChangedCallback(name, before, value) {
    if (!this.room || before === value) return;
    if (PLACES.includes(name)) {
      this.#leave();
      this.#join();
    } else if (name === 'mood') {
      this.room.setMood(value ?? 'unspoken');
    } else {
      this.#show();
    }
  }

  #join() {
    const given = (name) => this.getAttribute(name) ?? undefined;
    const [room, mood, mode, history] = ['room', 'mood', 'mode', 'history'].map(given);
    this.room = join(given('server') ?? HERE, {room, mood, mode, history, observe: this.hasAttribute('observe')});
    for (const type of ['presence', 'state']) this.room.addEventListener(type, () => this.#show());
    this.#show();
  }

  #leave() {
    this.room?.leave();
    this.room = null;
  }

  #show() {
    if (!this.room) return; // its last words
    const given = (name) => this.getAttribute(name) ?? undefined;
    this.setAttribute('state', this.room.state);
    const options = {
      label: given('label'),
      lang: languageAt(this),
      hideBelow: Number(given('hide-below')) || 0,
      capAbove: Number(given('cap-above')) || Infinity,
    };
    this.textContent = sentence(this.room, options);
    this.hidden = !this.textContent;
  }
}

globalThis.customElements?.get('breathing-room') ?? globalThis.customElements?.define('breathing-room', BreathingRoom);
