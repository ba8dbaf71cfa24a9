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
 * Each is a property too (`hideBelow`, `capAbove`), since frameworks set one or the other: a property reads and writes its
 * attribute and holds nothing of its own. An empty value is as good as none.
 *
 * The element is `hidden` while there is nothing to say: nothing known, or too few. Its attribute `state` is the room's, for
 * styles such as `breathing-room[state=stale] { opacity: .6 }`; its property `joinedRoom` is what `join` gave.
 *
 * Theory of operation: a change of any kind (an attribute, into the page, out of it) schedules one microtask, which compares
 * what is wanted with what is, and joins or leaves. A framework sets one property at a time, and moves an element by taking it
 * out and putting it back; either is one change, and a move is none.
 */

import {join} from './client.js';
import {languageAt, sentence} from './sentence.js';

export {join, sentence};

const text = (value) => value || null;
const number = (value) => (value ? Number(value) : null);
const flag = (value) => value !== null && value !== 'false';

/** What each attribute means as a property. */
const ATTRIBUTES = {
  server: text, room: text, mode: text, observe: flag, history: text,
  mood: text, label: text, 'hide-below': number, 'cap-above': number,
};
/** Another value of these means another room. */
const PLACE = ['server', 'room', 'mode', 'observe', 'history'];
const HERE = new URL('.', import.meta.url);
// Node has no elements, and need not fail when a page is rendered there.
const Element = globalThis.HTMLElement ?? class {};

const propertyOf = (attribute) => attribute.replace(/-(.)/, (_, letter) => letter.toUpperCase());

export class BreathingRoom extends Element {
  static observedAttributes = [...Object.keys(ATTRIBUTES), 'lang'];

  #room = null;       // as `join` gave it; null while on no page
  #place = null;      // where that is, in JSON
  #mood = null;       // the one that was asked for last
  #scheduled = false;

  constructor() {
    super();
    // What a page set before this script came is a property of the object itself, and would hide ours.
    for (const name of Object.keys(ATTRIBUTES).map(propertyOf)) {
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
  }

  /** The room, as `join` gives it; null while the element is on no page. */
  get joinedRoom() {
    return this.#room;
  }

  connectedCallback() {
    this.#schedule();
  }

  disconnectedCallback() {
    this.#schedule();
  }

  attributeChangedCallback() {
    this.#schedule();
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#update();
    });
  }

  /** Be in the room that is asked for, with the mood that is asked for, and say so. */
  #update() {
    const place = this.isConnected ? JSON.stringify(PLACE.map((name) => this[name])) : null;
    const {mood} = this;
    if (place !== this.#place) {
      this.#leave();
      this.#place = place;
      if (place) this.#join();
    } else if (mood !== this.#mood) {
      this.#room?.setMood(mood ?? 'unspoken');
    }
    this.#mood = mood;
    this.#show();
  }

  #join() {
    const given = (name) => this[name] ?? undefined;
    const [room, mood, mode, history] = ['room', 'mood', 'mode', 'history'].map(given);
    const joined = join(this.server ?? HERE, {room, mood, mode, history, observe: this.observe});
    for (const type of ['presence', 'state']) joined.addEventListener(type, () => this.#room === joined && this.#show());
    this.#room = joined;
  }

  #leave() {
    const left = this.#room;
    this.#room = null; // its last words are not shown
    left?.leave();
  }

  #show() {
    if (!this.#room) return;
    const {label, hideBelow, capAbove} = this;
    const options = {label: label ?? undefined, lang: languageAt(this), hideBelow: hideBelow || 0, capAbove: capAbove || Infinity};
    this.setAttribute('state', this.#room.state);
    this.textContent = sentence(this.#room, options);
    this.hidden = !this.textContent;
  }
}

for (const [attribute, meaning] of Object.entries(ATTRIBUTES)) {
  Object.defineProperty(BreathingRoom.prototype, propertyOf(attribute), {
    configurable: true,
    enumerable: true,
    get() {
      return meaning(this.getAttribute(attribute));
    },
    set(value) {
      // A room may be called 0; a flag that is 0 is off.
      if (value || (value === 0 && meaning !== flag)) this.setAttribute(attribute, value === true ? '' : value);
      else this.removeAttribute(attribute);
    },
  });
}

globalThis.customElements?.get('breathing-room') ?? globalThis.customElements?.define('breathing-room', BreathingRoom);
