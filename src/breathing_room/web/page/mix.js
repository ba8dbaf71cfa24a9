/** The mix of moods: what the ring, the sky and the buttons are drawn from. Pure. */

/**
 * The people of a presence by mood, the unspoken and those of merged moods last: `[{mood, people, low,
 * high}]`.
 *
 * A mood that too few people share is merged: its tally is null, and so are its `people` here. What is left
 * of the count are the people of all merged moods together.
 */
export function mixOf(presence, moods) {
  if (!presence) return [...moods, 'unspoken', 'merged'].map((mood) => ({mood, people: 0, low: 0, high: 0}));
  const {count, mood_intervals: intervals} = presence;
  const tallies = [...moods.map((mood) => [mood, presence.moods[mood] ?? null]), ['unspoken', presence.unspoken]];
  const parts = tallies.map(([mood, people]) => {
    const [low, high] = intervals?.[mood] ?? [people, people];
    return {mood, people, low, high: high ?? people};
  });
  const known = peopleOf(parts);
  const merged = parts.some(({people}) => people === null) ? Math.max(0, count - known) : 0;
  return [...parts, {mood: 'merged', people: merged, low: merged, high: merged}];
}

/** How many people a mix is of. */
export const peopleOf = (parts) => parts.reduce((sum, {people}) => sum + people, 0);
