/**
 * The tabs of one browser in one room: they share a visitor and its mood, and one of them holds the connection for all.
 *
 * Who holds the Web Lock leads; the browser gives it to the next tab when the leading one closes, crashes or sleeps. Tabs
 * talk over a BroadcastChannel: each says hello and goodbye, so that whoever goes knows whether somebody is left, and the
 * leading one passes on what it hears. Where there are no locks (a page without TLS) every tab leads for itself, and the
 * server still sees one visitor. Where storage is blocked, each page is somebody of its own.
 */

/** A visitor id that no tab used for so long is thrown away: the next visit is somebody else. */
const VISIT_MS = 30 * 60_000;

export class Tabs {
  #key;                     // under which the visitor is kept; empty: nothing is shared
  #name = '';               // of the lock and the channel
  #visitor;
  #hear;
  #id = Math.random();
  #channel = null;
  #others = new Set();      // the other tabs that are awake
  #answered = new Set();    // those of them that were heard since the last refresh

  /** `visitor` is an id of the page's own, and `hear` is given what other tabs say. */
  constructor({key, visitor, hear}) {
    this.#key = key && storage() ? key : '';
    this.#visitor = visitor;
    this.#hear = hear;
  }

  /** Whether another tab is awake, as far as we know. */
  get hasOthers() {
    return this.#others.size > 0;
  }

  /** Take part in a room until `signal` is aborted, and `lead` when it is our turn. Then call `leave`. */
  async join(room, signal, lead) {
    this.#name = `${this.#key} ${room}`;
    if (this.#key && globalThis.BroadcastChannel) {
      this.#channel = new BroadcastChannel(this.#name);
      this.#channel.onmessage = ({data}) => this.#meet(data);
      this.say({type: 'hello'});
    }
    const gone = new Promise((resolve) => signal.addEventListener('abort', resolve));
    const locks = this.#key && globalThis.navigator?.locks;
    try {
      if (locks) return await locks.request(this.#name, {signal}, () => Promise.race([lead(), gone]));
    } catch {
      // We went before it was our turn; or this frame may not use locks.
    }
    if (!signal.aborted) lead();
  }

  /** Say something to the other tabs. */
  say(message) {
    this.#channel?.postMessage({...message, id: this.#id});
  }

  /** Ask who is still here: a tab that crashed said no goodbye. */
  refresh() {
    this.#others = this.#answered;
    this.#answered = new Set();
    this.say({type: 'hello'});
  }

  /** Take part no more; `led`: the connection was ours. */
  leave({led}) {
    this.say({type: 'bye', led});
    this.#channel?.close();
    this.#channel = null;
    for (const known of [this.#others, this.#answered]) known.clear();
  }

  #meet({id, ...message}) {
    for (const known of [this.#others, this.#answered]) known[message.type === 'bye' ? 'delete' : 'add'](id);
    if (message.type === 'hello') this.say({type: 'here'});
    this.#hear(message);
  }

  /**
   * What the tabs share: one visitor id, and its mood in each room.
   *
   * It lives in localStorage, the one place that every tab and every reload sees at once. A tab that had to ask the others
   * (sessionStorage with a BroadcastChannel) would wait for answers at every start, and get none from a tab that sleeps:
   * two people. It stays anonymous because it is random, another one for every server, and thrown away when no tab used it
   * for half an hour.
   */
  recall() {
    const record = this.#key && parse(storage()?.getItem(this.#key));
    if (/^[\w-]{16,64}$/.test(record?.visitor) && Math.abs(Date.now() - record.used_at_ms) < VISIT_MS) {
      return {...record, moods: {...record.moods}};
    }
    if (record || !this.#visitor) this.#visitor = newVisitor();
    return {visitor: this.#visitor, moods: {}};
  }

  /** Keep changes to it, and that it is in use. */
  remember(changes) {
    const record = {...this.recall(), ...changes, used_at_ms: Date.now()};
    this.#visitor = record.visitor;
    try {
      if (this.#key) storage().setItem(this.#key, JSON.stringify(record));
    } catch {
      // Full: this page remembers for itself.
    }
    return record;
  }
}

/** Where a page of this browser may keep something; null where it may not. */
function storage() {
  try {
    return globalThis.document ? localStorage : null;
  } catch {
    return null; // blocked
  }
}

function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

/** 128 random bits in base64url. */
function newVisitor() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}
