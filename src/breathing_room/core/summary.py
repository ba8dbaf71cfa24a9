"""Summaries: a room in sums, and the counts that follow from them and from those of its peers.

A summary holds no keys and does not grow with the crowd. What is published of a room follows from its own summary and from
those of its peers: ``counts`` takes both, and on one machine there are no peers. Its arithmetic is in ``combine``.

Adding up. People on sockets and seats of the panel are counts, and add. Every visitor is on one machine, and asked or not by a
ticket that no machine has a part in, so seats of several machines under one theta are a sample of all their people, as if one machine
had them. Under different thetas, for as long as a new rate spreads, each group is an estimate of its own, and those add as
independent estimates do. The same holds for coins and the time for which they were watched.

Doubt. A machine that is suspect is like one that restarts: its people are silent and its seats are left from
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
        people: People on sockets by mood, silent ones included.
        suspect: The silent among them.
        restored: How many of the silent are left from before a restart.
        panel: The seats.
        legacy: The clients that flip coins.
        unknown: Whether there may be people of whom nothing is known.
        arrivals_per_s: People who come in over sockets in a second, lately.
    """

    people: tuple[int, ...]
    suspect: tuple[int, ...]
    restored: int = 0
    panel: PanelSums
    legacy: LegacySums
    unknown: bool = False
    arrivals_per_s: float = 0.0

    @property
    def leases(self) -> int:
        """Leases held."""
        return sum(self.people) + self.panel.seats


@dataclass(frozen=True, slots=True)
class PeerState:
    """What is known of the parts of a room that peers hold, until the next look.

    Attributes:
        summaries: Their sums, with those added up that may be.
        unread: How many claims were not read by the peer that has read the fewest, of those that are in no doubt and hold leases;
            None without such a peer.
        suspect: Their silent people by mood, those of peers in doubt included.
        suspect_unread: How many claims were not read by the peer that has read the fewest, of those with silent people.
        unseen_joins: How many at most may have come to the peers that are in doubt.
        stale: Whether all of this is from before, because this machine is cut off.
        rate: The sampling rate that is published where a peer sets it for all; None where the room's own panel does.
        until_ms: Until when this holds if nothing more is received: then another peer is in doubt. States that differ in this alone
            are equal.
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
    """Return the summary of a machine that is suspect: its people are silent, its seats left from before."""
    panel = summary.panel
    return replace(
        summary,
        suspect=summary.people,
        restored=sum(summary.people),
        panel=replace(panel, restored_tally=panel.tally, restored=panel.seats, fresh=False),
        legacy=replace(summary.legacy, suspect=True),
    )


def without_people(summary: Summary) -> Summary:
    """Return what is left of a machine that is gone: no people on sockets. Seats report elsewhere."""
    nobody = (0,) * len(summary.people)
    return replace(summary, people=nobody, suspect=nobody, restored=0, unknown=False, arrivals_per_s=0.0)


def add_up(summaries: Iterable[Summary]) -> tuple[Summary, ...]:
    """Add summaries where nothing is lost by it, so that each presence of a room is of two summaries and not of a thousand.

    Those with coins stay as they are, and come first; of the others, one is left for each theta of the panel.
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
    return replace(add_people(one, other), panel=one.panel.plus(other.panel))


def add_people(one: Summary, other: Summary) -> Summary:
    """Add the people on sockets of a summary to another, which keeps its panel and its legacy clients."""
    return replace(
        one,
        people=_sum_up((one.people, other.people)),
        suspect=_sum_up((one.suspect, other.suspect)),
        restored=one.restored + other.restored,
        unknown=one.unknown or other.unknown,
        arrivals_per_s=one.arrivals_per_s + other.arrivals_per_s,
    )


