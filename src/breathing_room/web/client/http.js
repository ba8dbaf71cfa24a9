/** Requests to a server, and what a response means to a client. */

/** How long the server may take to answer, over HTTP or a socket. */
export const ANSWER_MS = 10_000;

/**
 * Fetch a URL.
 *
 * @throws {{retryMs?: number, stop: boolean, code?: string, message?: string}}  Any error, as the ending of a
 *   connection: when to try again, or that the client has to stop.
 */
export async function request(url, init) {
  const response = await fetch(url, {signal: AbortSignal.timeout(ANSWER_MS), ...init});
  if (response.ok) return response;
  const {error} = (await response.json().catch(() => null)) ?? {};
  const retryAfterS = Number(response.headers.get('retry-after'));
  throw {
    ...error,
    // The same whole second for all clients is no spread: add up to one more.
    retryMs: retryAfterS > 0 ? (retryAfterS + Math.random()) * 1_000 : undefined,
    // An error of our own server is final where it blames the request; one of a proxy may pass.
    stop: Boolean(error) && response.status < 500 && response.status !== 429,
  };
}

/** Post a message whose response does not matter; it is sent even while the page is unloaded. */
export function beacon(url, message) {
  const body = JSON.stringify(message);
  if (globalThis.navigator?.sendBeacon) navigator.sendBeacon(url, body);
  else fetch(url, {method: 'POST', body}).catch(() => {}); // in Node
}

/** Parse JSON; null where it is none. */
export function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
