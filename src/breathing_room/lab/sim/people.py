"""The visitors: polling, legacy and connected ones; and forged reports."""

from functools import partial
from typing import Final, Protocol

import numpy as np

from breathing_room.core.client_rules.polling import Poller, PollRequest, Request
from breathing_room.core.config import UNSPOKEN, RoomConfig
from breathing_room.core.deadlines import NO_DEADLINE
from breathing_room.core.estimate.legacy_sampling import CHANCE, HEARTBEAT_MS
from breathing_room.core.events import Disconnected, HeartbeatReceived, Joined, Left, MoodChanged
from breathing_room.core.presence import Presence
from breathing_room.lab.sim.chance import Stream, VisitorRandom
from breathing_room.lab.sim.clock import LAST, VirtualClock
from breathing_room.lab.sim.idle_pool import IdlePool
from breathing_room.lab.sim.meter import Meter
from breathing_room.lab.sim.network import Edge, Network
from breathing_room.lab.sim.scenario import MINUTE_MS, CrowdSettings
from breathing_room.lab.sim.server import ROOM, Answer, Outdated, Shed, SimulatedServer, key_of
from breathing_room.lab.sim.tickets import Ids

FORGED_PREFIX: Final = b"forged"


class MoodModel:
    """The random process of moods.

    A visitor arrives in a mood drawn from the weights, and at random instants draws again. So at any time
    moods are distributed by the weights, independently of everything else. A draw often repeats the mood; the
    rate of drawing makes up for that.

    Args:
        crowd: The weights of moods, and the changes in a visit.
        config: The room's moods.
    """

    def __init__(self, crowd: CrowdSettings, config: RoomConfig) -> None:
        self.names = (*config.moods, UNSPOKEN)
        weights = crowd.moods or dict.fromkeys(config.moods, 1.0)
        whole = sum(weights.values())
        self.weights = np.array([weights.get(mood, 0.0) / whole for mood in self.names])
        differs = 1 - float((self.weights**2).sum())
        changes = crowd.mood_changes / differs if differs > 1e-9 else 0.0
        self.between_ms = crowd.visit_minutes * MINUTE_MS / changes if changes else None
        self._edges = np.cumsum(self.weights).tolist()

    def draw(self, chance: VisitorRandom) -> int:
        """Draw a mood."""
        drawn = chance.random() * self._edges[-1]
        return next(index for index, edge in enumerate(self._edges) if drawn < edge)


class MoodProcess:
    """The mood of a visitor, and the time of its next change.

    Args:
        mood_model: The random process of moods.
        chance: The visitor's random numbers.
        now_ms: The time of arrival.
    """

    __slots__ = ("_chance", "_model", "_next_mood", "changes_at_ms", "mood")

    def __init__(self, mood_model: MoodModel, chance: VisitorRandom, now_ms: int) -> None:
        self._model = mood_model
        self._chance = chance
        self._next_mood = mood_model.draw(chance)
        self.changes_at_ms = now_ms
        self.change()

    @property
    def name(self) -> str:
        """The mood's name."""
        return self._model.names[self.mood]

    def change(self) -> None:
        """Take the next mood, and draw the one after it with its time; draws that repeat the mood are
        skipped.
        """
        self.mood = self._next_mood
        if self._model.between_ms is None:
            self.changes_at_ms = NO_DEADLINE
            return
        while self._next_mood == self.mood:
            self.changes_at_ms += 1 + round(self._chance.exponential(self._model.between_ms))
            self._next_mood = self._model.draw(self._chance)


