"""Legacy sampling: clients that report at random, counted without bias from their repeated reports; and the
biased figure of the planning document.

The planning document's clients report when they join and when their mood changes, and otherwise with a
probability of 3 % every 30 s. Its server kept each report for 120 s and divided their number by 0.03.

Intuition: a first report or a change of mood carries no information on the number of clients, a random report
does. All clients send random reports at the same known rate, 0.03 / 30 s, so the number of those in a window
is proportional to the number of clients.

Model: each client repeats an unchanged mood as a Poisson process of rate ``λ = 0.001 / s``. C repeats in a
window of W are ``Poisson(λ W N)``, so ``N = C / (λ W)``. The interval is the score interval of a Poisson
count. A repeat is distinguished from a first report by a keyed hash of the session id, remembered for
``MEMORY_MS``.

Error: 1 / sqrt(λ W N): 15 % for 250 clients and W = 180 s. Forgetting sessions after 120 s would bias by -80
%, since most repeats would look like first reports. The *naive* figure, kept as a baseline, is 3.8 times the
true number for random reports alone and 8 times with first reports; just after all clients joined it is 33
times.
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
"""Sessions remembered. At 100 bytes each that is 20 MB; beyond it the oldest are removed."""


def poisson_estimate(events: int, per_person: float) -> Estimate:
    """Estimate a number of people from events that each of them causes ``per_person`` times on average.

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
    """The sums from which legacy clients are estimated.

    Attributes:
        repeats: Random reports within the window, by mood.
        weights: The weights by which the clients are apportioned to the moods.
        observed_ms: How much of the window was observed; 0: no session is remembered.
        is_recent: Whether a report was received within the window.
        suspect: Whether the replica that holds them is suspect.
    """

    repeats: tuple[int, ...]
    weights: tuple[int, ...]
    observed_ms: int = 0
    is_recent: bool = False
    suspect: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether no session is remembered: then the estimate is exactly 0."""
        return not self.observed_ms


def legacy_estimate(
    parts: Sequence[LegacySums], moods_count: int
) -> tuple[Estimate, list[Estimate], Sequence[int]]:
    """Estimate the legacy clients of one replica or of several.

    Args:
        parts: The sums of each replica that remembers a session.
        moods_count: Declared moods, and one for the unspoken.

    Returns:
        People, people of each mood, all with 95 % intervals, and the weights by which they are apportioned to
        the moods.
    """
    if not parts:
        return EMPTY, [EMPTY] * moods_count, [0] * moods_count
    # Reports that were observed for the same time add up as those of one replica.
    groups: dict[int, list[int]] = {}
    for part in parts:
        group = groups.setdefault(part.observed_ms, [0] * moods_count)
        groups[part.observed_ms] = [sum(repeats) for repeats in zip(group, part.repeats, strict=True)]
    chances = [(CHANCE / HEARTBEAT_MS * observed_ms, repeats) for observed_ms, repeats in groups.items()]
    estimate = sum_estimates(*(poisson_estimate(sum(repeats), chance) for chance, repeats in chances))
    if any(part.is_recent for part in parts):  # The client of a recent report is certainly here.
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
    informative = [part.weights for part in parts if any(part.repeats)] or [part.weights for part in parts]
    return estimate, moods, [sum(weights) for weights in zip(*informative, strict=True)]


class LegacySamplingEstimator:
    """Counts legacy clients, by mood.

    Args:
        moods_count: Declared moods, and one for the unspoken.
    """

    def __init__(self, moods_count: int) -> None:
        self._sessions: OrderedDict[VisitorKey, tuple[int, int]] = OrderedDict()
        self._repeats: deque[tuple[int, int]] = deque()
        self._tally = [0] * moods_count
        self._empty = LegacySums(repeats=(0,) * moods_count, weights=(0,) * moods_count)
        self._since_ms: int | None = None
        # Until when at least one client is certainly here.
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
        """Add a report, forced or random; return whether it was random."""
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
        """Remove a session that is counted otherwise from now on; its random reports stay in the window."""
        self._sessions.pop(session, None)

    def expire(self, now_ms: int) -> None:
        """Remove reports and sessions that are too old."""
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
        """Return the state to restore from."""
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
        """Restore the state of a snapshot; the estimator is new.

        Sessions are remembered over a restart, or all of them would count as first reports again. While the
        server was down no report could be received, so the window skips that time; if it was longer than the
        window, observation starts again.

        Args:
            snapshot: What ``snapshot`` returned.
            mood_here: The mood of today for each mood of then.
            elapsed_ms: How long the server was down; 0 after hibernation.
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
        """Whether no session is remembered: then the estimate is exactly 0."""
        return not self._sessions

    @property
    def weights(self) -> list[int]:
        """The weights by which people are apportioned to the moods: random reports, or before the first the
        last mood named.
        """
        if self._repeats or not self._sessions:
            return self._tally
        _, named = next(reversed(self._sessions.values()))
        return [int(mood == named) for mood in range(len(self._tally))]

    def sums(self, now_ms: int) -> LegacySums:
        """Return the sums from which an estimate follows."""
        if self._since_ms is None or not self._sessions:
            return self._empty
        # Before a whole window is over it is shorter, but never less than one heartbeat. No client sends a
        # random report before its first heartbeat: of the time since the first session, half a heartbeat on
        # average does not count.
        observed_ms = min(WINDOW_MS, max(HEARTBEAT_MS, now_ms - self._since_ms - HEARTBEAT_MS // 2))
        last_report_ms, _ = next(reversed(self._sessions.values()))
        return LegacySums(
            repeats=tuple(self._tally),
            weights=tuple(self.weights),
            observed_ms=observed_ms,
            is_recent=last_report_ms > now_ms - WINDOW_MS,
        )

    def estimate(self, now_ms: int) -> tuple[Estimate, list[Estimate]]:
        """Estimate the legacy clients.

        Returns:
            People, and people of each mood, all with 95 % intervals.
        """
        sums = self.sums(now_ms)
        estimate, moods, _ = legacy_estimate([] if sums.is_idle else [sums], len(self._tally))
        return estimate, moods
