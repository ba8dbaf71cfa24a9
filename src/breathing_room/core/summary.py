"""Summaries: a room in sums, and the counts that follow from them and from those of its peers.

A summary holds no keys and does not grow with the crowd. What is published of a room follows from its own
summary and from those of its peers: ``counts`` takes both, and on one machine there are no peers. Its
arithmetic is in ``combine``.

Adding up. Members and seats of the panel are counts, and add. Every visitor is on one replica, and is asked
or not by a ticket that does not depend on the replica, so seats of several replicas under one theta are a
sample of all their visitors, as if one replica had them. Under different thetas, for as long as a new rate
propagates, each group is an estimate of its own, and those add as independent estimates do. The same holds
for legacy clients and the time for which they were observed.

Suspicion. A suspect replica is like one that restarts: its members are suspect, and its seats are left from
before (``as_suspect``). So ``low`` is without them, ``high`` is with them, and the method is ``stale``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from breathing_room.core.config import RoomConfig
from breathing_room.core.estimate import Estimate, sum_estimates
from breathing_room.core.estimate.legacy_sampling import LegacySums, legacy_estimate
from breathing_room.core.estimate.panel import PanelSums, apportion, crowd_estimate
from breathing_room.core.presence import Counts, Interval, merge_cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A room in sums. What is by mood has a place for every declared mood, and the last for the unspoken.

    Attributes:
        members: Members by mood, suspects included.
        suspect: The suspects among them.
        restored: How many of the suspects are left from before a restart.
        panel: The seats.
        legacy: The legacy clients.
        unknown: Whether the room may have lost its memory of visitors.
        arrivals_per_s: Recent joins in a second.
    """

    members: tuple[int, ...]
    suspect: tuple[int, ...]
    restored: int = 0
    panel: PanelSums
    legacy: LegacySums
    unknown: bool = False
    arrivals_per_s: float = 0.0

    @property
    def leases(self) -> int:
        """Leases held."""
        return sum(self.members) + self.panel.seats


@dataclass(frozen=True, slots=True)
class PeerState:
    """What is known of the parts of a room that peers hold, until the next update.

    Attributes:
        summaries: Their sums; sums that can be added are added.
        unread: How many claims were not read by the peer that has read the fewest, of those that are not
            suspect and hold leases; None without such a peer.
        suspect: Their suspects by mood, those of suspect peers included.
        suspect_unread: How many claims were not read by the peer that has read the fewest, of those with
            suspects.
        unseen_joins: An upper bound of the joins at suspect peers since their last summaries.
        stale: Whether all of this is old, because this replica is cut off.
        rate: The sampling rate that is published where a peer sets it for all; None where the room's own
            panel does.
        until_ms: Until when this holds if nothing more is received: then another peer is suspect. States that
            differ in this alone are equal.
    """

    summaries: tuple[Summary, ...] = ()
    unread: int | None = None
    suspect: tuple[int, ...] = ()
    suspect_unread: int = 0
    unseen_joins: int = 0
    stale: bool = False
    rate: float | None = None
    until_ms: float = field(default=inf, compare=False)


NO_PEERS: Final = PeerState()


def as_suspect(summary: Summary) -> Summary:
    """Return the summary of a suspect replica: its members are suspect, its seats left from before."""
    panel = summary.panel
    return replace(
        summary,
        suspect=summary.members,
        restored=sum(summary.members),
        panel=replace(panel, restored_tally=panel.tally, restored=panel.seats, fresh=False),
        legacy=replace(summary.legacy, suspect=True),
    )


def without_members(summary: Summary) -> Summary:
    """Return the summary of a replica that is gone: without members.

    The visitors of its seats report elsewhere.
    """
    none = (0,) * len(summary.members)
    return replace(summary, members=none, suspect=none, restored=0, unknown=False, arrivals_per_s=0.0)


def add_up(summaries: Iterable[Summary]) -> tuple[Summary, ...]:
    """Add summaries where nothing is lost by it, so that each presence of a room is computed from two
    summaries and not from a thousand.

    Those with legacy clients stay as they are, and come first; of the others, one is left for each theta of
    the panel.
    """
    apart: list[Summary] = []
    sums: dict[float, Summary] = {}
    for summary in summaries:
        if not summary.legacy.is_idle:
            apart.append(summary)
            continue
        theta = summary.panel.theta
        other = sums.get(theta)
        sums[theta] = summary if other is None else _plus(other, summary)
    return (*apart, *sums.values())


def _plus(one: Summary, other: Summary) -> Summary:
    return replace(add_members(one, other), panel=one.panel.plus(other.panel))


def add_members(one: Summary, other: Summary) -> Summary:
    """Add the members of a summary to another, which keeps its panel and its legacy clients."""
    return replace(
        one,
        members=_sum_up((one.members, other.members)),
        suspect=_sum_up((one.suspect, other.suspect)),
        restored=one.restored + other.restored,
        unknown=one.unknown or other.unknown,
        arrivals_per_s=one.arrivals_per_s + other.arrivals_per_s,
    )


def counts(own: Summary, peers: PeerState, config: RoomConfig, *, claims: int = 0) -> Counts:
    """Return the counts of a whole room, from its own sums and those of its peers.

    Args:
        own: The sums of this replica.
        peers: What is known of the other replicas; ``NO_PEERS`` on one machine.
        config: How the room works.
        claims: How many visitors were claimed here whose claims were not read in the log yet: peers may count
            them still.
    """
    if peers.rate is not None:
        own = replace(own, panel=replace(own.panel, rate=peers.rate))
    return combine(
        [own, *peers.summaries],
        config,
        moving=0 if peers.unread is None else peers.unread + claims,
        returned=min(peers.suspect_unread + claims, sum(peers.suspect)),
        suspect=peers.suspect,
        unseen_joins=peers.unseen_joins,
        stale=peers.stale,
    )


