"""A simulation: one run of a scenario."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import gcd, log, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from breathing_room.core.client_rules.polling import STRIDE_MAX, STRIDE_MIN
from breathing_room.core.deadlines import NO_DEADLINE
from breathing_room.core.errors import ConfigError
from breathing_room.core.estimate.legacy_sampling import CHANCE, HEARTBEAT_MS, WINDOW_MS
from breathing_room.core.presence import Presence
from breathing_room.core.rate import rounded
from breathing_room.lab.sim.chance import Stream, first_draws, stream_key
from breathing_room.lab.sim.checkers import check_room, check_store
from breathing_room.lab.sim.clock import FIRST, LAST, VirtualClock
from breathing_room.lab.sim.cohorts import Cohorts
from breathing_room.lab.sim.estimators import Baselines
from breathing_room.lab.sim.idle_pool import IdlePool
from breathing_room.lab.sim.meter import Meter
from breathing_room.lab.sim.network import Edge, Network
from breathing_room.lab.sim.people import (
    ConnectedVisitor,
    ForgedReports,
    LegacyVisitor,
    MoodModel,
    PollingVisitor,
)
from breathing_room.lab.sim.result import RunObservation, RunResult
from breathing_room.lab.sim.scenario import EXACT_PEOPLE_MAX, HOUR_MS, SECOND_MS, Scenario
from breathing_room.lab.sim.server import ROOM, Answer, SimulatedServer
from breathing_room.lab.sim.tickets import Ids
from breathing_room.lab.sim.visitors import (
    CHUNK_MS,
    STEP_MS,
    Arrivals,
    Newcomers,
    draw_newcomers,
    levels_at,
    visit_lengths_of,
)

DAY_BEGINS_MS: Final = 1_767_225_600_000
"""2026-01-01 00:00 UTC: a run begins on that day."""

PROGRESS_MS: Final = 60_000
"""How often progress is reported, in simulated time."""

KEEP_MARGIN: Final = 4.0
"""Visitors are individuals up to a ticket of so many times the rate that the smallest crowd calls for."""


class RateOverBoundError(Exception):
    """A rate was published at which visitors would be sampled who are not individuals."""


class Simulation:
    """One run of a scenario.

    Args:
        scenario: The scenario.
        seed: The seed of all randomness.
        mode: ``exact`` or ``fast``.
        keep: Visitors with a ticket from here on are cohorts; 1: all are individuals.
        rate: The rate at which the room begins.
    """

    def __init__(
        self, scenario: Scenario, seed: int, *, mode: str, keep: float = 1.0, rate: float = 1.0
    ) -> None:
        self.scenario = scenario
        self.crowd = scenario.crowd
        self.config = scenario.room
        self.mode = mode
        self.seed = seed
        self.keep = keep
        self.begins_ms = DAY_BEGINS_MS + round(scenario.run.starts_at_h * HOUR_MS)
        self.ends_ms = self.begins_ms + scenario.length_ms
        self.meter = Meter()
        self.clock = VirtualClock(self.begins_ms)
        self.keys = {stream: stream_key(seed, stream) for stream in Stream}
        rngs = [np.random.Generator(np.random.PCG64(part)) for part in np.random.SeedSequence(seed).spawn(6)]
        self._arrivals_rng, self._cohorts_rng, self._observations_rng, self._polls_rng, *ids_rngs = rngs
        self.ids = Ids(ROOM, ids_rngs[0], below=keep)
        self.forged_ids = Ids(ROOM, ids_rngs[1])
        self.mood_model = MoodModel(scenario.crowd, self.config)
        self._visits = visit_lengths_of(scenario.crowd)
        self._arrivals = Arrivals(scenario, self._visits)
        wires = scenario.wires
        self.network = Network(wires.loss_share, wires.delay_ms)
        self.server = SimulatedServer(scenario, self.clock, self.meter, rate=rate)
        self.edge = Edge(
            self.server.presence,
            self._before_change,
            self.meter,
            max_age_ms=round(wires.presence_max_age_s * SECOND_MS),
            stale_ms=round(wires.presence_max_age_s * SECOND_MS),
            config_max_age_ms=round(wires.config_max_age_s * SECOND_MS),
        )
        # Longer visits may see an epoch after the next one, and another ticket: such visitors are never idle.
        self.one_ticket_ms = self.config.epoch_ms - round(2 * wires.presence_max_age_s * SECOND_MS)
        self.idle_pool: IdlePool[PollingVisitor] | None = IdlePool() if mode == "fast" else None
        self.others: dict[int, LegacyVisitor | ConnectedVisitor] = {}
        self._polled: dict[int, PollingVisitor] = {}
        self._purge_at_ms = self.begins_ms
        self._planned: tuple[int, int] = (NO_DEADLINE, 0)
        self._observe_ms = round(scenario.run.observe_every_s * SECOND_MS)
        self._step_ms = gcd(self._observe_ms, scenario.warm_up_ms or CHUNK_MS, CHUNK_MS)
        self._outside = Cohorts(self._visits, self._step_ms, self._cohorts_rng) if keep < 1.0 else None
        self._came_outside = 0.0
        self._polls_outside = 0.0
        polls_per_visit = log(STRIDE_MAX / STRIDE_MIN) / (STRIDE_MAX - STRIDE_MIN)
        self._polls_per_ms = polls_per_visit / self.config.poll_ms
        self._baselines = Baselines(scenario, self._visits, self._observations_rng, keep)
        forgers = scenario.forgers
        self._forgers = (
            ForgedReports(
                self,
                forgers.share,
                chosen=forgers.tickets == "chosen",
                from_ms=self.begins_ms + scenario.warm_up_ms + round(forgers.at_minutes * 60_000),
            )
            if forgers.share
            else None
        )
        self._observations: list[RunObservation] = []

    # --- The run -------------------------------------------------------------------------------------------

    def run(self, on_progress: Callable[[float], None] | None = None) -> RunResult:
        """Run the scenario.

        Args:
            on_progress: Called now and then with the share of the time that has passed.

        Raises:
            RateOverBoundError: The rate rose above ``keep``.
            UnsafeError: An invariant does not hold.
        """
        for at_ms in range(self.begins_ms, self.ends_ms, CHUNK_MS):
            self.clock.at(at_ms, FIRST, self._arrivals_of_a_minute)
        if self._outside is not None:
            for at_ms in range(self.begins_ms + self._step_ms, self.ends_ms, self._step_ms):
                self.clock.at(at_ms, FIRST, self._pass_outside)
        first_ms = self.begins_ms + self.scenario.warm_up_ms
        for at_ms in range(first_ms + self._observe_ms, self.ends_ms + 1, self._observe_ms):
            self.clock.at(at_ms, LAST, self._observe)
        for at_ms in range(self.begins_ms, self.ends_ms, PROGRESS_MS):
            if on_progress is not None:
                on_progress((at_ms - self.begins_ms) / self.scenario.length_ms)
            self.clock.run(min(at_ms + PROGRESS_MS, self.ends_ms + 1))
        self.clock.run(self.ends_ms + 1)
        self._settle_meter()
        check_store(self.meter.store)
        seconds = range(self.begins_ms // SECOND_MS, self.ends_ms // SECOND_MS)
        return RunResult(
            seed=self.seed,
            mode=self.mode,
            keep=self.keep,
            hours=self.scenario.length_ms / HOUR_MS,
            observations=tuple(self._observations),
            meter=self.meter,
            reports_by_s=tuple(self.server.reports_by_s.get(second, 0) for second in seconds),
        )

    def report(self, visitor: str, mood: str | None, epoch: int, now_ms: int) -> Answer:
        """Send a report to the server."""
        answer = self.server.report(visitor, mood, epoch, now_ms)
        if self._forgers is not None:
            self._forgers.match(epoch, now_ms)
        return answer

    def copy_of(self, epoch: int) -> Presence:
        """Return the presence at the edge, as a visitor who arrived in an epoch saw it."""
        copy = self.edge.copy
        assert copy is not None
        return copy if copy.epoch == epoch else replace(copy, epoch=epoch)

    # --- Arrivals and departures ---------------------------------------------------------------------------

    def _arrivals_of_a_minute(self, now_ms: int) -> None:
        """Let the visitors of the next minute arrive, each at a time of its own."""
        since_ms = now_ms - self.begins_ms
        ends_ms = min(since_ms + CHUNK_MS, self.scenario.length_ms)
        step_ms = STEP_MS
        if self.crowd.closed:
            step_ms, counts = (
                self.crowd.gather_s * SECOND_MS,
                np.array([0 if since_ms else self.crowd.people]),
            )
        else:
            expected = self._arrivals.expected(since_ms, ends_ms // STEP_MS * STEP_MS, STEP_MS) * self.keep
            counts = self._arrivals_rng.poisson(expected)
        new = draw_newcomers(self._arrivals_rng, counts, self._visits, now_ms, step_ms)
        visits_ms = np.minimum(new.departs_ms, self.ends_ms) - new.arrives_ms
        self.meter.person_ms += int(visits_ms.sum())
        epoch = self._epoch(now_ms)
        numbers, tickets = self.ids.draw(len(new.arrives_ms), epoch)
        self._baselines.add(new, tickets)
        if self._outside is None:
            self.edge.configs(len(numbers), new.arrives_ms.tolist())
        else:
            # In so large a crowd there is an arrival in every instant.
            self.edge.configs(len(numbers), range(now_ms, now_ms + CHUNK_MS, STEP_MS))
        kinds = self._kinds(numbers)
        for index in np.flatnonzero(kinds):
            kind = LegacyVisitor if kinds[index] == 1 else ConnectedVisitor
            kind(self, int(numbers[index]), int(new.arrives_ms[index]), int(new.departs_ms[index]))
        polled = kinds == 0
        self._admit(
            numbers[polled],
            tickets[polled],
            Newcomers(new.arrives_ms[polled], new.departs_ms[polled]),
            epoch,
        )
        if self._purge_at_ms <= now_ms:
            self._purge(now_ms)

    def _kinds(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the kind of each visitor: polling (0), legacy (1) or connected (2)."""
        shares = np.array([self.crowd.kinds.get(kind, 0.0) for kind in ("poll", "legacy", "socket")])
        edges = np.cumsum(shares / shares.sum())[:-1]
        return np.searchsorted(edges, first_draws(self.keys[Stream.KIND], numbers), side="right")

    def _epoch(self, now_ms: int) -> int:
        """Return the epoch in which a visit that begins now begins, as far as is known."""
        copy = self.edge.copy
        return now_ms // self.config.epoch_ms if copy is None else copy.epoch

    def _admit(
        self,
        numbers: NDArray[np.int64],
        tickets: NDArray[np.float64],
        new: Newcomers,
        epoch: int,
    ) -> None:
        if self.idle_pool is None:
            lists = (column.tolist() for column in (numbers, new.arrives_ms, new.departs_ms, tickets))
            for number, arrives_ms, departs_ms, ticket in zip(*lists, strict=True):
                person = self._polled[number] = PollingVisitor(
                    self,
                    row=0,
                    number=number,
                    arrives_ms=arrives_ms,
                    departs_ms=departs_ms,
                    ticket=ticket,
                    epoch=epoch,
                )
                person.schedule(arrives_ms)
            return
        drawn = first_draws(self.keys[Stream.POLLER], numbers)
        strides = STRIDE_MIN + (STRIDE_MAX - STRIDE_MIN) * drawn
        periods_ms = np.rint(self.config.poll_ms * strides).astype(np.int64)
        rows = self.idle_pool.add(numbers, tickets, new, periods_ms, epoch)
        rate = self.server.room.panel.rate if self.edge.copy is None else self.edge.copy.sample_rate
        for index in np.flatnonzero((tickets < rate) | (new.visits_ms > self.one_ticket_ms)):
            self._schedule_arrival(rows[index])
        self._plan_first_poll()

    def _schedule_arrival(self, row: int) -> None:
        """Schedule the arrival of a visitor who may be sampled."""
        assert self.idle_pool is not None
        number, at_ms = int(self.idle_pool.number[row]), int(self.idle_pool.comes_ms[row])
        self.idle_pool.poll_at_ms[row] = NO_DEADLINE
        self.clock.at(at_ms, number, partial(self._arrive, row, number))

    def _arrive(self, row: int, number: int, now_ms: int) -> None:
        """Let a visitor arrive who may be sampled."""
        idle_pool, copy = self.idle_pool, self.edge.copy
        assert idle_pool is not None
        if (
            idle_pool.number[row] != number
            or idle_pool.persons[row] is not None
            or idle_pool.comes_ms[row] != now_ms
        ):
            return
        visits_ms = idle_pool.departs_ms[row] - now_ms
        is_asked = copy is None or copy.sample_rate > idle_pool.ticket[row] or visits_ms > self.one_ticket_ms
        if not is_asked and now_ms < self.edge.due_at_ms:
            idle_pool.poll_at_ms[row] = now_ms
            self.plan_poll(now_ms, int(idle_pool.period_ms[row]), int(idle_pool.departs_ms[row]), number)
            return
        self._person(row).schedule(now_ms)

    def _person(self, row: int) -> PollingVisitor:
        """Create the visitor of a row."""
        idle_pool = self.idle_pool
        assert idle_pool is not None
        person = PollingVisitor(
            self,
            row=row,
            number=int(idle_pool.number[row]),
            arrives_ms=int(idle_pool.comes_ms[row]),
            departs_ms=int(idle_pool.departs_ms[row]),
            ticket=float(idle_pool.ticket[row]),
            epoch=int(idle_pool.epoch[row]),
        )
        idle_pool.persons[row] = person
        self._polled[person.number] = person
        return person

    def remove(self, row: int, person: PollingVisitor) -> None:
        """Remove a visitor who has left."""
        del self._polled[person.number]
        if self.idle_pool is not None:
            self.idle_pool.free(row)

    def _purge(self, now_ms: int) -> None:
        """Free the rows of visitors who left and never had a ``Poller``, and count their polls."""
        self._purge_at_ms = now_ms + 5 * CHUNK_MS
        if self.idle_pool is None:
            return
        for row in self.idle_pool.departed(now_ms):
            if self.idle_pool.poll_at_ms[row] < NO_DEADLINE:
                self.meter.polls += self.idle_pool.passed(row, int(self.idle_pool.departs_ms[row]))
            self.idle_pool.free(row)

    def _pass_outside(self, now_ms: int) -> None:
        """Advance the cohorts by a step."""
        assert self._outside is not None
        ends_ms = now_ms - self.begins_ms
        expected = float(self._arrivals.expected(ends_ms - self._step_ms, ends_ms, STEP_MS).sum()) * (
            1 - self.keep
        )
        before = self._outside.here
        came = self._outside.step(expected)
        person_ms = (before + self._outside.here) / 2 * self._step_ms
        self.meter.person_ms += round(person_ms)
        self.meter.config_fetches += came
        # One poll on arrival, and one a period; the last period of a visit is on average half over.
        self._polls_outside += came / 2 + person_ms * self._polls_per_ms
        self._came_outside = expected / self._step_ms

    # --- The edge ------------------------------------------------------------------------------------------

    def _before_change(self, new: Presence) -> None:
        """Handle a new copy at the edge: activate the visitors whom it concerns, and seek the poll that will
        fetch the next one.
        """
        if new.sample_rate > self.keep:
            raise RateOverBoundError(f"a rate of {new.sample_rate}, over {self.keep}")
        if self.idle_pool is None:
            return
        copy, now_ms = self.edge.copy, self.clock.now_ms
        if copy is not None:
            for row in self.idle_pool.concerned(copy.sample_rate, new.sample_rate):
                self._activate(int(row), now_ms)
            if copy.epoch != new.epoch:
                self._draw_again(new, now_ms)
        self._plan_first_poll()

    def _activate(self, row: int, now_ms: int) -> None:
        idle_pool = self.idle_pool
        assert idle_pool is not None
        number = int(idle_pool.number[row])
        before_ms = now_ms + (number <= self.clock.rank)
        if idle_pool.departs_ms[row] < before_ms:
            return
        person = idle_pool.persons[row]
        if person is None and idle_pool.poll_at_ms[row] >= before_ms:
            self._schedule_arrival(row)
            return
        if person is None:
            person = self._person(row)
        person.activate(before_ms)

    def _draw_again(self, new: Presence, now_ms: int) -> None:
        """Handle a new epoch: visitors who have not arrived yet get their tickets in it."""
        idle_pool = self.idle_pool
        assert idle_pool is not None
        ahead = (idle_pool.comes_ms > now_ms) | (
            (idle_pool.comes_ms == now_ms) & (idle_pool.number > self.clock.rank)
        )
        rows = np.flatnonzero(ahead & (idle_pool.departs_ms < NO_DEADLINE) & (idle_pool.epoch != new.epoch))
        rows = rows[np.argsort(idle_pool.number[rows])]
        numbers, tickets = self.ids.redraw(idle_pool.number[rows], new.epoch)
        idle_pool.number[rows], idle_pool.ticket[rows], idle_pool.epoch[rows] = numbers, tickets, new.epoch
        idle_pool.poll_at_ms[rows] = idle_pool.comes_ms[rows]
        visits_ms = idle_pool.departs_ms[rows] - idle_pool.comes_ms[rows]
        for row in rows[(tickets < new.sample_rate) | (visits_ms > self.one_ticket_ms)]:
            self._schedule_arrival(int(row))

    def plan_poll(self, poll_at_ms: int, period_ms: int, departs_ms: int, number: int) -> None:
        """Schedule a fetch at the edge, if a poll of this idle visitor is the first that causes it."""
        ahead_ms = max(self.edge.due_at_ms - poll_at_ms, 0)
        at_ms = poll_at_ms + -(-ahead_ms // period_ms) * period_ms
        if at_ms < departs_ms:
            self._plan_refresh(at_ms, number)

    def _plan_first_poll(self) -> None:
        """Seek the earliest poll of idle visitors and cohorts that causes a fetch at the edge."""
        assert self.idle_pool is not None
        self._planned = (NO_DEADLINE, 0)
        if self.edge.copy is None:
            return
        due_at_ms = max(self.edge.due_at_ms, self.clock.now_ms)
        if first := self.idle_pool.first_poll(due_at_ms):
            self._plan_refresh(*first)
        if self._outside is not None:
            per_ms = self._outside.here * self._polls_per_ms + self._came_outside
            if per_ms > 0:
                self._plan_refresh(due_at_ms + round(self._polls_rng.exponential(1 / per_ms)), LAST - 2)

    def _plan_refresh(self, at_ms: int, number: int) -> None:
        if (at_ms, number) < self._planned:
            self._planned = (at_ms, number)
            self.clock.at(at_ms, number, self._refresh)

    def _refresh(self, now_ms: int) -> None:
        """Make the poll that causes a fetch at the edge."""
        if self._planned != (now_ms, self.clock.rank) or now_ms < self.edge.due_at_ms:
            return
        self._planned = (NO_DEADLINE, 0)
        if self.clock.rank == LAST - 2:
            self.edge.refresh(now_ms)
            return
        assert self.idle_pool is not None
        found = np.flatnonzero(
            (self.idle_pool.number == self.clock.rank) & (self.idle_pool.poll_at_ms <= now_ms)
        )
        for row in found:
            if self.idle_pool.departs_ms[row] > now_ms:
                person = self.idle_pool.persons[row] or self._person(int(row))
                person.activate(now_ms)
                return
        self._plan_first_poll()

    # --- Observations --------------------------------------------------------------------------------------

    def _observe(self, now_ms: int) -> None:
        """Compare the presence with the truth."""
        room = self.server.room
        check_room(room, now_ms)
        presence = self.server.presence(now_ms)
        outside = self._outside.here if self._outside is not None else 0
        individuals = self._baselines.count_present(now_ms)
        truth = individuals + outside
        people = [*self._polled.values(), *self.others.values()]
        moods = np.zeros(len(self.mood_model.names), np.int64)
        known = 0
        for person in people:
            if self._is_here(person, now_ms):
                person.update_mood(now_ms)
                moods[person.mood_process.mood] += 1
                known += 1
        moods += self._observations_rng.multinomial(truth - known, self.mood_model.weights)
        raw = room.panel.raw_estimate(now_ms)
        self._observations.append(
            RunObservation(
                at_ms=now_ms - self.begins_ms - self.scenario.warm_up_ms,
                truth=truth,
                moods=tuple(moods.tolist()),
                presence=presence,
                effective_rate=room.panel.theta,
                seats=room.panel.seat_count,
                capped=room.panel.over_quota_count,
                raw_count=raw.count,
                standard_error=self._standard_error(truth, now_ms),
                estimates=self._baselines.estimate(now_ms, presence, outside, self._came_outside),
            )
        )

    def _standard_error(self, truth: int, now_ms: int) -> float:
        """Return the standard error for so many visitors: legacy clients are sampled, connections are counted
        exactly.
        """
        others = [person for person in self.others.values() if self._is_here(person, now_ms)]
        legacy = sum(isinstance(person, LegacyVisitor) for person in others)
        polled = self.server.room.panel.standard_error(truth - len(others), now_ms)
        return sqrt(polled**2 + legacy * HEARTBEAT_MS / (CHANCE * WINDOW_MS))

    @staticmethod
    def _is_here(person: PollingVisitor | LegacyVisitor | ConnectedVisitor, now_ms: int) -> bool:
        return person.arrives_ms <= now_ms < person.departs_ms

    def _settle_meter(self) -> None:
        """Count the polls of visitors who are still idle, and of cohorts."""
        if self.idle_pool is not None:
            for row in np.flatnonzero(self.idle_pool.poll_at_ms < NO_DEADLINE):
                before_ms = min(int(self.idle_pool.departs_ms[row]), self.ends_ms + 1)
                self.meter.polls += self.idle_pool.passed(int(row), before_ms)
        self.meter.polls += round(self._polls_outside)


def begin(scenario: Scenario) -> tuple[float, float]:
    """Return the rate at which a room begins, and the ticket up to which visitors are individuals.

    The smallest crowd that there will be calls for the highest rate. The bound is above it by a margin, and a
    run that goes over it stops and is run again with a higher one.
    """
    levels = np.maximum(levels_at(scenario, np.arange(0, scenario.length_ms + 1, CHUNK_MS)), 1.0)
    panel_size = scenario.room.panel_size
    rate = rounded(scenario.run.rate or min(1.0, 4 * panel_size / float(levels[0])))
    return rate, min(1.0, max(rate, KEEP_MARGIN * panel_size / float(levels.min())))


def simulate(scenario: Scenario, seed: int, on_progress: Callable[[float], None] | None = None) -> RunResult:
    """Run a scenario once.

    Args:
        scenario: The scenario, of one crowd.
        seed: The seed of all randomness. The same seed gives the same result.
        on_progress: Called now and then with the share of the time that has passed.

    Raises:
        ConfigError: The mode does not support the scenario.
        UnsafeError: An invariant does not hold.
    """
    only_polls = {kind for kind, share in scenario.crowd.kinds.items() if share} == {"poll"}
    mode = scenario.run.mode
    if mode == "auto":
        most = float(levels_at(scenario, np.arange(0, scenario.length_ms + 1, CHUNK_MS)).max())
        mode = "exact" if most <= EXACT_PEOPLE_MAX or not only_polls else "fast"
    if mode == "exact":
        rate = rounded(scenario.run.rate) if scenario.run.rate else 1.0
        return Simulation(scenario, seed, mode=mode, rate=rate).run(on_progress)
    if not only_polls:
        raise ConfigError("mode fast supports polling visitors only; use exact")
    rate, keep = (1.0, 1.0) if scenario.crowd.closed else begin(scenario)
    while True:
        try:
            return Simulation(scenario, seed, mode=mode, keep=keep, rate=rate).run(on_progress)
        except RateOverBoundError:
            keep = min(1.0, 2 * keep)