def counts(own: Summary, peers: PeerState, config: RoomConfig, *, claims: int = 0) -> Counts:
    """Return what is known of a whole room, from its own sums and what its peers said of theirs.

    Args:
        own: The sums of this replica.
        peers: What is known of the other replicas; ``NO_PEERS`` on one machine.
        config: How the room works.
        claims: How many visitors were claimed here whose claims were not read in the log yet: peers may count them still.
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
    """Return what follows from the summaries of one room; ``counts`` calls it.

    Args:
        summaries: One a machine, our own first.
        config: How the room works.
        moving: How many people at most may be among ours and still among those of others, or among two others.
        returned: How many probably are: they came in while others had silent people.
        suspect: Those silent people of others, by mood; at least as many.
        unseen_joins: How many at most may have come to others since we last heard of them.
        stale: Whether the others are known from before only.
    """
    own = summaries[0]
    people, doubts = own.people, own.suspect
    if len(summaries) > 1:
        people = _sum_up(summary.people for summary in summaries)
        doubts = _sum_up(summary.suspect for summary in summaries)
    cells: list[Interval] = [(here, here - doubt, here) for here, doubt in zip(people, doubts, strict=True)]
    everybody = sum(people)
    whole: Interval = (everybody - returned, everybody - sum(doubts), everybody)
    if returned:
        cells = [
            (here - twice, low, high)
            for (here, low, high), twice in zip(cells, apportion(returned, suspect), strict=True)
        ]
    panels = _by_theta([summary.panel for summary in summaries])
    legacy = [summary.legacy for summary in summaries if summary.legacy.observed_ms]
    # A join over a socket pays for no estimate where there is nothing to estimate.
    if legacy or not all(panel.is_idle for panel in panels):
        whole, cells = _with_estimates(whole, cells, panels, legacy, config)
    if moving or unseen_joins:
        # Ours are in no doubt.
        heard = [here - doubt for here, doubt in zip(own.people, own.suspect, strict=True)]
        whole = _widen(whole, moving, unseen_joins, least=sum(heard))
        cells = [
            _widen(cell, moving, unseen_joins, least=least) for cell, least in zip(cells, heard, strict=True)
        ]
    count, low, high = whole
    told = merge_cells(cells, config.min_cell_size)
    rate = own.panel.rate
    if any(summary.unknown for summary in summaries):
        return Counts(None, low, None, "unknown", told, rate)
    if stale or any(summary.restored or summary.panel.restored for summary in summaries):
        return Counts(count, low, high, "stale", told, rate)
    counted = not legacy and all(panel.theta == 1.0 for panel in panels)
    return Counts(count, low, high, "counted" if counted else "sampled", told, rate)


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
    """Add those who are estimated to those who are counted."""
    polling = [crowd_estimate(panel, ghost_ms=config.ghost_ms) for panel in panels]
    crowds, moods_of = [crowd for crowd, _ in polling], [moods for _, moods in polling]
    polled_count = round(sum(crowd.count for crowd in crowds))
    parts = apportion(polled_count, _weights([(panel.tally, 1 / panel.theta) for panel in panels]))
    if legacy:
        tossing, tossing_moods, tossed = legacy_estimate(legacy, len(cells))
        crowds.append(tossing)
        moods_of.append(tossing_moods)
        tossing_count = round(tossing.count)
        polled_count += tossing_count
        parts = list(map(sum, zip(parts, apportion(tossing_count, tossed), strict=True)))
    return _with(whole, polled_count, sum_estimates(*crowds)), [
        _with(cell, part, sum_estimates(*estimates))
        for cell, part, *estimates in zip(cells, parts, *moods_of, strict=True)
    ]


def _weights(tallies: Sequence[tuple[Sequence[int], float]]) -> Sequence[float]:
    """Weigh moods by the people whom their seats stand for."""
    if len(tallies) == 1:
        return tallies[0][0]
    return [
        sum(seats * worth for seats, (_, worth) in zip(mood, tallies, strict=True))
        for mood in zip(*(tally for tally, _ in tallies), strict=True)
    ]


def _with(cell: Interval, people: int, estimate: Estimate) -> Interval:
    """Add estimated people to those who were counted: how many we say there are, in an interval that holds it."""
    count, low, high = cell
    people, least, most = estimate.rounded(people)
    return count + people, low + least, high + most


def _widen(cell: Interval, moving: int, unseen_joins: int, *, least: int) -> Interval:
    count, low, high = cell
    return count, min(low, max(low - moving, least)), high + unseen_joins
