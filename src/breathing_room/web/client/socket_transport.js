/** A connection to a room over a WebSocket: join, ping, and pass on what the server sends. */

import {ANSWER_MS, parse} from './http.js';
import {after} from './timers.js';
import {Transport} from './transport.js';

/** The heartbeat of a connection: exactly these 15 bytes, which the edge answers without waking the room. */
const PING = '{"type":"ping"}';
/**
 * Between two pings, where the config does not say. With ANSWER_MS a dead connection is known within 30 s.
 */
const PING_MS = 20_000;
/**
 * The bounds of what a config sets. More pings are a flood; with fewer the visitor id, which is stored
 * again with each, is discarded as unused (`VISIT_MS` of `tabs.js`).
 */
const PING_MS_MIN = 100;
const PING_MS_MAX = 600_000;
/**
 * When the server's time is asked for again, after the join: it finds the server's clock, and with it the
 * breath.
 */
const TIME_MS = [200, 500, 1_000, 3_000];
/** Closed with this code the connection is lost and the visit goes on; without a code it would end too. */
const LOST = 4000;
const LEFT = 1000;

/** Its ending says whether the socket ever `opened`: where none does, something may refuse them all. */
export class SocketTransport extends Transport {
  name = 'socket';

  #socket;
  #opened = false;
  #joined = false;        // whether a presence came
  #timeTimers = [];
  #pingTimer;
  #answerTimer = null;    // runs while something is unanswered
  #end;

  async run(signal) {
    const socket = (this.#socket = new WebSocket(`${this.address.replace(/^http/, 'ws')}/socket`));
    const ended = new Promise((resolve) => (this.#end = resolve));
    const leave = () => this.close({graceful: true});
    signal.addEventListener('abort', leave);
    this.#awaitAnswer();
    socket.onopen = () => this.#join();
    socket.onmessage = ({data}) => this.#receive(parse(data));
    socket.onclose = (event) => this.#finish(readClose(event));
    const ending = await ended;
    signal.removeEventListener('abort', leave);
    return {opened: this.#opened, ...ending};
  }

  send(message) {
    if (this.#opened) this.#socket.send(JSON.stringify(message));
  }

  close({graceful = false} = {}) {
    this.#finish({}, graceful ? LEFT : LOST);
  }

  #join() {
    this.#opened = true;
    this.send(this.observe ? {type: 'observe'} : {type: 'join', ...this.self()});
    this.#requestTimes();
    this.#schedulePing();
  }

  #schedulePing() {
    const pingMs = Math.min(Math.max(this.config.ping_ms || PING_MS, PING_MS_MIN), PING_MS_MAX) || PING_MS;
    const dueAtMs = Date.now() + pingMs;
    this.#pingTimer = after(pingMs, () => {
      // An interval late, the computer slept, and its clock may have drifted. In a hidden page timers are
      // always late.
      if (Date.now() - dueAtMs > pingMs && !globalThis.document?.hidden) this.#requestTimes();
      this.#socket.send(PING);
      this.#awaitAnswer();
      this.emit('heartbeat');
      this.#schedulePing();
    });
  }

  #requestTimes() {
    const request = () => {
      this.send({type: 'time', sent_ms: Date.now()});
      this.#awaitAnswer();
    };
    this.#timeTimers.forEach(clearTimeout);
    this.#timeTimers = TIME_MS.map((ms) => setTimeout(request, ms));
    request();
    this.emit('heartbeat');
  }

  #awaitAnswer() {
    this.#answerTimer ??= setTimeout(() => this.close(), ANSWER_MS);
  }

  #receive(message) {
    clearTimeout(this.#answerTimer);
    this.#answerTimer = null;
    if (message?.type === 'presence') {
      this.#joined = true;
      this.emit('counted');
      this.emit('presence', message);
    } else if (message?.type === 'time') {
      this.emit('time', {sentMs: message.sent_ms, nowMs: message.now_ms});
    } else if (message?.type === 'error') {
      this.#reject(message.error ?? {});
    }
  }

  #reject({code, message}) {
    // Before the first presence: the room changed its moods. Join again without one.
    const joinsAgain = !this.#joined && code === 'unknown_mood';
    if (!this.#joined && !joinsAgain) return this.#finish({stop: true, code, message}); // the join was rejected
    this.emit('refused', {code, message, forget: joinsAgain});
    if (joinsAgain) this.close();
  }

  #finish(ending, code = LOST) {
    if (!this.#end) return; // it has not begun
    [...this.#timeTimers, this.#pingTimer, this.#answerTimer].forEach(clearTimeout);
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(code);
    this.#end(ending);
  }
}

/** What a close code asks of a client. */
function readClose({code, reason}) {
  const forGood = [1000, 1002, 1003, 1007, 1008, 1009, 1010].includes(code) || (code >= 4500 && code < 5000);
  const retryMs = parse(reason)?.retry_ms;
  return {
    stop: forGood,
    code: `closed_${code}`,
    message: `closed by the server: ${code} ${reason}`.trim(),
    retryMs: retryMs >= 0 ? retryMs : undefined,
  };
}
