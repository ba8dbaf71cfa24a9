/**
 * `<breathing-room>`: how many others are here, in one line of a page and in its language.
 *
 *     <script type="module" src="https://example.org/element.js"></script>
 *     <breathing-room></breathing-room>
 * <breathing-room label="{label} {person is|people are} looking at this" hide-below="5"
 * cap-above="500"></breathing-room>
 *
 * Attributes: `server` (by default where the script came from), `room`, `mood`, `mode`, `observe`, `history`,
 * as for `join`; `label`, `lang`, `hide-below` and `cap-above`, as for `sentence`: the text, its language,
 * and its limits. The language is that of the nearest `lang` around the element.
 *
 * Each is a property too (`hideBelow`, `capAbove`), since frameworks set one or the other: a property reads
 * and writes its attribute and has no value of its own. An empty value is the same as none.
 *
 * The element is `hidden` while its text is empty: no count is known, or there are too few people. Its
 * attribute `state` is the room's, for styles such as `breathing-room[state=stale] { opacity: .6 }`; its
 * property `joinedRoom` is the room of `join`.
 *
 * Theory of operation: a change of any kind (an attribute, into the page, out of it) schedules one microtask,
 * which compares the wanted room and mood with the current ones, and joins or leaves. A framework sets one
 * property at a time, and moves an element by taking it out and putting it back; either is one change, and a
 * move is none.
 */

import {join} from './client.js';
import {languageAt, sentence} from './sentence.js';

export {join, sentence};

const text = (value) => value || null;
const number = (value) => (value ? Number(value) : null);
const flag = (value) => value !== null && value !== 'false';

/** How each attribute is read as a property. */
const ATTRIBUTES = {
  server: text, room: text, mode: text, observe: flag, history: text,
  mood: text, label: text, 'hide-below': number, 'cap-above': number,
};
/** The attributes whose change is a change of room. */
const PLACE = ['server', 'room', 'mode', 'observe', 'history'];
const HERE = new URL('.', import.meta.url);
// Node has no elements; rendering a page on a server must not fail.
const Element = globalThis.HTMLElement ?? class {};

const propertyOf = (attribute) => attribute.replace(/-(.)/, (_, letter) => letter.toUpperCase());

export class BreathingRoom extends Element {
  static observedAttributes = [...Object.keys(ATTRIBUTES), 'lang'];

  #room = null;       // the room of `join`; null while on no page
  #place = null;      // its attributes, in JSON
  #mood = null;       // the last one of the attribute
  #scheduled = false;

  constructor() {
    super();
    // A property that a page set before this script was loaded is one of the object itself, and would hide
    // ours.
    for (const name of Object.keys(ATTRIBUTES).map(propertyOf)) {
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
  }

  /** The room of `join`; null while the element is on no page. */
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

  /** Join the room of the attributes, with their mood, and show the sentence. */
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
    this.#room = null; // its last events are not shown
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
