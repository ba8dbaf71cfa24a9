/** Requests to a server: what an answer means to a client, and messages that need none. */

/** How long an answer may take, to a request or over a socket. */
export const ANSWER_MS = 10_000;

/**
 * Fetch something.
 *
 * @throws {{retryMs?: number, stop: boolean, code?: string, message?: string}}  Every answer but a good one,
 *   as the ending of a connection: when to come back, or that this is for good.
 */
export async function ask(url, init) {
  const response = await fetch(url, {signal: AbortSignal.timeout(ANSWER_MS), ...init});
  if (response.ok) return response;
  const {error} = (await response.json().catch(() => null)) ?? {};
  const retryAfterS = Number(response.headers.get('retry-after'));
  throw {
    ...error,
    // The same whole second for all clients is no spread: add up to one more.
    retryMs: retryAfterS > 0 ? (retryAfterS + Math.random()) * 1_000 : undefined,
    // Our own server's word that the request is wrong will not change; a proxy's may.
    stop: Boolean(error) && response.status < 500 && response.status !== 429,
  };
}

/** Post a message whose answer does not matter; it is sent even while the page goes away. */
export function beacon(url, message) {
  const body = JSON.stringify(message);
  if (globalThis.navigator?.sendBeacon) navigator.sendBeacon(url, body);
  else fetch(url, {method: 'POST', body}).catch(() => {}); // in Node
}
