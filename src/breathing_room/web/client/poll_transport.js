/** To be in a room over HTTP: poll and report as `polling.js` says. `client.js` says what a line is. */

import {POLL, Poller} from './polling.js';

/** How long events may take to arrive: a proxy that holds them back looks like a slow network, for ever. */
const PATIENCE_MS = 10_000;

/**
 * Be here until the line is lost.
 *
 * A room that is polled is polled on through every failure, for a stay keeps its ticket. As a `fallback` for a socket it
 * hears through Server-Sent Events where those pass, and ends with the first failure: a socket may pass by then.
 */
export async function overHttp(line, {fallback}) {
  const {config} = line;
  const poller = new Poller({
    visitor: line.observe ? null : line.self().visitor,
    room: line.room,
    beatMs: config.beat_ms,
    mood: line.self().mood,
    nowMs: performance.now(),
  });
  const page = new URL(config.presence_url ?? line.address, line.address).href;
  const lost = new AbortController();
  const ending = {};
  let streaming = false;
  let wake;

  const end = (how) => {
    Object.assign(ending, how);
    lost.abort();
    wake?.();
  };
  const goodbye = () => {
    if (poller.leave()) line.sayGoodbye();
    end();
  };
  const hear = (presence, transport) => {
    poller.heard(presence, performance.now());
    line.hear(presence, transport);
    wake?.();
  };
  const poll = async () => {
    const presence = await read(line.ask(page));
    if (lost.signal.aborted) return;
    hear(presence, streaming ? 'events' : 'polling');
    line.stay();
  };
  const report = async ({visitor, mood, epoch}) => {
    const sentMs = Date.now();
    // As plain text: a browser would ask another origin's leave before every report that calls itself JSON.
    const body = JSON.stringify({visitor, mood, epoch});
    const presence = await read(line.ask(`${line.address}/beat`, {method: 'POST', body}));
    if (lost.signal.aborted) return;
    line.setClock(sentMs, presence.as_of_ms); // no cache keeps this answer
    poller.acknowledged(presence, performance.now());
    line.counted();
    line.hear(presence, streaming ? 'events' : 'polling');
    line.stay();
  };
  const carry = async (request) => {
    try {
      await (request === POLL ? poll() : report(request));
    } catch (error) {
      if (lost.signal.aborted) return;
      if (error.code === 'unknown_mood') {
        line.fail(error.code, error.message);
        line.forgetMood();
        poller.feel(undefined, performance.now());
      } else if (error.code !== 'bad_epoch' && (error.stop || fallback)) return end(error);
      if (error.code === 'bad_epoch') poller.outdated(performance.now());
      else poller.failed(request, performance.now(), error.retryMs);
      if (request === POLL) line.unheard();
    }
    wake?.();
  };

  line.signal.addEventListener('abort', goodbye, {signal: lost.signal});
  line.drop = end;
  line.tell = () => {
    poller.feel(line.self().mood, performance.now());
    wake?.();
  };
  line.wake = () => wake?.();
  if (fallback) {
    listen(line, lost.signal, (presence) => {
      streaming = true;
      hear(presence, 'events');
    }).then(
      (retryMs) => streaming && end({retryMs}),
      () => streaming && end(),
    );
  }
  while (!lost.signal.aborted) {
    for (const request of poller.due(performance.now())) carry(request);
    await new Promise((resolve) => {
      const restMs = poller.nextAtMs - performance.now();
      // A timer holds at most 2^31 - 1 ms, and takes more for 0. Waking early is harmless.
      const timer = setTimeout(resolve, Math.min(restMs, 2 ** 31 - 1));
      wake = () => (clearTimeout(timer), resolve());
    });
  }
  return ending;
}

/** Take a presence from an answer; throws where it is none, as of a proxy's page that says 200. */
async function read(answer) {
  const presence = await (await answer).json();
  const {next_ms, as_of_ms, epoch, rate} = presence;
  if (!(next_ms > 0) || ![as_of_ms, epoch, rate].every(Number.isFinite)) throw new TypeError('this is no presence');
  return presence;
}

/**
 * Hear presences as Server-Sent Events until the stream ends; tells when to come back, if the server said so.
 *
 * Read by hand, for EventSource hides the server's `retry` and comes back after a fixed time, all at once.
 */
async function listen(line, signal, onPresence) {
  const silence = new AbortController();
  signal.addEventListener('abort', () => silence.abort());
  const patience = setTimeout(() => silence.abort(), PATIENCE_MS);
  const response = await line.ask(`${line.address}/events`, {signal: silence.signal});
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  let retryMs;
  for (;;) {
    const {value, done} = await reader.read();
    if (done || signal.aborted) return retryMs;
    const events = (text + value).split('\n\n');
    text = events.pop();
    for (const event of events) {
      const fields = Object.fromEntries(event.split('\n').map((field) => field.split(/: ?(.*)/)));
      if (fields.retry) retryMs = Number(fields.retry);
      if (fields.event !== 'presence') continue;
      clearTimeout(patience);
      onPresence(JSON.parse(fields.data));
    }
  }
}
