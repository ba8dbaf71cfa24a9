/**
 * Connects to a room, again and again: choose a transport, run it until it ends, back off.
 *
 * The room's config names the transport. `socket`: a WebSocket; where sockets do not open although HTTP
 * works, polling, after which a socket is tried again. `poll`: polling. Only the page can ask for `offline`.
 *
 * Events: `config`, `error` (`{code, message}`), `stopped` (the server rejected the client for good),
 * `forget` (the room has no such mood), and the transport's `heartbeat`, `counted` and `left`.
 */

import {Emitter} from './emitter.js';
import {request} from './http.js';
import {PollTransport} from './poll_transport.js';
import {SocketTransport} from './socket_transport.js';
import {after} from './timers.js';

/** Stands for the name of the server's default room, until the config has it. */
const DEFAULT_ROOM = '_default';
/** Full jitter: wait a random time up to 1 s, 2 s, 4 s, … 30 s. */
const BACKOFF_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
/** After so many sockets in a row that did not open, although HTTP works, something refuses them. */
const REFUSALS_MAX = 2;

export class Connector extends Emitter {
  /** The room's config; null until it came. */
  config = null;
  /** The visitor id of the last connection; empty until the first. */
  visitor = '';
  /** The server's address, without a slash at its end. */
  base;

  #room;
  #mode;
  #observe;
  #offline;         // where the averages are, and where to report
  #mood;
  #freshness;
  #transport = null;
  #refusals = 0;
  #received = false;  // whether a presence came since the last attempt
  #endPause = null;

