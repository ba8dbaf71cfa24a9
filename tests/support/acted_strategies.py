"""The cost model's strategies, simulated and counted: what ``lab/cost/strategies`` computes, without its
formulas.

Visitors join, change moods, report, poll and leave, one by one, on the simulator's clock. A visitor who polls
or has a seat is a ``core/client_rules/polling.py`` ``Poller``; writes go through ``core/write_policies`` into
a store that counts; caches are ``network.Edge``; connections join a ``core/room.py`` room.

Theory of operation
-------------------
A visitor who leaves is replaced at once, so that the crowd has its
size all the time; a panel, or a sample, has exactly its size; and visits, moods, draws and leaves are taken
from samplers that draw from every part of their law once. All three are stratified sampling: each draw has
its law, and their sum varies less. Where two events in one instant are not two (a room broadcasts them
together) the next visitor joins some time later, and so many more share the places.

A strategy is counted in independent *parts*, such as the visitors who poll and those who report: a part of
many who poll needs few of their polls for a small error, and one of few who report needs many reports. Each
part goes on, batch by batch, until the standard error of every count (from the spread between batches) is at
most the share of it that was asked for, ``ERROR`` by default.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, log1p, sqrt
from random import Random
from statistics import fmean, stdev
from typing import Final

from breathing_room.core.client_rules.polling import Poller, PollRequest
from breathing_room.core.config import DAY_MS, RoomConfig
from breathing_room.core.effects import Broadcast, Send
from breathing_room.core.events import Disconnected, Event, Joined, Left, MoodChanged, TimerFired
from breathing_room.core.room import Room
from breathing_room.core.write_policies.bucketed import BucketedPolicy
from breathing_room.core.write_policies.lazy import LazyPolicy
from breathing_room.core.write_policies.policy import WritePolicy
from breathing_room.core.write_policies.records import Kind, Put, SeatReport, Writes
from breathing_room.lab.cost.crowd import MONTH_DAYS, CrowdFigures, CrowdProfile
from breathing_room.lab.cost.formula import figure
from breathing_room.lab.cost.strategies.objects import object_count, sums_interval
from breathing_room.lab.cost.strategies.sources import MEMORY_GB
from breathing_room.lab.cost.strategy import Strategy
from breathing_room.lab.sim.clock import FIRST, VirtualClock
from breathing_room.lab.sim.meter import Meter
from breathing_room.lab.sim.network import Edge
from breathing_room.lab.sim.server import ROOM, key_of
from breathing_room.lab.sim.store import MeteredStore, finish
from breathing_room.stores.memory import MemoryStore

ERROR: Final = 0.005
BATCHES: Final = 12
BATCHES_MAX: Final = 400

BEGINS_MS: Final = 1_767_225_600_000
SECOND_MS: Final = 1_000
KEYS_PER_LIST: Final = 1_000
"""The keys that one list of Workers KV returns (https://developers.cloudflare.com/kv/api/list-keys/)."""

MOODS: Final = RoomConfig().moods
NO_DEADLINE_MS: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class Count:
    """The rate of a counted event.

    Attributes:
        per_s: In a second.
        error: The standard error of that.
    """

    per_s: float
    error: float

    def __add__(self, other: "Count") -> "Count":
        """Add the counts of two independent parts."""
        return Count(self.per_s + other.per_s, sqrt(self.error**2 + other.error**2))

    def __mul__(self, factor: float) -> "Count":
        """Multiply the rate and its error."""
        return Count(self.per_s * factor, self.error * factor)


NONE: Final = Count(0.0, 0.0)


class StratifiedSampler:
    """Draws uniform numbers from [0, 1), of which ``SIZE`` in a row have one of each stratum.

    Args:
        rng: The source of chance.
    """

    SIZE: Final = 40

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._numbers: list[float] = []

    def draw(self) -> float:
        """Draw a number."""
        if not self._numbers:
            self._numbers = [(number + self._rng.random()) / self.SIZE for number in range(self.SIZE)]
            self._rng.shuffle(self._numbers)
        return self._numbers.pop()

    def exponential(self, mean: float) -> float:
        """Draw a waiting time."""
        return -mean * log1p(-self.draw())


class Part:
    """Visitors of one kind.

    Args:
        people: The number of visitors, all the time.
        crowd: The law of their visits.
        seed: The seed of the source of chance.
        heartbeat_ms: The time between two heartbeats; 0: none.
        gap_ms: How long a place is empty, on average, between two visitors.
    """

    def __init__(
        self, people: int, crowd: CrowdProfile, seed: int, *, heartbeat_ms: int = 0, gap_ms: int = 0
    ) -> None:
        self.people = people
        self.rng = Random(seed)
        self.gap_ms = gap_ms
        self._visits, self._moods, self._leaves, self._gaps = (StratifiedSampler(self.rng) for _ in range(4))
        self.clock = VirtualClock(BEGINS_MS)
        self.tally: Counter[str] = Counter()
        self.meter = Meter()
        self.visit_ms = float(crowd.visit_s) * SECOND_MS
        self.mood_ms = self.visit_ms / float(crowd.mood_changes) if crowd.mood_changes else NO_DEADLINE_MS
        self.leaves_share = float(crowd.leaves_share)
        self.heartbeat_ms = heartbeat_ms
        self._number = 0

    # --- Visits --------------------------------------------------------------------------------------------

    def come(self, now_ms: int) -> None:
        """Start a visit; the next one starts when it has ended."""
        self._number += 1
        departs_ms = now_ms + max(1, round(self._visits.exponential(self.visit_ms)))
        self.enter(self._number, now_ms, departs_ms)
        self.clock.at(departs_ms, self._number, partial(self._go, self._number))

    def _go(self, number: int, now_ms: int) -> None:
        self.leave(number, now_ms, graceful=self._leaves.draw() < self.leaves_share)
        self.clock.at(now_ms + round(self._gaps.exponential(self.gap_ms)), number, self.come)

    def enter(self, number: int, now_ms: int, departs_ms: int) -> None:
        """Handle a join."""
        self.tally["joins"] += 1
        self._feel_later(number, now_ms, departs_ms)
        if self.heartbeat_ms:
            self._heartbeat(number, departs_ms, now_ms)

    def leave(self, number: int, now_ms: int, *, graceful: bool) -> None:
        """Handle a leave."""
        del number, now_ms, graceful
        self.tally["leaves"] += 1

    def mood(self, number: int, now_ms: int) -> None:
        """Handle a change of mood."""
        del number, now_ms
        self.tally["moods"] += 1

    def heartbeat(self, number: int, now_ms: int) -> None:
        """Handle a heartbeat: on joining and regularly from then on."""
        del number, now_ms
        self.tally["heartbeats"] += 1

    def _feel_later(self, number: int, now_ms: int, departs_ms: int) -> None:
        at_ms = now_ms + self._moods.exponential(self.mood_ms)
        if at_ms < departs_ms:
            self.clock.at(round(at_ms), number, partial(self._feel, number, departs_ms))

    def _feel(self, number: int, departs_ms: int, now_ms: int) -> None:
        self.mood(number, now_ms)
        self._feel_later(number, now_ms, departs_ms)

    def _heartbeat(self, number: int, departs_ms: int, now_ms: int) -> None:
        self.heartbeat(number, now_ms)
        if now_ms + self.heartbeat_ms < departs_ms:
            self.clock.at(now_ms + self.heartbeat_ms, number, partial(self._heartbeat, number, departs_ms))

    def regularly(self, every_ms: int, action: Callable[[int], None]) -> None:
        """Schedule an action at regular times."""

        def again(now_ms: int) -> None:
            action(now_ms)
            self.clock.at(now_ms + every_ms, FIRST, again)

        self.clock.at(BEGINS_MS + every_ms, FIRST, again)

    # --- Counting ------------------------------------------------------------------------------------------

    @property
    def period_ms(self) -> int:
        """The longest time between two equal actions of a visitor."""
        return self.heartbeat_ms or SECOND_MS

    def counts(self) -> dict[str, float]:
        """Return the counts so far."""
        store = self.meter.store
        return {name: float(total) for name, total in self.tally.items()} | {
            "gets": store.gets,
            "puts": store.puts,
            "deletes": store.deletes,
            "polls": self.meter.polls,
            "presence_reads": self.meter.presence_reads,
            "config_reads": self.meter.config_reads,
        }

    def run(
        self,
        wanted: tuple[str, ...],
        *,
        error: float,
        person_s: float = 100_000,
        least_s: float = 60,
        whole_s: float = 1,
    ) -> dict[str, Count]:
        """Count until the errors are small enough.

        Every visitor joins at an instant of its own. Exponential visits have no memory, so the crowd is in
        its steady state after one period; reports that follow changes of mood take a visit.

        Args:
            wanted: The counts whose error is checked.
            error: The standard error that each of them may have, as a share of it.
            person_s: The visitor-seconds of a batch for an error of ``ERROR``; they grow with the inverse
                square of the error.
            least_s: The least length of a batch.
            whole_s: The length of a batch is a multiple of this: the time between two timers, so that each
                batch has as many.
        """
        for _ in range(round(self.people * (1 + self.gap_ms / self.visit_ms))):
            self.clock.at(BEGINS_MS + self.rng.randrange(self.period_ms), FIRST, self.come)
        at_ms = BEGINS_MS + 2 * self.period_ms
        self.clock.run(at_ms)
        person_s *= (ERROR / error) ** 2
        batch_s = ceil(max(person_s / self.people, least_s) / whole_s) * whole_s
        batches: list[dict[str, float]] = []
        former = self.counts()
        while len(batches) < BATCHES or any(_error(batches, name) > error for name in wanted):
            assert len(batches) < BATCHES_MAX, "the error is too large after BATCHES_MAX batches"
            at_ms += round(batch_s * SECOND_MS)
            self.clock.run(at_ms)
            now = self.counts()
            batches.append({name: (now[name] - former.get(name, 0)) / batch_s for name in now})
            former = now
        return {
            name: Count(_mean(batches, name), _error(batches, name) * _mean(batches, name)) for name in former
        }


def _mean(batches: list[dict[str, float]], name: str) -> float:
    return fmean(batch.get(name, 0.0) for batch in batches)


def _error(batches: list[dict[str, float]], name: str) -> float:
    """Return the standard error of a mean, as a share of it."""
    mean = _mean(batches, name)
    return stdev(batch.get(name, 0.0) for batch in batches) / sqrt(len(batches)) / mean if mean else 0.0


class Keys(Part):
    """Visitors whose every report rewrites one key of a store."""

    def __init__(
        self,
        people: int,
        crowd: CrowdProfile,
        seed: int,
        *,
        heartbeat_ms: int,
        sample: float,
        moods: bool,
        joins: bool = False,
    ) -> None:
        super().__init__(people, crowd, seed, heartbeat_ms=heartbeat_ms)
        self._store = MeteredStore(
            MemoryStore(clock=lambda: self.clock.now_ms), self.meter.store, clock=lambda: self.clock.now_ms
        )
        self._sampler = StratifiedSampler(self.rng)
        self._sample = sample
        self._reports_moods = moods
        self._reports_joins = joins

    def enter(self, number: int, now_ms: int, departs_ms: int) -> None:
        """Handle a join, which is a report in some strategies."""
        super().enter(number, now_ms, departs_ms)
        if self._reports_joins:
            self._report()

    def mood(self, number: int, now_ms: int) -> None:
        """Handle a change of mood, which is a report in some strategies."""
        super().mood(number, now_ms)
        if self._reports_moods:
            self._report()

    def heartbeat(self, number: int, now_ms: int) -> None:
        """Draw whether a heartbeat is a report."""
        super().heartbeat(number, now_ms)
        if self._sampler.draw() < self._sample:
            self._report()

    def _report(self) -> None:
        self.tally["reports"] += 1
        finish(self._store.put("presence", b"{}"))


class Pollers(Part):
    """Visitors who poll; all of them are in the sample and report, or none is.

    Args:
        people: The number of visitors.
        crowd: The law of their visits.
        seed: The seed of the source of chance.
        poll_ms: The time between two polls.
        report_ms: The time between two heartbeats.
        asked: Whether they are in the sample.
        cache_ms: How long a copy at the edge is served; 0: there is no cache.
        config_ms: How long a copy of the config is served.
        policy: The write policy for their reports.
        publish_ms: The least time between two publications that reports cause; 0: none.
    """

    def __init__(
        self,
        people: int,
        crowd: CrowdProfile,
        seed: int,
        *,
        poll_ms: int,
        report_ms: int = NO_DEADLINE_MS,
        asked: bool = False,
        cache_ms: int = 0,
        config_ms: int = 300_000,
        policy: WritePolicy | None = None,
        publish_ms: int = 0,
    ) -> None:
        # If reports publish, a leave and the next join must not be in one instant.
        super().__init__(people, crowd, seed, gap_ms=30 * SECOND_MS if publish_ms else 0)
        self._poll_ms = poll_ms
        self._report_ms = report_ms
        self._config_ms = config_ms
        self._asked = asked
        self._policy = policy
        self._publish_ms = publish_ms
        self._published_at_ms = 0
        config = RoomConfig(mode="poll", poll_ms=min(poll_ms, DAY_MS))
        presence = Room(ROOM, config, now_ms=BEGINS_MS).presence(now_ms=BEGINS_MS)
        self._presence = replace(presence, sample_rate=1.0 if asked else 0.0)
        self._poller_of: dict[int, Poller] = {}
        self._mood_of: dict[int, int] = {}
        self._departs_ms: dict[int, int] = {}
        self._planned_ms: dict[int, int] = {}
        self.edge = Edge(
            lambda _: self._presence, lambda _: None, self.meter, max_age_ms=cache_ms, stale_ms=0, config_max_age_ms=config_ms
        )  # fmt: skip
        self.store = MeteredStore(
            MemoryStore(clock=lambda: self.clock.now_ms), self.meter.store, clock=lambda: self.clock.now_ms
        )

    @property
    def period_ms(self) -> int:
        """A visit for those who report: until then changes of mood have mixed with heartbeats."""
        visit_ms = round(self.visit_ms)
        return visit_ms if self._asked else min(self._poll_ms, self._config_ms, visit_ms)

    def enter(self, number: int, now_ms: int, departs_ms: int) -> None:
        """Handle a join: read the config and start to poll."""
        super().enter(number, now_ms, departs_ms)
        self.edge.configs(1, [now_ms])
        self._poller_of[number] = Poller(
            f"visitor-{number:012}", room=ROOM, heartbeat_ms=self._report_ms, mood=MOODS[0], rng=self.rng, now_ms=now_ms
        )  # fmt: skip
        self._departs_ms[number] = departs_ms
        self._mood_of[number] = 0
        self._act(number, now_ms)

    def mood(self, number: int, now_ms: int) -> None:
        """Handle a change of mood, which is reported in the sample."""
        super().mood(number, now_ms)
        self._mood_of[number] = (self._mood_of[number] + 1) % len(MOODS)
        self._poller_of[number].set_mood(MOODS[self._mood_of[number]], now_ms)
        self._act(number, now_ms, kind="mood")

    def leave(self, number: int, now_ms: int, *, graceful: bool) -> None:
        """Handle a leave; of those who reported, a graceful one is sent."""
        super().leave(number, now_ms, graceful=graceful)
        del self._departs_ms[number], self._planned_ms[number]
        if self._poller_of.pop(number).leave() is not None and graceful:
            self._receive(number, "leave", now_ms)
        del self._mood_of[number]

    def _act(self, number: int, now_ms: int, *, kind: Kind = "heartbeat") -> None:
        """Send the requests that are due, and schedule the next."""
        poller = self._poller_of[number]
        for _ in range(4):  # An answer may make another request due at once, such as the first report.
            requests = poller.due(now_ms)
            for request in requests:
                if isinstance(request, PollRequest):
                    poller.polled(self.edge.presence(now_ms), now_ms)
                else:
                    self._receive(number, kind if poller.is_acknowledged else "join", now_ms)
                    poller.acknowledged(self._presence, now_ms)
            if not requests:
                break
        poll_ms = self._planned_ms[number] = poller.next_at_ms
        if poll_ms < self._departs_ms[number]:
            self.clock.at(poll_ms, number, partial(self._act_if_planned, number))

    def _act_if_planned(self, number: int, now_ms: int) -> None:
        if self._planned_ms.get(number) == now_ms:
            self._act(number, now_ms)

    def _receive(self, number: int, kind: Kind, now_ms: int) -> None:
        """Handle a report at the server."""
        self.tally["reports"] += 1
        if self._publish_ms and now_ms >= self._published_at_ms + self._publish_ms:
            self._published_at_ms = now_ms
            self.tally["published"] += 1
        if self._policy is not None:
            mood = None if kind == "leave" else MOODS[self._mood_of[number]]
            report = SeatReport(key_of(f"visitor-{number:012}"), 0.0, mood, kind)
            self._write(self._policy.report(report, now_ms=now_ms))

    def _write(self, writes: Writes) -> None:
        for order in writes.writes:
            if isinstance(order, Put):
                finish(self.store.put(order.key, order.value, ttl_ms=order.ttl_ms))
            else:
                finish(self.store.delete(order.key))
        if writes.next_timer_ms is not None:
            self.clock.at(writes.next_timer_ms, FIRST, partial(self._on_timer, writes.next_timer_ms))
        self._next_timer_ms = writes.next_timer_ms

    def _on_timer(self, planned_ms: int, now_ms: int) -> None:
        if self._next_timer_ms == planned_ms and self._policy is not None:
            self.tally["alarms"] += 1
            self._write(self._policy.on_timer(now_ms=now_ms))

    def list_keys(self, now_ms: int) -> None:
        """Run the job: list the keys, and write the presence."""
        del now_ms
        keys = finish(self.store.list("lazy/"))
        self.tally["lists"] += max(1, ceil(len(keys) / KEYS_PER_LIST))
        finish(self.store.put("presence", b"{}"))
        self.tally["runs"] += 1


class Sockets(Part):
    """Connections to a real room, which broadcasts every change."""

    def __init__(
        self, people: int, crowd: CrowdProfile, seed: int, *, push_ms: int, pushes_per_s: int
    ) -> None:
        super().__init__(people, crowd, seed, gap_ms=30 * SECOND_MS)
        self._mood_of: dict[int, int] = {}
        # A lease of a day: no pings are needed, which cost nothing here anyway.
        config = RoomConfig(lease_ms=DAY_MS, push_ms=push_ms, pushes_per_s=pushes_per_s)
        self._room = Room(ROOM, config, now_ms=BEGINS_MS)
        self._next_timer_ms: int | None = None

    @property
    def period_ms(self) -> int:
        """Some gaps: only broadcasts are regular, but empty places must have reached their steady state."""
        return 4 * self.gap_ms

    def enter(self, number: int, now_ms: int, departs_ms: int) -> None:
        """Handle a join."""
        mood = self._mood_of[number] = self.rng.randrange(len(MOODS))
        self._feed(Joined(number, key_of(f"visitor-{number:012}"), MOODS[mood]), now_ms)
        super().enter(number, now_ms, departs_ms)

    def mood(self, number: int, now_ms: int) -> None:
        """Handle a change of mood."""
        super().mood(number, now_ms)
        mood = self._mood_of[number] = (self._mood_of[number] + self.rng.randrange(1, len(MOODS))) % len(
            MOODS
        )
        self._feed(MoodChanged(number, MOODS[mood]), now_ms)

    def leave(self, number: int, now_ms: int, *, graceful: bool) -> None:
        """Handle a leave."""
        super().leave(number, now_ms, graceful=graceful)
        del self._mood_of[number]
        self._feed(Left(number) if graceful else Disconnected(number), now_ms)

    def _feed(self, event: Event, now_ms: int) -> None:
        step = self._room.step(event, now_ms=now_ms)
        for effect in step.effects:
            if isinstance(effect, Broadcast):
                self.tally["broadcasts"] += 1
                self.tally["sent"] += self._room.connection_count
            elif isinstance(effect, Send):
                self.tally["sent"] += 1
        if step.next_timer_ms != self._next_timer_ms and step.next_timer_ms is not None:
            self.clock.at(step.next_timer_ms, FIRST, self._on_timer)
        self._next_timer_ms = step.next_timer_ms

    def _on_timer(self, now_ms: int) -> None:
        if self._next_timer_ms is not None and self._next_timer_ms <= now_ms:
            self._feed(TimerFired(), now_ms)


class Object(Part):
    """Connections to Durable Objects: their messages, how long an object is awake for them, and its alarms.

    Args:
        people: The number of visitors.
        crowd: The law of their visits.
        seed: The seed of the source of chance.
        way: How the objects are run.
        shards: The number of objects.
    """

    def __init__(self, people: int, crowd: CrowdProfile, seed: int, *, way: Strategy, shards: int) -> None:
        knobs = way.settings
        super().__init__(people, crowd, seed, heartbeat_ms=ms(knobs["heartbeat_s"]))
        self._knobs = knobs
        self._shards = shards
        self._sends_sums = shards > 1 and bool(knobs["sums_s"])
        sums_s = sums_interval(figure(knobs["sums_s"]), figure(knobs["push_s"])).value
        for shard in range(shards):
            for every_s, action in (
                (knobs["push_s"], self._push),
                (knobs["snapshot_s"], partial(self._snapshot, shard)),
                (sums_s if self._sends_sums else 0, partial(self._send_sums, shard)),
            ):
                if every_s:
                    self.regularly(ms(every_s), action)

    def enter(self, number: int, now_ms: int, departs_ms: int) -> None:
        """Handle a join; the heartbeats begin at some instant of the next minute."""
        self.tally["joins"] += 1
        self.tally["awake_us"] += round(self._knobs["connect_ms"] * 1_000)
        self._feel_later(number, now_ms, departs_ms)
        first_ms = now_ms + self.rng.randrange(self.heartbeat_ms)
        if first_ms < departs_ms:
            self.clock.at(first_ms, number, partial(self._heartbeat, number, departs_ms))

    def mood(self, number: int, now_ms: int) -> None:
        """Handle a change of mood."""
        super().mood(number, now_ms)
        self._message()

    def heartbeat(self, number: int, now_ms: int) -> None:
        """Handle a heartbeat."""
        super().heartbeat(number, now_ms)
        self._message()

    def _message(self) -> None:
        self.tally["messages"] += 1
        self.tally["awake_us"] += round(self._knobs["handler_ms"] * 1_000)

    def _push(self, now_ms: int) -> None:
        """Broadcast to every connection of this object, and write the broadcast, the replies ahead of it, and
        the next alarm: each a row.
        """
        del now_ms
        self.tally["rows"] += 2
        if not self._sends_sums:
            self.tally["alarms"] += 1
            self.tally["rows"] += 1
        self.tally["awake_us"] += round(self._knobs["send_us"] * self.people / self._shards)

    def _snapshot(self, shard: int, now_ms: int) -> None:
        """Write the snapshot, the averages, the time and the changed flag; the first object puts its snapshot
        into KV.
        """
        del now_ms
        self.tally["snapshots"] += not shard
        self.tally["rows"] += 4
        if not (self._knobs["push_s"] or self._sends_sums):  # No other timer sets an alarm.
            self.tally["alarms"] += 1
            self.tally["rows"] += 1

    def _send_sums(self, shard: int, now_ms: int) -> None:
        """Send sums to the first object and write its answer; that object writes the sums.

        The next alarm is a row, too.
        """
        del now_ms
        self.tally["alarms"] += 1
        self.tally["rows"] += 2
        if shard:
            self.tally["sums"] += 1
            self.tally["awake_us"] += round(2 * self._knobs["handler_ms"] * 1_000)


class Connections(Part):
    """Connections to a service: their number, length and deliveries."""

    def __init__(self, people: int, crowd: CrowdProfile, seed: int, *, push_ms: int) -> None:
        super().__init__(people, crowd, seed)
        self._came_at_ms: dict[int, int] = {}
        self._ages = StratifiedSampler(self.rng)
        self.regularly(push_ms, self._push)

    def enter(self, number: int, now_ms: int, departs_ms: int) -> None:
        """Handle a join: note when the connection began, which for the first ones is some time ago."""
        super().enter(number, now_ms, departs_ms)
        # The elapsed part of an exponential visit has the law of the whole. Without it, minutes would be too
        # few until the last connection of the beginning has ended.
        age_ms = self._ages.exponential(self.visit_ms) if number <= self.people else 0.0
        self._came_at_ms[number] = now_ms - round(age_ms)

    def leave(self, number: int, now_ms: int, *, graceful: bool) -> None:
        """Handle a leave; a started minute counts whole."""
        super().leave(number, now_ms, graceful=graceful)
        self.tally["minutes"] += ceil((now_ms - self._came_at_ms.pop(number)) / 60_000)

    def _push(self, now_ms: int) -> None:
        del now_ms
        self.tally["pushes"] += 1
        self.tally["deliveries"] += len(self._came_at_ms)


# --- Strategies -------------------------------------------------------------------------------------------


def ms(seconds: object) -> int:
    """Return seconds as whole milliseconds."""
    return round(float(str(seconds)) * SECOND_MS)


def count(way: Strategy, crowd: CrowdProfile, seed: int, *, error: float = ERROR) -> dict[str, Count]:
    """Simulate a strategy, and count its use of each item of the price book per second.

    Args:
        way: The strategy.
        crowd: The crowd.
        seed: The seed of the source of chance.
        error: The standard error that a count may have, as a share of it. Half of it takes four times as
            long.
    """
    match way.storing.kind:
        case "key":
            return _keys(way, crowd, seed, error)
        case "batches" | "windows":
            return _sampled_people(way, crowd, seed, error)
        case "none":
            return {}
        case "objects":
            return _objects(way, crowd, seed, error)
        case "rows":
            return _fixed(way, crowd, seed, error)
        case "file":
            return _self_hosted(way, crowd, seed, error)
        case "service":
            return _managed(way, crowd, seed, error)


def _polls(
    people: int, crowd: CrowdProfile, seed: int, error: float, *, poll_s: object, cache_s: object = 0
) -> dict[str, Count]:
    """Count the polls of visitors outside the sample, and those that pass the cache."""
    asking = Pollers(people, crowd, seed, poll_ms=ms(poll_s), cache_ms=ms(cache_s))
    whole_s = max(1.0, float(str(cache_s)))
    return asking.run(("polls", "presence_reads"), error=error, person_s=40_000, least_s=0, whole_s=whole_s)


def _keys(way: Strategy, crowd: CrowdProfile, seed: int, error: float) -> dict[str, Count]:
    knobs = way.settings
    minimal, naive = way.reporting.kind == "changes", way.reporting.kind == "heartbeats"
    reporting = Keys(
        crowd.people, crowd, seed, heartbeat_ms=0 if minimal else ms(knobs["heartbeat_s"]), sample=float(knobs.get("sample", 1)),
        moods=naive or minimal, joins=minimal,
    ).run(("reports",), error=error, person_s=1_000_000 if minimal else 50_000, least_s=0)  # fmt: skip
    cache_s = knobs.get("cache_s", 0)
    polling = _polls(crowd.people, crowd, seed + 1, error, poll_s=knobs["poll_s"], cache_s=cache_s)
    requests = polling["polls"] + reporting["reports"]
    return {
        "workers_requests": requests,
        "workers_cpu_ms": requests * float(knobs["cpu_ms"]),
        "kv_writes": reporting["puts"],
        "kv_reads": polling["presence_reads"] if cache_s else polling["polls"],
    }


def _sampled_people(way: Strategy, crowd: CrowdProfile, seed: int, error: float) -> dict[str, Count]:
    knobs = way.settings
    seats = round(float(knobs["sample"]) * crowd.people)
    policy: WritePolicy
    if way.storing.kind == "batches":
        policy = BucketedPolicy("batches/", lease_ms=120_000, bucket_ms=ms(knobs["bucket_s"]))
    else:
        policy = LazyPolicy("lazy/", lease_ms=120_000, window_ms=ms(knobs["window_s"]))
    panel = Pollers(
        seats,
        crowd,
        seed,
        poll_ms=ms(knobs["poll_s"]),
        report_ms=ms(knobs["heartbeat_s"]),
        asked=True,
        policy=policy,
    )
    if way.storing.kind == "windows":
        panel.regularly(ms(knobs["job_s"]), panel.list_keys)
        reporting = panel.run(
            ("reports", "puts", "deletes"), error=error, person_s=400_000, whole_s=float(knobs["window_s"])
        )
    else:
        reporting = panel.run(
            ("reports", "puts"), error=error, person_s=100_000, whole_s=float(knobs["bucket_s"])
        )
    polling = _polls(
        crowd.people - seats, crowd, seed + 1, error, poll_s=knobs["poll_s"], cache_s=knobs["cache_s"]
    )
    requests = polling["polls"] + reporting["polls"] + reporting["reports"]
    if way.storing.kind == "windows":
        requests += reporting["runs"]
        writes = {
            "kv_writes": reporting["puts"],
            "kv_deletes": reporting["deletes"],
            "kv_lists": reporting["lists"],
        }
    else:
        writes = {
            "object_requests": reporting["reports"] + reporting["alarms"],
            "object_gb_s": Count(float(MEMORY_GB), 0.0),
            "rows_written": reporting["alarms"],
            "kv_writes": reporting["puts"],
        }
    return {
        "workers_requests": requests,
        "workers_cpu_ms": requests * float(knobs["cpu_ms"]),
        "kv_reads": polling["presence_reads"],
        **writes,
    }


def _object_count(way: Strategy, crowd: CrowdProfile) -> int:
    objects, sockets = (figure(way.settings[name]) for name in ("objects", "sockets"))
    return int(object_count(figure(crowd.people), objects=objects, sockets=sockets).value)


def _objects(way: Strategy, crowd: CrowdProfile, seed: int, error: float) -> dict[str, Count]:
    knobs = way.settings
    shards = _object_count(way, crowd)
    found = Object(crowd.people, crowd, seed, way=way, shards=shards).run(("joins", "messages"), error=error, person_s=300_000, least_s=60, whole_s=60)  # fmt: skip
    zero = dict.fromkeys(("alarms", "sums", "rows", "snapshots"), NONE) | found
    awake = zero["awake_us"] * 1e-6 if knobs["hibernating"] else Count(float(shards), 0.0)
    return {
        "workers_requests": zero["joins"],
        "workers_cpu_ms": zero["joins"],
        "object_requests": zero["joins"] + zero["messages"] * (1 / 20) + zero["alarms"] + zero["sums"],
        "object_gb_s": awake * float(MEMORY_GB),
        "rows_written": zero["rows"],
        "kv_writes": zero["snapshots"],
    }


def _fixed(way: Strategy, crowd: CrowdProfile, seed: int, error: float) -> dict[str, Count]:
    knobs = way.settings
    seats = min(int(knobs["panel"]), crowd.people)
    panel = Pollers(
        seats, crowd, seed, poll_ms=ms(knobs["poll_s"]), report_ms=ms(knobs["heartbeat_s"]), asked=True,
        publish_ms=0 if knobs["by_alarm"] else ms(knobs["publish_s"]),
    )  # fmt: skip
    if knobs["by_alarm"]:
        panel.regularly(ms(knobs["publish_s"]), lambda _: panel.tally.update(alarms=1, published=1))
    else:
        panel.regularly(ms(knobs["lazy_s"]), lambda _: panel.tally.update(alarms=1))
    if knobs["snapshot_s"]:  # The snapshot, the averages, and when that was.
        panel.regularly(ms(knobs["snapshot_s"]), lambda _: panel.tally.update(snapshots=1, snapshot_rows=3))
    reporting = panel.run(
        ("reports",),
        error=error,
        person_s=200_000,
        whole_s=max(float(knobs["snapshot_s"]), float(knobs["lazy_s"])),
    )
    # Visitors inside and outside the panel poll; one cache answers all.
    polling = _polls(crowd.people, crowd, seed + 1, error, poll_s=knobs["poll_s"], cache_s=knobs["cache_s"])
    coming = Pollers(crowd.people, crowd, seed + 2, poll_ms=NO_DEADLINE_MS, config_ms=ms(knobs["config_s"]))
    configs = coming.run((), error=error, least_s=float(knobs["config_s"]))
    alarms, snapshots = reporting["alarms"], reporting.get("snapshots", NONE)
    return {
        "workers_requests": reporting["reports"],
        "workers_cpu_ms": reporting["reports"] * float(knobs["cpu_ms"]),
        "object_requests": reporting["reports"] + alarms,
        "object_gb_s": Count(float(MEMORY_GB), 0.0),
        "rows_written": reporting["reports"] + alarms + reporting.get("snapshot_rows", NONE),
        "kv_writes": snapshots,
        "r2_writes": reporting["published"],
        "r2_reads": polling["presence_reads"] + configs["config_reads"],
    }


def _self_hosted(way: Strategy, crowd: CrowdProfile, seed: int, error: float) -> dict[str, Count]:
    knobs = way.settings
    if way.reporting.kind == "panel":
        seats = min(int(knobs["panel"]), crowd.people)
        panel = Pollers(
            seats, crowd, seed, poll_ms=ms(knobs["poll_s"]), report_ms=ms(knobs["heartbeat_s"]), asked=True
        )
        reporting = panel.run(("reports",), error=error, person_s=200_000)
        sent = reporting["reports"] + reporting["polls"]
        if crowd.people > seats:
            sent += _polls(crowd.people - seats, crowd, seed + 1, error, poll_s=knobs["poll_s"])["polls"]
    else:
        sent = Sockets(
            crowd.people, crowd, seed, push_ms=ms(knobs["push_s"]), pushes_per_s=int(knobs["pushes_per_s"])
        ).run(("sent",), error=error, person_s=500_000, least_s=10)["sent"]  # fmt: skip
    egress = sent * float(knobs["message_bytes"] + knobs["wire_bytes"])
    if way.provider == "aws":
        return {"egress_gb": egress * 1e-9}
    return {"egress_tb": egress * 1e-12}


def _managed(way: Strategy, crowd: CrowdProfile, seed: int, error: float) -> dict[str, Count]:
    knobs = way.settings
    found = Connections(crowd.people, crowd, seed, push_ms=ms(knobs["push_s"])).run(
        ("joins", "minutes"), error=error, person_s=2_000_000, whole_s=float(knobs["push_s"])
    )
    joins, moods, pushes = found["joins"], found["moods"], found["pushes"]
    match way.name:
        case "aws-api-gateway":
            requests = joins + found["leaves"] + moods
            busy_ms = (requests + pushes) * float(knobs["function_ms"]) + found["deliveries"] * float(
                knobs["call_ms"]
            )
            return {
                "websocket_messages": found["deliveries"] + moods,
                "websocket_minutes": found["minutes"],
                "lambda_requests": requests + pushes,
                "lambda_gb_s": busy_ms * (float(knobs["function_gb"]) / SECOND_MS),
                "dynamodb_writes": requests,
            }
        case "aws-appsync":
            return {
                "appsync_operations": found["deliveries"] + pushes + joins * 2 + moods,
                "appsync_minutes": found["minutes"],
            }
        case "supabase":
            return {
                "messages": found["deliveries"] + pushes + moods,
                "egress_gb": found["deliveries"] * (float(knobs["message_bytes"]) * 1e-9),
            }
        case _:
            return {"messages": found["deliveries"] + pushes + moods, "connection_minutes": found["minutes"]}


def per_second(way: Strategy, crowd: CrowdProfile) -> Mapping[str, float]:
    """Return the usage that the model computes, per second."""
    usage = way.usage(CrowdFigures(crowd))
    seconds = MONTH_DAYS * float(crowd.hours) * 3_600
    return {key: float(used.value) / seconds for key, used in usage.items()}
