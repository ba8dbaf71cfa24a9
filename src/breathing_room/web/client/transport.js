/**
 * The base of `SocketTransport`, `PollTransport` and `OfflineTransport`, of which a `Connector` runs one at a
 * time.
 *
 * Events:
 *
 * - `presence`: one came.
 * - `time`: `{sentMs, nowMs}`, the server's clock when it answered a request that was sent at `sentMs` by
 * ours.
 * - `heartbeat`: a heartbeat was sent, so the visitor id is in use.
 * - `counted`: the server counts this visitor.
 * - `left`: a leave was sent to the server.
 * - `lost`: presences do not come any more, but may again.
 * - `refused`: `{code, message, forget}`; `forget`: the room does not have the mood that was sent.
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
   * @param {object} place.config  Its config.
   * @param {boolean} place.observe  Observe without being counted.
   * @param {() => {visitor: string, mood?: string}} place.self  The visitor id and the mood now.
   */
  constructor({address, room, config, observe, self}) {
    super();
    Object.assign(this, {address, room, config, observe, self});
  }

  /**
   * Stay in the room until the connection ends, and return how it ended: `{retryMs?, stop?, code?,
   * message?}`. When the signal is aborted the visit is over: close gracefully.
   */
  async run(signal) {}

  /** Send a change of mood: `{type: 'mood', mood}`. */
  send(message) {}

  /** End the connection; `graceful`: the visit ends with it, otherwise another connection may follow. */
  close({graceful = false} = {}) {}

  /** Do at once what is overdue: timers of hidden pages and of sleeping computers are late. */
  wake() {}
}
