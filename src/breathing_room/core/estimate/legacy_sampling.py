"""Clients that flip coins: counted without bias from the coins alone, and the biased figure that they were meant for.

The planning document's clients report when they come in and when their mood changes, and otherwise with a chance of
3 % every 30 s. Its server kept each report for 120 s and divided their number by 0.03.

Intuition: a forced report says nothing about how many are there, a coin does. Everybody's coins come up at the same known
rate, 0.03 / 30 s, so the number of coins that came up in a window is proportional to the number of people.

Model: each person repeats an unchanged mood as a Poisson process of rate ``λ = 0.001 / s``. C repeats in a window of W
are ``Poisson(λ W N)``, so ``N = C / (λ W)``. The interval is the score interval of a Poisson count. A repeat is told from
a first report by a keyed hash of the session id, remembered for ``MEMORY_MS``.

Error: 1 / sqrt(λ W N): 15 % for 250 people and W = 180 s. Forgetting sessions after 120 s would bias by -80 %, since most
repeats would look like first reports. The *naive* figure, kept as a baseline, is 3.8 times the truth for coins alone
and 8 times with forced first reports; just after everybody came in it is 33 times.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Final

from breathing_room.core.estimate import EMPTY, Estimate, Z, sum_estimates
from breathing_room.core.identity import KEY_BYTES, VisitorKey
from breathing_room.core.snapshot import LegacySnapshot

CHANCE: Final = 0.03
HEARTBEAT_MS: Final = 30_000
WINDOW_MS: Final = 180_000
MEMORY_MS: Final = 7_200_000

SESSIONS_MAX: Final = 200_000
"""Sessions remembered. At 100 bytes each that is 20 MB; beyond it the oldest are forgotten."""


def poisson_estimate(events: int, per_person: float) -> Estimate:
    """Estimate a crowd from events that each person causes ``per_person`` times on average.

    Returns:
        People, with the score interval of a Poisson count.
    """
    middle = events + Z * Z / 2
    half_width = Z * sqrt(events + Z * Z / 4)
    return Estimate(
        events / per_person, max(middle - half_width, 0.0) / per_person, (middle + half_width) / per_person
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacySums:
    """What an estimate needs to know of people who flip coins.

    Attributes:
        repeats: Coins that came up within the window, by mood.
        weights: The weights by which the people share the moods.
        observed_ms: How much of the window was watched; 0: nobody is remembered.
        heard: Whether somebody was heard from within the window.
        doubted: Whether all of it is in doubt.
    """

    repeats: tuple[int, ...]
    weights: tuple[int, ...]
    observed_ms: int = 0
    is_recent: bool = False
    suspect: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether no session is remembered: then the estimate is nobody, and certain."""
        return not self.observed_ms


def legacy_estimate(
    parts: Sequence[LegacySums], moods_count: int
) -> tuple[Estimate, list[Estimate], Sequence[int]]:
    """Estimate the people who flip coins, on one machine or on several.

    Args:
        parts: Of each machine that remembers anybody.
        moods_count: Declared moods, and one for the unspoken.

    Returns:
        People, people of each mood, all with 95 % intervals, and the weights by which they share the moods.
    """
    if not parts:
        return EMPTY, [EMPTY] * moods_count, [0] * moods_count
    # Coins that were watched for the same time are as those of one machine.
    groups: dict[int, list[int]] = {}
    for part in parts:
        group = groups.setdefault(part.observed_ms, [0] * moods_count)
        groups[part.observed_ms] = [sum(coins) for coins in zip(group, part.repeats, strict=True)]
    chances = [(CHANCE / HEARTBEAT_MS * observed_ms, repeats) for observed_ms, repeats in groups.items()]
    estimate = sum_estimates(*(poisson_estimate(sum(repeats), chance) for chance, repeats in chances))
    if any(part.is_recent for part in parts):  # Whoever was just heard from is surely one.
        estimate = Estimate(max(estimate.count, 1.0), max(estimate.low, 1.0), estimate.high)
    moods = [
        sum_estimates(*(poisson_estimate(repeats[mood], chance) for chance, repeats in chances))
        for mood in range(moods_count)
    ]
    if any(part.suspect for part in parts):
        sure, sure_moods, _ = legacy_estimate([part for part in parts if not part.suspect], moods_count)
        estimate = replace(estimate, low=min(estimate.low, sure.low))
        moods = [
            replace(mood, low=min(mood.low, surely.low))
            for mood, surely in zip(moods, sure_moods, strict=True)
        ]
    telling = [part.weights for part in parts if any(part.repeats)] or [part.weights for part in parts]
    return estimate, moods, [sum(weights) for weights in zip(*telling, strict=True)]


