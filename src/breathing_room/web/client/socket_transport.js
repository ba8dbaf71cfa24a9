/** To be in a room over a WebSocket: join, beat, and hear what is pushed. `client.js` says what a line is. */

/** Between two beats. With ANSWER_MS it makes a dead connection known within 30 s, the usual `valid_ms`. */
const BEAT_MS = 20_000;
/** The first beats come quickly: they find the server's time, and with it the breath. */
const FIRST_BEATS_MS = [200, 500, 1_000, 3_000];
/** Closed with this code the connection is lost and the person is not; without a code it would be a goodbye. */
const LOST = 4000;
/** How long an answer may take before the connection is given up for dead. */
const ANSWER_MS = 10_000;

export function overSocket(line) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${line.address.replace(/^http/, 'ws')}/socket`);
    const firstBeatsMs = [...FIRST_BEATS_MS];
    let opened = false;
    let heard = false;
    let nextBeat;
    let patience;

    const say = (message) => socket.send(JSON.stringify(message));
    const finish = (ending, code = LOST) => {
      clearTimeout(nextBeat);
      clearTimeout(patience);
      line.signal.removeEventListener('abort', goodbye);
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(code);
      resolve({opened, ...ending});
    };
    const goodbye = () => finish({}, 1000);
    const complain = ({code, message}) => {
      if (!heard && code !== 'unknown_mood') return finish({stop: true, code, message}); // we cannot join
      line.fail(code, message);
      if (heard) return;
      line.forgetMood(); // the room changed its moods: come again without one
      finish();
    };
    const beat = () => {
      say({type: 'beat', sent_ms: Date.now()});
      line.stay();
      patience ??= setTimeout(finish, ANSWER_MS);
      // A room with a short lease is beaten faster, so that two beats may be lost.
      nextBeat = setTimeout(beat, firstBeatsMs.shift() ?? Math.min(BEAT_MS, line.config.lease_ms / 3 || BEAT_MS));
    };

    patience = setTimeout(finish, ANSWER_MS);
    line.signal.addEventListener('abort', goodbye);
    line.drop = finish;
    socket.onclose = (event) => finish(readClose(event));
    socket.onopen = () => {
      opened = true;
      say(line.observe ? {type: 'observe'} : {type: 'join', ...line.self()});
      line.tell = () => say({type: 'mood', mood: line.self().mood});
      beat();
    };
    socket.onmessage = ({data}) => {
      clearTimeout(patience);
      patience = null;
      const message = parse(data);
      if (message?.type === 'presence') {
        heard = true;
        line.counted();
        line.hear(message, 'socket');
      } else if (message?.type === 'beat') line.setClock(message.sent_ms, message.now_ms);
      else if (message?.type === 'error') complain(message.error ?? {});
    };
  });
}

/** What a close code tells us to do. */
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
