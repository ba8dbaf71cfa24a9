/**
 * Every sentence of the page, in English. Pure functions: another language is another file of this shape.
 *
 * Two rules: a number that is not known is never shown as 0, and being alone is said only when it is counted.
 */

export const title = (room) => (room === 'lobby' ? 'Breathing Room' : `Breathing Room · ${room}`);

export const number = (count) => count.toLocaleString('en');

/** The sentence under the orb. */
export function people(presence, state) {
  if (state === 'unknown') {
    return presence ? 'counting who is here' : 'looking for the others';
  }
  if (presence.count > 1) return `${presence.label} people breathing with you`;
  return state === 'live' && presence.high === 1 ? 'you are the first one here' : 'you are here';
}

/** How the number was obtained, and when: the quiet line. `ageMs` is 0 while the connection lives. */
export function source(presence, state, ageMs) {
  if (!presence) return 'not known yet · connecting';
  const {count, low, high, method} = presence;
  if (state === 'unknown') return `not known yet · ${ageMs ? 'connecting' : 'counting'}`;
  if (ageMs) return `${state === 'stale' ? 'last known' : method} · ${ago(ageMs)}`;
  if (state === 'stale') return `last known · ${low < high ? `${number(low)} to ${number(high)} · ` : ''}counting again`;
  // A count is uncertain only by those who fell silent and may come back: their leases still run.
  if (method === 'counted' && high > low) return `counted · ${number(high - low)} fell silent just now`;
  return low < high ? `${method} · ${number(low)} to ${number(high)} · now` : `${method} · now`;
}

/** Why the page stopped asking. */
export function stopped(code) {
  if (code === 'bad_room') return 'there can be no room of this name';
  return code === 'closed_4501' ? 'too many pages of this room are open here' : 'the server asked this page not to come back';
}

/** A length of time, as one would say it. */
function ago(ms) {
  const minutes = Math.round(ms / 60_000);
  if (ms < 20_000) return 'a moment ago';
  if (ms < 45_000) return 'half a minute ago';
  if (minutes < 2) return 'a minute ago';
  if (minutes < 60) return `${minutes} minutes ago`;
  return minutes < 90 ? 'an hour ago' : `${Math.round(minutes / 60)} hours ago`;
}

/** How many feel so, in the little room of a button: 7,204, but 12K. */
export function tally(count) {
  return count < 10_000 ? number(count) : count.toLocaleString('en', {notation: 'compact'});
}

/** What a mood's button is called to those who hear it. */
export const mood = (name, count) => (count ? `${name}, ${number(count)}` : name);

/** How many named no mood, and how many are in moods too small to be told apart. */
export const unspoken = (count, merged = 0) =>
  [count && `${number(count)} unspoken`, merged && `${number(merged)} not told apart`].filter(Boolean).join(' · ');