def combine(
    summaries: Sequence[Summary],
    config: RoomConfig,
    *,
    moving: int = 0,
    returned: int = 0,
    suspect: Sequence[int] = (),
    unseen_joins: int = 0,
    stale: bool = False,
) -> Counts:
    """Return the counts that follow from the summaries of one room; ``counts`` calls it.

    Args:
        summaries: One a replica, our own first.
        config: How the room works.
        moving: How many visitors at most may be in our sums and still in those of peers, or in those of two
            peers.
        returned: How many probably are: they joined while peers had suspects.
        suspect: Those suspects of peers, by mood; at least as many.
        unseen_joins: An upper bound of the joins at peers since their last summaries.
        stale: Whether the summaries of the peers are old.
    """
    own = summaries[0]
    people, suspects_of = own.members, own.suspect
    if len(summaries) > 1:
        people = _sum_up(summary.members for summary in summaries)
        suspects_of = _sum_up(summary.suspect for summary in summaries)
    cells: list[Interval] = [
        (here, here - suspects, here) for here, suspects in zip(people, suspects_of, strict=True)
    ]
    total = sum(people)
    whole: Interval = (total - returned, total - sum(suspects_of), total)
    if returned:
        cells = [
            (here - twice, low, high)
            for (here, low, high), twice in zip(cells, apportion(returned, suspect), strict=True)
        ]
    panels = _by_theta([summary.panel for summary in summaries])
    legacy = [summary.legacy for summary in summaries if summary.legacy.observed_ms]
    # A join over a connection pays for no estimate where there is nothing to estimate.
    if legacy or not all(panel.is_idle for panel in panels):
        whole, cells = _with_estimates(whole, cells, panels, legacy, config)
    if moving or unseen_joins:
        # Our own members who are not suspect are certain.
        certain = [here - suspects for here, suspects in zip(own.members, own.suspect, strict=True)]
        whole = _widen(whole, moving, unseen_joins, least=sum(certain))
        cells = [
            _widen(cell, moving, unseen_joins, least=least)
            for cell, least in zip(cells, certain, strict=True)
        ]
    count, low, high = whole
    published = merge_cells(cells, config.min_cell_size)
    rate = own.panel.rate
    if any(summary.unknown for summary in summaries):
        return Counts(None, low, None, "unknown", published, rate)
    if stale or any(summary.restored or summary.panel.restored for summary in summaries):
        return Counts(count, low, high, "stale", published, rate)
    counted = not legacy and all(panel.theta == 1.0 for panel in panels)
    return Counts(count, low, high, "counted" if counted else "sampled", published, rate)


def _sum_up(tallies: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*tallies, strict=True)))


def _by_theta(panels: list[PanelSums]) -> list[PanelSums]:
    """Add up the panels that have the same theta."""
    if len(panels) == 1:
        return panels
    groups: dict[float, PanelSums] = {}
    for panel in panels:
        group = groups.get(panel.theta)
        groups[panel.theta] = panel if group is None else group.plus(panel)
    return list(groups.values())


def _with_estimates(
    whole: Interval,
    cells: Sequence[Interval],
    panels: Sequence[PanelSums],
    legacy: Sequence[LegacySums],
    config: RoomConfig,
) -> tuple[Interval, list[Interval]]:
    """Add the estimates of panels and legacy clients to the counts of members."""
    polling = [crowd_estimate(panel, ghost_ms=config.ghost_ms) for panel in panels]
    crowds, moods_of = [crowd for crowd, _ in polling], [moods for _, moods in polling]
    polled_count = round(sum(crowd.count for crowd in crowds))
    parts = apportion(polled_count, _weights([(panel.tally, 1 / panel.theta) for panel in panels]))
    if legacy:
        estimate, by_mood, weights = legacy_estimate(legacy, len(cells))
        crowds.append(estimate)
        moods_of.append(by_mood)
        legacy_count = round(estimate.count)
        polled_count += legacy_count
        parts = list(map(sum, zip(parts, apportion(legacy_count, weights), strict=True)))
    return _with(whole, polled_count, sum_estimates(*crowds)), [
        _with(cell, part, sum_estimates(*estimates))
        for cell, part, *estimates in zip(cells, parts, *moods_of, strict=True)
    ]


def _weights(tallies: Sequence[tuple[Sequence[int], float]]) -> Sequence[float]:
    """Return the weights of the moods: the people for whom their seats stand."""
    if len(tallies) == 1:
        return tallies[0][0]
    return [
        sum(seats * worth for seats, (_, worth) in zip(mood, tallies, strict=True))
        for mood in zip(*(tally for tally, _ in tallies), strict=True)
    ]


def _with(cell: Interval, people: int, estimate: Estimate) -> Interval:
    """Add an estimate of people to an interval."""
    count, low, high = cell
    people, least, most = estimate.rounded(people)
    return count + people, low + least, high + most


def _widen(cell: Interval, moving: int, unseen_joins: int, *, least: int) -> Interval:
    count, low, high = cell
    return count, min(low, max(low - moving, least)), high + unseen_joins