class LegacySamplingEstimator:
    """Counts people who flip coins, by mood.

    Args:
        moods_count: Declared moods, and one for the unspoken.
    """

    def __init__(self, moods_count: int) -> None:
        self._sessions: OrderedDict[VisitorKey, tuple[int, int]] = OrderedDict()
        self._repeats: deque[tuple[int, int]] = deque()
        self._tally = [0] * moods_count
        self._empty = LegacySums(repeats=(0,) * moods_count, weights=(0,) * moods_count)
        self._since_ms: int | None = None
        # Until when somebody is surely there, whatever the coins say.
        self._recent_until_ms: int | None = None

    @property
    def next_at_ms(self) -> int | None:
        """When to call ``expire``, None for never."""
        times = [self._repeats[0][0] + WINDOW_MS] if self._repeats else []
        if self._sessions:
            times.append(next(iter(self._sessions.values()))[0] + MEMORY_MS)
        if self._recent_until_ms is not None:
            times.append(self._recent_until_ms)
        return min(times, default=None)

    def report(self, session: VisitorKey, mood: int, now_ms: int) -> bool:
        """Take a report, forced or by coin; return whether it was a coin."""
        if not self._sessions:
            self._since_ms = now_ms
        known = self._sessions.pop(session, None)
        self._sessions[session] = (now_ms, mood)
        self._recent_until_ms = now_ms + WINDOW_MS
        if len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        if known is None or known[1] != mood:
            return False
        self._repeats.append((now_ms, mood))
        self._tally[mood] += 1
        return True

    def remove(self, session: VisitorKey) -> None:
        """Somebody is counted in another way from now on; coins that came up stay in their window."""
        self._sessions.pop(session, None)

    def expire(self, now_ms: int) -> None:
        """Forget what is too old."""
        while self._repeats and self._repeats[0][0] <= now_ms - WINDOW_MS:
            self._tally[self._repeats.popleft()[1]] -= 1
        while self._sessions:
            session, (at_ms, _) = next(iter(self._sessions.items()))
            if at_ms > now_ms - MEMORY_MS:
                break
            del self._sessions[session]
        if self._recent_until_ms is not None and self._recent_until_ms <= now_ms:
            self._recent_until_ms = None

    def snapshot(self, now_ms: int) -> LegacySnapshot:
        """Take everything down."""
        sessions = self._sessions.values()
        return LegacySnapshot(
            keys=b"".join(self._sessions),
            mood_of=bytes(mood for _, mood in sessions),
            ages_ms=tuple(now_ms - at_ms for at_ms, _ in sessions),
            repeat_mood_of=bytes(mood for _, mood in self._repeats),
            repeat_ages_ms=tuple(now_ms - at_ms for at_ms, _ in self._repeats),
            since_ms=self._since_ms,
        )

    def restore(
        self, snapshot: LegacySnapshot, mood_here: Sequence[int], *, elapsed_ms: int, now_ms: int
    ) -> None:
        """Go on from a snapshot; the crowd is new.

        Sessions are remembered over a restart, or all of them would come in anew. While nobody listened no coin can
        have been seen, so the window closes up over that time; if it was longer than the window, observation
        begins anew.

        Args:
            snapshot: What was taken down.
            mood_here: The mood of today for each mood of then.
            elapsed_ms: For how long nobody listened; 0 after a sleep.
            now_ms: The room's time.
        """
        for index, (mood, age_ms) in enumerate(zip(snapshot.mood_of, snapshot.ages_ms, strict=True)):
            key = VisitorKey(snapshot.keys[index * KEY_BYTES : (index + 1) * KEY_BYTES])
            at_ms = now_ms - elapsed_ms - age_ms
            self._sessions[key] = (at_ms, mood_here[mood])
            self._recent_until_ms = at_ms + WINDOW_MS
        self._since_ms = snapshot.since_ms
        if self._since_ms is not None:
            self._since_ms = self._since_ms + elapsed_ms if elapsed_ms < WINDOW_MS else now_ms
        if elapsed_ms < WINDOW_MS:
            for mood, age_ms in zip(snapshot.repeat_mood_of, snapshot.repeat_ages_ms, strict=True):
                self._repeats.append((now_ms - age_ms, mood_here[mood]))
                self._tally[mood_here[mood]] += 1
        self.expire(now_ms)

    @property
    def is_idle(self) -> bool:
        """Whether no session is remembered: then the estimate is nobody, and certain."""
        return not self._sessions

    @property
    def weights(self) -> list[int]:
        """The weights by which the people share the moods: coins that came up, or before the first the last mood named."""
        if self._repeats or not self._sessions:
            return self._tally
        _, named = next(reversed(self._sessions.values()))
        return [int(mood == named) for mood in range(len(self._tally))]

    def sums(self, now_ms: int) -> LegacySums:
        """Put down what an estimate needs to know."""
        if self._since_ms is None or not self._sessions:
            return self._empty
        # Before a whole window is over there were fewer chances; less than one beat of them says nothing. Nobody has a chance
        # before their first beat is over: of the time since somebody came, on average half a beat is lost.
        observed_ms = min(WINDOW_MS, max(HEARTBEAT_MS, now_ms - self._since_ms - HEARTBEAT_MS // 2))
        last_heard_ms, _ = next(reversed(self._sessions.values()))
        return LegacySums(
            repeats=tuple(self._tally),
            weights=tuple(self.weights),
            observed_ms=observed_ms,
            is_recent=last_heard_ms > now_ms - WINDOW_MS,
        )

    def estimate(self, now_ms: int) -> tuple[Estimate, list[Estimate]]:
        """Estimate the people who flip coins.

        Returns:
            People, and people of each mood, all with 95 % intervals.
        """
        sums = self.sums(now_ms)
        estimate, moods, _ = legacy_estimate([] if sums.is_idle else [sums], len(self._tally))
        return estimate, moods