  /**
   * @param {object} options  `url`, `room`, `mode`, `history` and `report` are those of `join`.
   * @param {boolean} options.observe  Observe without being counted.
   * @param {() => string | null} options.mood  The mood now.
   * @param {Freshness} options.freshness  Is given the presences and the server's time.
   * @throws {TypeError}  One of the URLs is invalid.
   */
  constructor({url, room, mode, history, report, observe, mood, freshness}) {
    super();
    const page = globalThis.document?.baseURI;
    const {protocol, origin, pathname} = new URL(url, page);
    if (!protocol.startsWith('http')) throw new TypeError(protocol);
    this.base = origin + pathname.replace(/\/*$/, '');
    // Without a server there is no default room.
    this.#room = room || (mode === 'offline' ? 'lobby' : DEFAULT_ROOM);
    this.#mode = mode;
    this.#observe = observe;
    this.#mood = mood;
    this.#freshness = freshness;
    const averages = history ?? `${this.base}/rooms/${encodeURIComponent(this.#room)}/history.json`;
    this.#offline = {url: new URL(averages, page).href, report: report && new URL(report, page).href};
  }

  /** The room's name; DEFAULT_ROOM until it is known. */
  get room() {
    return this.#room;
  }

  get isNamed() {
    return this.#room !== DEFAULT_ROOM;
  }

  /** The room's address. */
  get address() {
    return `${this.base}/v1/rooms/${encodeURIComponent(this.#room)}`;
  }

  /** Fetch the room's name, where it is the server's default room. */
  async fetchName(signal) {
    if (!this.isNamed) await this.#retry(signal, () => this.#fetchConfig());
  }

  /**
   * Stay in the room until the signal is aborted or the server rejects the client; `identify` returns the
   * visitor id.
   */
  run(signal, identify) {
    return this.#retry(signal, () => this.#connectOnce(signal, identify()));
  }

  /** Send a change of mood, if there is a connection. */
  send(message) {
    this.#transport?.send(message);
  }

  /** Do at once what is overdue. */
  wake() {
    this.#transport?.wake();
  }

  /** Close the connection; the visit goes on. */
  drop() {
    this.#transport?.close();
  }

  /** The network is gone. A transport that needs none goes on. */
  goOffline() {
    if (this.#mode !== 'offline') this.drop();
  }

  /** There is a network, perhaps another one, which may let sockets through. */
  goOnline() {
    this.#refusals = 0;
    this.#endPause?.();
  }

  /** There is no connection any more. */
  disconnected() {
    this.#transport = null;
    this.#freshness.disconnect();
  }

  /** Take the state of the leading tab: its config, and whether sockets open. */
  follow({config, transport}) {
    if (config) this.#adopt(config);
    if (transport) this.#refusals = transport === 'polling' ? REFUSALS_MAX : 0;
  }

  /** Call `act` again and again, with a backoff, until it returns nothing, or an ending that says to stop. */
  async #retry(signal, act) {
    let attempt = 0;
    while (!signal.aborted) {
      this.#received = false;
      const ending = await act().catch((error) => error);
      if (!ending || signal.aborted) return; // and another loop may already run
      this.disconnected();
      if (ending.stop) {
        this.emit('stopped');
        return this.emit('error', {code: ending.code, message: ending.message});
      }
      if (this.#received) attempt = 0;
      const backoffMs = Math.random() * Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** attempt++);
      await this.#pause(ending.retryMs ?? backoffMs, signal);
    }
  }

  /** Run one connection; return how it ended. */
  async #connectOnce(signal, visitor) {
    this.visitor = visitor;
    if (this.#mode === 'offline') {
      const {OfflineTransport} = await import('./offline.js'); // few need it
      return this.#runTransport(new OfflineTransport({...this.#place, ...this.#offline}), signal);
    }
    await this.#fetchConfig();
    const mode = this.#mode ?? this.config.mode;
    if (mode === 'poll') return this.#runTransport(new PollTransport(this.#place), signal);
    if (this.#refusals < REFUSALS_MAX && globalThis.WebSocket) {
      const ending = await this.#runTransport(new SocketTransport(this.#place), signal).catch(() => ({}));
      if (signal.aborted) return ending;
      if (!ending.opened) await this.#fetchConfig({fresh: true}); // throws where HTTP fails as well
      this.#refusals = ending.opened ? 0 : this.#refusals + 1;
      return ending;
    }
    try {
      return await this.#runTransport(new PollTransport({...this.#place, fallback: true}), signal);
    } finally {
      this.#refusals = REFUSALS_MAX - 1; // the next time, one socket is tried again
    }
  }

  /** Run a transport until it ends. */
  async #runTransport(transport, signal) {
    if (signal.aborted) return {};
    this.#transport = transport;
    transport.on({
      presence: (presence) => {
        this.#received = true;
        this.#freshness.receive(presence, transport.name);
      },
      time: (times) => this.#freshness.setClock(times),
      lost: () => this.#freshness.disconnect(),
      config: (config) => this.#adopt(config),
      refused: ({code, message, forget}) => {
        this.emit('error', {code, message});
        if (forget) this.emit('forget');
      },
    });
    for (const type of ['heartbeat', 'counted', 'left']) transport.on({[type]: () => this.emit(type)});
    return transport.run(signal);
  }

  get #place() {
    const {address, config} = this;
    const self = () => ({visitor: this.visitor, mood: this.#mood() ?? undefined});
    return {address, room: this.#room, config, observe: this.#observe, self};
  }

  /**
   * Fetch the config unless it is known; `fresh`: always, and from the server, which also shows that HTTP
   * works.
   */
  async #fetchConfig({fresh = false} = {}) {
    if (this.config && !fresh) return;
    const response = await request(`${this.address}/config`, {cache: fresh ? 'no-store' : 'default'});
    const config = await response.json();
    // A proxy's page may have status 200, too. Without the room's name there would be no URL.
    if (typeof config?.room !== 'string') throw new TypeError('this is no config');
    this.#adopt(config);
  }

  #adopt(config) {
    const before = this.config;
    if (!this.isNamed) this.#room = config.room;
    this.config = config;
    const text = (config) => JSON.stringify({...config, now_ms: 0});
    if (text(before) !== text(config)) this.emit('config', config);
  }

  #pause(ms, signal) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = after(ms, done);
      signal.addEventListener('abort', done);
      this.#endPause = done;
    });
  }
}