class VisitorContext(Protocol):
    """The parts of a simulation that visitors use.

    Attributes:
        crowd: The settings of the crowd.
        config: The config of the room.
        keys: The key of each random stream.
        clock: Runs scheduled actions.
        meter: Counts operations.
        ids: The ids and tickets of visitors.
        forged_ids: The ids of forged reports.
        mood_model: The random process of moods.
        network: Delay and loss of packets.
        edge: The cache that is polled.
        server: The server.
        one_ticket_ms: The longest visit in which a visitor has one ticket.
        idle_pool: The idle polling visitors of mode fast; None in mode exact.
        others: The visitors present who do not poll, by number.
    """

    crowd: CrowdSettings
    config: RoomConfig
    keys: dict[Stream, int]
    clock: VirtualClock
    meter: Meter
    ids: Ids
    forged_ids: Ids
    mood_model: MoodModel
    network: Network
    edge: Edge
    server: SimulatedServer
    one_ticket_ms: int
    idle_pool: IdlePool["PollingVisitor"] | None
    others: "dict[int, LegacyVisitor | ConnectedVisitor]"

    def report(self, visitor: str, mood: str | None, epoch: int, now_ms: int) -> Answer:
        """Send a report to the server."""
        ...

    def copy_of(self, epoch: int) -> Presence:
        """Return the presence that the edge has, as a visitor who arrived in an epoch saw it."""
        ...

    def plan_poll(self, poll_at_ms: int, period_ms: int, departs_ms: int, number: int) -> None:
        """Schedule the fetch that a poll of an idle visitor may cause at the edge."""
        ...

    def remove(self, row: int, person: "PollingVisitor") -> None:
        """Remove a visitor who has left, and free the row."""
        ...


