/**
 * The tabs of one browser in one room: they share a visitor id and its mood, and one of them has the
 * connection for all.
 *
 * The tab that holds the Web Lock leads; the browser gives it to the next tab when the leading one closes,
 * crashes or sleeps. Tabs send messages over a BroadcastChannel: `probe` when one opens, answered by `alive`,
 * and `closed` when one closes, so that a tab that closes knows whether another is open; the leading one
 * broadcasts its `state`. Where there are no locks (a page without TLS) every tab leads for itself, and the
 * server still sees one visitor. Where storage is blocked, each page is a visitor of its own.
 */

import {parse} from './http.js';

/** A visitor id that no tab used for so long is discarded: the next visit is another visitor. */
const VISIT_MS = 30 * 60_000;

export class Tabs {
  #key;                     // under which the visitor is kept; empty: nothing is shared
  #name = '';               // of the lock and the channel
  #visitor;
  #onMessage;
  #id = Math.random();
  #channel = null;
  #others = new Set();      // the other tabs that are awake
  #answered = new Set();    // those of them that sent a message since the last refresh

  /** `visitor` is an id of the page's own, and `onMessage` is called with each message of another tab. */
  constructor({key, visitor, onMessage}) {
    this.#key = key && storage() ? key : '';
    this.#visitor = visitor;
    this.#onMessage = onMessage;
  }

  /** Whether another tab is awake, as far as is known. */
  get hasOthers() {
    return this.#others.size > 0;
  }

  /**
   * Join the tabs of a room until `signal` is aborted, and call `lead` when this tab gets the lock. Then call
   * `leave`.
   */
  async join(room, signal, lead) {
    this.#name = `${this.#key} ${room}`;
    if (this.#key && globalThis.BroadcastChannel) {
      this.#channel = new BroadcastChannel(this.#name);
      this.#channel.onmessage = ({data}) => this.#receive(data);
      this.broadcast({type: 'probe'});
    }
    const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
    const locks = this.#key && globalThis.navigator?.locks;
    try {
      if (locks) return await locks.request(this.#name, {signal}, () => Promise.race([lead(), aborted]));
    } catch {
      // Aborted before the lock was free; or this frame may not use locks.
    }
    if (!signal.aborted) lead();
  }

  /** Send a message to the other tabs. */
  broadcast(message) {
    this.#channel?.postMessage({...message, id: this.#id});
  }

  /** Ask which tabs are still open: one that crashed sent no `closed`. */
  refresh() {
    this.#others = this.#answered;
    this.#answered = new Set();
    this.broadcast({type: 'probe'});
  }

  /** Leave the tabs of the room; `led`: this tab had the connection. */
  leave({led}) {
    this.broadcast({type: 'closed', led});
    this.#channel?.close();
    this.#channel = null;
    for (const known of [this.#others, this.#answered]) known.clear();
  }

  #receive({id, ...message}) {
    for (const known of [this.#others, this.#answered]) known[message.type === 'closed' ? 'delete' : 'add'](id);
    if (message.type === 'probe') this.broadcast({type: 'alive'});
    this.#onMessage(message);
  }

  /**
   * Return what the tabs share: one visitor id, and its mood in each room.
   *
   * It is in localStorage, the one place that every tab and every reload sees at once. A tab that had to ask
   * the others (sessionStorage with a BroadcastChannel) would wait for answers at every start, and get none
   * from a tab that sleeps: two visitors. It stays anonymous because it is random, another one for every
   * server, and discarded when no tab used it for half an hour.
   */
  load() {
    const record = this.#key && parse(storage()?.getItem(this.#key));
    if (/^[\w-]{16,64}$/.test(record?.visitor) && Math.abs(Date.now() - record.used_at_ms) < VISIT_MS) {
      return {...record, moods: {...record.moods}};
    }
    if (record || !this.#visitor) this.#visitor = newVisitor();
    return {visitor: this.#visitor, moods: {}};
  }

  /** Store changes to it, and that it is in use. */
  store(changes) {
    const record = {...this.load(), ...changes, used_at_ms: Date.now()};
    this.#visitor = record.visitor;
    try {
      if (this.#key) storage().setItem(this.#key, JSON.stringify(record));
    } catch {
      // The storage is full: this page keeps its own.
    }
    return record;
  }
}

/** The page's localStorage; null where it is blocked. */
function storage() {
  try {
    return globalThis.document ? localStorage : null;
  } catch {
    return null;
  }
}

/** 128 random bits in base64url. */
function newVisitor() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}
