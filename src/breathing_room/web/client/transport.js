/**
 * A way to be in a room. `SocketTransport`, `PollTransport` and `OfflineTransport` are one each; a
 * `Connector` runs one at a time.
 *
 * Events:
 *
 * - `presence`: one came.
 * - `time`: `{sentMs, nowMs}`, the server's clock when it answered what was sent at `sentMs` by ours.
 * - `heartbeat`: the connection was used, and with it the visitor's id.
 * - `counted`: the server has us in its count.
 * - `left`: the server was sent a leave.
 * - `lost`: presences do not come any more, but may again.
 * - `refused`: `{code, message, forget}`; `forget`: the mood that we named is none of the room's.
 * - `config`: the room's, where it does not come from a server.
 */

import {Emitter} from './emitter.js';

export class Transport extends Emitter {
  /** `socket`, `polling` or `history`. */
  name;

  /**
   * @param {object} place
   * @param {string} place.address  The room's, without a slash at its end.
   * @param {string} place.room  Its name.
   * @param {object} place.config  What the server says of it.
   * @param {boolean} place.observe  Look without being counted.
   * @param {() => {visitor: string, mood?: string}} place.self  Who is here, and how they feel now.
   */
  constructor({address, room, config, observe, self}) {
    super();
    Object.assign(this, {address, room, config, observe, self});
  }

  /**
   * Be in the room until the connection ends, and return how: `{retryMs?, stop?, code?, message?}`. When the
   * signal is aborted the visit is over: close gracefully.
   */
  async run(signal) {}

  /** Send a change of mood: `{type: 'mood', mood}`. */
  send(message) {}

  /** End the connection; `graceful`: the visit ends with it, otherwise another connection may follow. */
  close({graceful = false} = {}) {}

  /** Do at once what is overdue: timers of a page that was hidden, or of a computer that slept, are late. */
  wake() {}
}
