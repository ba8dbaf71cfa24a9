/** A connection to a room over a WebSocket: joins, pings, and passes on what is pushed. */

import {ANSWER_MS} from './http.js';
import {Transport} from './transport.js';

/** Between two pings, where the config does not say. With ANSWER_MS a dead connection is known within 30 s. */
const PING_MS = 20_000;
/** Between the first requests for the time: they find the server's clock, and with it the breath. */
const TIME_MS = [200, 500, 1_000, 3_000];
/** Closed with this code the connection is lost and the visit goes on; without a code it would end too. */
const LOST = 4000;
const LEFT = 1000;

/** Its ending says whether the socket ever `opened`: where none does, something may refuse them all. */
export class SocketTransport extends Transport {
  name = 'socket';

  #socket;
  #opened = false;
  #heard = false;
  #timeMs = [...TIME_MS];
  #nextPing;
  #patience;
  #end;

  async run(signal) {
    const socket = (this.#socket = new WebSocket(`${this.address.replace(/^http/, 'ws')}/socket`));
    const ended = new Promise((resolve) => (this.#end = resolve));
    const leave = () => this.close({graceful: true});
    signal.addEventListener('abort', leave);
    this.#awaitAnswer();
    socket.onopen = () => this.#join();
    socket.onmessage = ({data}) => this.#hear(parse(data));
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
    this.#ping({type: 'time', sent_ms: Date.now()});
  }

  #ping(message) {
    this.send(message);
    this.emit('heartbeat');
    if (!this.#patience) this.#awaitAnswer();
    const soonMs = this.#timeMs.shift();
    const next = () => this.#ping(soonMs ? {type: 'time', sent_ms: Date.now()} : {type: 'ping'});
    this.#nextPing = setTimeout(next, soonMs ?? (this.config.ping_ms || PING_MS));
  }

  #awaitAnswer() {
    this.#patience = setTimeout(() => this.close(), ANSWER_MS);
  }

  #hear(message) {
    clearTimeout(this.#patience);
    this.#patience = null;
    if (message?.type === 'presence') {
      this.#heard = true;
      this.emit('counted');
      this.emit('presence', message);
    } else if (message?.type === 'time') {
      this.emit('time', {sentMs: message.sent_ms, nowMs: message.now_ms});
    } else if (message?.type === 'error') {
      this.#complain(message.error ?? {});
    }
  }

  #complain({code, message}) {
    // Before the first presence: the room changed its moods. Come again without one.
    const joinsAgain = !this.#heard && code === 'unknown_mood';
    if (!this.#heard && !joinsAgain) return this.#finish({stop: true, code, message}); // we cannot join
    this.emit('refused', {code, message, forget: joinsAgain});
    if (joinsAgain) this.close();
  }

  #finish(ending, code = LOST) {
    if (!this.#end) return; // it has not begun
    clearTimeout(this.#nextPing);
    clearTimeout(this.#patience);
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
    message: `the server closed the connection for good: ${code} ${reason}`.trim(),
    retryMs: retryMs >= 0 ? retryMs : undefined,
  };
}

function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