class PollingVisitor:
    """A visitor who polls: a ``Poller``, a ``MoodProcess``, and packets.

    Args:
        simulation: The simulation.
        row: The row in the idle pool.
        number: The visitor's number.
        arrives_ms: The time of arrival.
        departs_ms: The time of departure.
        ticket: The ticket.
        epoch: The epoch of the ticket.
    """

    __slots__ = (
        "_begun",
        "_can_idle",
        "_chance",
        "_due_at_ms",
        "_leaves",
        "_poller",
        "_row",
        "_simulation",
        "_ticket",
        "arrives_ms",
        "departs_ms",
        "epoch",
        "is_gone",
        "mood_process",
        "number",
    )  # fmt: skip

    def __init__(
        self,
        simulation: VisitorContext,
        *,
        row: int,
        number: int,
        arrives_ms: int,
        departs_ms: int,
        ticket: float,
        epoch: int,
    ) -> None:
        self._simulation = simulation
        self._row = row
        self.number = number
        self.arrives_ms = arrives_ms
        self.departs_ms = departs_ms
        self._ticket = ticket
        self.epoch = epoch
        self.mood_process = MoodProcess(
            simulation.mood_model, VisitorRandom(simulation.keys[Stream.MOODS], number), arrives_ms
        )
        self._chance = VisitorRandom(simulation.keys[Stream.NETWORK], number)
        self._poller = Poller(
            simulation.ids.visitor(number),
            room=ROOM,
            heartbeat_ms=simulation.config.heartbeat_ms,
            mood=self._mood,
            rng=VisitorRandom(simulation.keys[Stream.POLLER], number),
            now_ms=arrives_ms,
        )
        self._can_idle = departs_ms - arrives_ms <= simulation.one_ticket_ms
        self._due_at_ms = -1
        self._leaves = False
        self._begun = False
        self.is_gone = False

    def schedule(self, at_ms: int) -> None:
        """Schedule the next action."""
        self._due_at_ms = at_ms
        self._simulation.clock.at(at_ms, self.number, self.act)

    def act(self, now_ms: int) -> None:
        """Run the actions that are due."""
        if now_ms != self._due_at_ms or self.is_gone:
            return  # It was rescheduled since.
        self._due_at_ms = -1
        self._catch_up(now_ms)
        if now_ms >= self.departs_ms:
            self._depart(now_ms)
            return
        self.update_mood(now_ms)
        for request in self._poller.due(now_ms):
            self._send(request, now_ms)
        self._schedule_next()

    def activate(self, before_ms: int) -> None:
        """Leave the idle pool: the next poll may matter. All polls before an instant were as the last one."""
        self._catch_up(before_ms)
        self._plan(self._poller.next_at_ms)

    def update_mood(self, now_ms: int) -> None:
        """Apply the changes of mood that are due."""
        while self.mood_process.changes_at_ms <= now_ms:
            self.mood_process.change()
            self._poller.set_mood(self._mood, now_ms)

    @property
    def _mood(self) -> str | None:
        name = self.mood_process.name
        return None if name == UNSPOKEN else name

    # --- Idle ----------------------------------------------------------------------------------------------

    def _schedule_next(self) -> None:
        """Schedule the next action, and become idle until then if polls will change nothing."""
        poller, idle_pool = self._poller, self._simulation.idle_pool
        next_at_ms = poller.next_at_ms
        if idle_pool is not None and self._may_idle():
            next_at_ms = poller.report_at_ms
            idle_pool.poll_at_ms[self._row] = poller.poll_at_ms
            idle_pool.sampled[self._row] = poller.is_sampled
            self._simulation.plan_poll(
                poller.poll_at_ms, int(idle_pool.period_ms[self._row]), self.departs_ms, self.number
            )
        self._plan(next_at_ms)

    def _may_idle(self) -> bool:
        poller = self._poller
        copy = self._simulation.edge.copy
        if copy is None or not self._can_idle or poller.poll_at_ms == NO_DEADLINE:
            return False
        sampled = self._ticket < copy.sample_rate
        acknowledged = poller.is_acknowledged and poller.report_at_ms < NO_DEADLINE
        return sampled == poller.is_sampled and (acknowledged if sampled else not poller.is_reporting)

    def _catch_up(self, before_ms: int) -> None:
        """Become active, if idle. One poll stands for all that passed."""
        idle_pool = self._simulation.idle_pool
        if idle_pool is None or idle_pool.poll_at_ms[self._row] == NO_DEADLINE:
            return
        passed = idle_pool.passed(self._row, min(before_ms, self.departs_ms))
        poll_at_ms = int(idle_pool.poll_at_ms[self._row]) + (passed - 1) * int(idle_pool.period_ms[self._row])
        idle_pool.poll_at_ms[self._row] = NO_DEADLINE
        if passed:
            self._simulation.meter.polls += passed
            self._begun = True
            self._poller.due(poll_at_ms)
            self._poller.polled(self._simulation.copy_of(self.epoch), poll_at_ms)

    def _plan(self, next_at_ms: int) -> None:
        if self._poller.is_sampled or self._poller.is_reporting:
            next_at_ms = min(next_at_ms, self.mood_process.changes_at_ms)
        next_at_ms = min(next_at_ms, self.departs_ms)
        if next_at_ms != self._due_at_ms:
            self.schedule(next_at_ms)

    # --- Packets -------------------------------------------------------------------------------------------

    def _send(self, request: Request, now_ms: int) -> None:
        network = self._simulation.network
        if network.is_perfect:
            self._receive(request, self._ask(request, now_ms), now_ms)
            return
        there_ms = now_ms + self._delay_ms()
        late_ms = now_ms + network.timeout_ms
        if self._is_lost():
            self._later(late_ms, request, None)
            return

        def arrive(now_ms: int) -> None:
            answer = self._ask(request, now_ms)
            back_ms = now_ms + self._delay_ms()
            if self._is_lost() or back_ms > late_ms:
                self._later(late_ms, request, None)
            else:
                self._later(back_ms, request, answer)

        self._simulation.clock.at(there_ms, self.number, arrive)

    def _ask(self, request: Request, now_ms: int) -> Answer:
        if isinstance(request, PollRequest):
            return self._simulation.edge.presence(now_ms)
        return self._simulation.report(request.visitor, request.mood, request.epoch, now_ms)

    def _later(self, at_ms: int, request: Request, answer: Answer | None) -> None:
        def receive(now_ms: int) -> None:
            if self.is_gone:
                return
            self._catch_up(now_ms)
            self.update_mood(now_ms)
            self._receive(request, answer, now_ms)
            if self._leaves:
                self._depart(now_ms)
            else:
                self._schedule_next()

        self._simulation.clock.at(at_ms, self.number, receive)

    def _receive(self, request: Request, answer: Answer | None, now_ms: int) -> None:
        match answer:
            case Presence():
                if isinstance(request, PollRequest):
                    self._begin(answer.epoch)
                    self._poller.polled(answer, now_ms)
                else:
                    self._poller.acknowledged(answer, now_ms)
            case Shed(retry_ms):
                self._poller.failed(request, now_ms, retry_ms=retry_ms)
            case Outdated():
                self._poller.epoch_expired(now_ms)
            case None:
                self._poller.failed(request, now_ms)

    def _begin(self, epoch: int) -> None:
        """Take the epoch of the visit from the first presence."""
        if self._begun:
            return
        self._begun = True
        if epoch != self.epoch:
            self.epoch = epoch
            self._ticket = float(self._simulation.ids.tickets(np.array([self.number]), epoch)[0])
            if (idle_pool := self._simulation.idle_pool) is not None:
                idle_pool.ticket[self._row] = self._ticket

    def _delay_ms(self) -> int:
        return round(self._chance.exponential(self._simulation.network.delay_ms))

    def _is_lost(self) -> bool:
        return self._chance.random() < self._simulation.network.loss_share

    # --- Leaving -------------------------------------------------------------------------------------------

    def _depart(self, now_ms: int) -> None:
        """Leave; the leave does not overtake a report that is on its way."""
        if self._poller.is_reporting and not self._leaves:
            self._leaves = True
            return
        self.is_gone = True
        request = self._poller.leave()
        arrives = (
            VisitorRandom(self._simulation.keys[Stream.NORMAL_CLOSURE], self.number).random()
            < self._simulation.crowd.leaves_share
        )
        if request is not None and arrives:
            self._simulation.server.leave(request.visitor, now_ms)
        self._simulation.remove(self._row, self)


class LegacyVisitor:
    """A visitor with a legacy client, of the planning document's kind.

    It reports on joining and on a change of mood; and every 30 s it reports with a probability of 3 %, or
    reads the presence.

    Args:
        simulation: The simulation.
        number: The visitor's number.
        arrives_ms: The time of arrival.
        departs_ms: The time of departure, without a leave.
    """

    def __init__(self, simulation: VisitorContext, number: int, arrives_ms: int, departs_ms: int) -> None:
        self._simulation = simulation
        self._visitor = simulation.ids.visitor(number)
        self.number = number
        self.mood_process = MoodProcess(
            simulation.mood_model, VisitorRandom(simulation.keys[Stream.MOODS], number), arrives_ms
        )
        self._chance = VisitorRandom(simulation.keys[Stream.LEGACY], number)
        self.arrives_ms = arrives_ms
        self.departs_ms = departs_ms
        self._heartbeat_at_ms = arrives_ms
        self._forced = True
        simulation.clock.at(arrives_ms, number, self.act)

    def act(self, now_ms: int) -> None:
        """Run the actions that are due."""
        if now_ms >= self.departs_ms:
            self._simulation.others.pop(self.number, None)
            return
        self._simulation.others[self.number] = self
        if self.mood_process.changes_at_ms <= now_ms:
            self.update_mood(now_ms)
            self._simulation.server.legacy_report(self._visitor, self.mood_process.name, now_ms)
        if self._heartbeat_at_ms <= now_ms:
            if self._forced or self._chance.random() < CHANCE:
                self._simulation.server.legacy_report(self._visitor, self.mood_process.name, now_ms)
            else:
                self._simulation.edge.presence(now_ms)
            self._forced = False
            self._heartbeat_at_ms += HEARTBEAT_MS
        next_at_ms = min(self._heartbeat_at_ms, self.mood_process.changes_at_ms, self.departs_ms)
        self._simulation.clock.at(next_at_ms, self.number, self.act)

    def update_mood(self, now_ms: int) -> None:
        """Apply the changes of mood that are due."""
        while self.mood_process.changes_at_ms <= now_ms:
            self.mood_process.change()


class ConnectedVisitor:
    """A visitor with a WebSocket, who sends pings, and leaves unless the connection breaks.

    Args:
        simulation: The simulation.
        number: The visitor's number.
        arrives_ms: The time of arrival.
        departs_ms: The time of departure.
    """

    def __init__(self, simulation: VisitorContext, number: int, arrives_ms: int, departs_ms: int) -> None:
        self._simulation = simulation
        self.number = number
        self.mood_process = MoodProcess(
            simulation.mood_model, VisitorRandom(simulation.keys[Stream.MOODS], number), arrives_ms
        )
        self.arrives_ms = arrives_ms
        self.departs_ms = departs_ms
        self._pinged_at_ms = -1
        simulation.clock.at(arrives_ms, number, self.act)

    def act(self, now_ms: int) -> None:
        """Run the actions that are due."""
        simulation = self._simulation
        simulation.meter.messages_in += 1
        if self._pinged_at_ms < 0:
            simulation.meter.connects += 1
            simulation.others[self.number] = self
            self._pinged_at_ms = now_ms
            key = key_of(simulation.ids.visitor(self.number))
            simulation.server.feed(Joined(self.number, key, self.mood_process.name), now_ms)
        elif now_ms >= self.departs_ms:
            del simulation.others[self.number]
            leaves = (
                VisitorRandom(simulation.keys[Stream.NORMAL_CLOSURE], self.number).random()
                < simulation.crowd.leaves_share
            )
            simulation.server.feed(Left(self.number) if leaves else Disconnected(self.number), now_ms)
            return
        elif self.mood_process.changes_at_ms <= now_ms:
            self.update_mood(now_ms)
            simulation.server.feed(MoodChanged(self.number, self.mood_process.name), now_ms)
            self._pinged_at_ms = now_ms
        else:
            simulation.meter.messages_out += 1
            simulation.server.feed(HeartbeatReceived(self.number), now_ms)
            self._pinged_at_ms = now_ms
        next_at_ms = min(
            self._pinged_at_ms + simulation.config.ping_ms, self.mood_process.changes_at_ms, self.departs_ms
        )
        simulation.clock.at(next_at_ms, self.number, self.act)

    def update_mood(self, now_ms: int) -> None:
        """Apply the changes of mood that are due."""
        while self.mood_process.changes_at_ms <= now_ms:
            self.mood_process.change()


class ForgedReports:
    """Forged reports, from one address prefix: so many that they are a given share of all that arrive.

    They renew their seats as long as they can, and go on to other ids when a lease would have expired
    meanwhile. Where ids are chosen they take those with the lowest tickets; where ids are signed they take
    the ids that they get, and report with those in the sample.

    Args:
        simulation: The simulation.
        share: Their share of all reports.
        chosen: Whether the ids are chosen.
        from_ms: When they begin.
    """

    def __init__(self, simulation: VisitorContext, share: float, *, chosen: bool, from_ms: int) -> None:
        self._simulation = simulation
        self._per_report = share / (1 - share)
        self._owed = 0.0
        self._from_ms = from_ms
        self._chosen = chosen
        self._ids = simulation.forged_ids
        self._reported_at_ms: dict[int, int] = {}
        self._epoch = -1
        self._fresh: list[int] = []

    def match(self, epoch: int, now_ms: int) -> None:
        """Forge as many reports as keep the share, after one that arrived."""
        if now_ms < self._from_ms:
            return
        self._owed += self._per_report
        while self._owed >= 1:
            self._owed -= 1
            self._simulation.meter.reports_forged += 1
            visitor = self._ids.visitor(self._pick(now_ms, epoch))
            # After all visitors of the instant, so that forged reports are not between theirs.
            self._simulation.clock.at(now_ms, LAST - 1, partial(self._forge, visitor, epoch))

    def _forge(self, visitor: str, epoch: int, now_ms: int) -> None:
        self._simulation.server.report(visitor, None, epoch, now_ms, prefix=FORGED_PREFIX)

    def _pick(self, now_ms: int, epoch: int) -> int:
        """Return the id that reported longest ago, if its lease is about to expire; otherwise another one."""
        if epoch != self._epoch:
            self._epoch, self._reported_at_ms, self._fresh = epoch, {}, []
        if self._reported_at_ms:
            number, reported_at_ms = next(iter(self._reported_at_ms.items()))
            if now_ms - reported_at_ms >= self._simulation.config.heartbeat_ms:
                del self._reported_at_ms[number]
                self._reported_at_ms[number] = now_ms
                return number
        if not self._fresh:
            numbers, tickets = self._ids.draw(4_096 if self._chosen else 256, epoch)
            order = np.argsort(tickets)[::-1] if self._chosen else range(len(numbers) - 1, -1, -1)
            self._fresh = [int(numbers[index]) for index in order]
        number = self._fresh.pop()
        self._reported_at_ms[number] = now_ms
        return number
