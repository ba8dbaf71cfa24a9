"""The cost model's strategies, acted out and counted: what ``lab/cost/strategies`` compute, and no formula of it.

People come, feel, report, poll and go, one by one, on the simulator's clock. Who polls or sits in a panel is a ``core/client_rules/polling.py`` ``Poller``; what is
written goes through ``core/write_policies`` into a store that counts; caches are ``network.Edge``; sockets join a ``core/room.py`` room.

Theory of operation
-------------------
Whoever goes is replaced at once, so that the crowd is as large as was said all the time; of a panel, or of a sample, exactly as many
are in it as belong there; and stays, moods, coins and goodbyes are dealt from decks that hold every part of their law once. All three
are stratified sampling: each draw has the law that it should have, and their sum varies less. Where two things in one instant are not
two (a room tells them together) the next one comes some time later, and so many more share the places.

A strategy is counted in *parts* that have nothing to do with one another, such as those who poll and those who report: one of many who
poll needs few of their polls to be known well, and one of few who report needs many reports. Each part goes on, batch by batch, until the
standard error of every count (from the spread between batches) is at most the share of it that was asked for, ``ERROR`` by default.
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
"""A list of Workers KV brings so many keys (https://developers.cloudflare.com/kv/api/list-keys/)."""

MOODS: Final = RoomConfig().moods
NEVER_MS: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class Count:
    """How often something was counted.

    Attributes:
        per_s: In a second.
        error: The standard error of that.
    """

    per_s: float
    error: float

    def __add__(self, other: "Count") -> "Count":
        """Add what was counted apart."""
        return Count(self.per_s + other.per_s, sqrt(self.error**2 + other.error**2))

    def __mul__(self, factor: float) -> "Count":
        """Scale."""
        return Count(self.per_s * factor, self.error * factor)


NONE: Final = Count(0.0, 0.0)


class Deck:
    """Numbers from [0, 1), each uniform, of which so many in a row hold one of each part of it.

    Args:
        rng: Shuffles.
    """

    CARDS: Final = 40

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._cards: list[float] = []

    def draw(self) -> float:
        """Draw a number."""
        if not self._cards:
            self._cards = [(card + self._rng.random()) / self.CARDS for card in range(self.CARDS)]
            self._rng.shuffle(self._cards)
        return self._cards.pop()

    def exponential(self, mean: float) -> float:
        """Draw a waiting time."""
        return -mean * log1p(-self.draw())


class Part:
    """Some people, and what they meet.

    Args:
        people: How many there are, all the time.
        crowd: How they live.
        seed: Where chance comes from.
        heartbeat_ms: How often they do what is done regularly; 0: never.
        gap_ms: How long a place is empty, on average, between two people.
    """

    def __init__(
        self, people: int, crowd: CrowdProfile, seed: int, *, heartbeat_ms: int = 0, gap_ms: int = 0
    ) -> None:
        self.people = people
        self.rng = Random(seed)
        self.gap_ms = gap_ms
        self._stays, self._moods, self._goodbyes, self._gaps = (Deck(self.rng) for _ in range(4))
        self.clock = VirtualClock(BEGINS_MS)
        self.tally: Counter[str] = Counter()
        self.meter = Meter()
        self.visit_ms = float(crowd.visit_s) * SECOND_MS
        self.mood_ms = self.visit_ms / float(crowd.mood_changes) if crowd.mood_changes else NEVER_MS
        self.leaves_share = float(crowd.leaves_share)
        self.heartbeat_ms = heartbeat_ms
        self._number = 0

    # --- What people do ---------------------------------------------------------------------------------------

    def come(self, now_ms: int) -> None:
        """Let somebody come, live, and go; and the next one come."""
        self._number += 1
        departs_ms = now_ms + max(1, round(self._stays.exponential(self.visit_ms)))
        self.enter(self._number, now_ms, departs_ms)
        self.clock.at(departs_ms, self._number, partial(self._go, self._number))

    def _go(self, number: int, now_ms: int) -> None:
        self.leave(number, now_ms, polite=self._goodbyes.draw() < self.leaves_share)
        self.clock.at(now_ms + round(self._gaps.exponential(self.gap_ms)), number, self.come)

    def enter(self, number: int, now_ms: int, departs_ms: int) -> None:
        """Somebody has come."""
        self.tally["joins"] += 1
        self._feel_later(number, now_ms, departs_ms)
        if self.heartbeat_ms:
            self._beat(number, departs_ms, now_ms)

    def leave(self, number: int, now_ms: int, *, polite: bool) -> None:
        """Somebody goes."""
        del number, now_ms, polite
        self.tally["leaves"] += 1

    def mood(self, number: int, now_ms: int) -> None:
        """Somebody feels otherwise."""
        del number, now_ms
        self.tally["moods"] += 1

    def heartbeat(self, number: int, now_ms: int) -> None:
        """Somebody does what is done on joining and regularly from then on."""
        del number, now_ms
        self.tally["beats"] += 1

    def _feel_later(self, number: int, now_ms: int, departs_ms: int) -> None:
        at_ms = now_ms + self._moods.exponential(self.mood_ms)
        if at_ms < departs_ms:
            self.clock.at(round(at_ms), number, partial(self._feel, number, departs_ms))

    def _feel(self, number: int, departs_ms: int, now_ms: int) -> None:
        self.mood(number, now_ms)
        self._feel_later(number, now_ms, departs_ms)

    def _beat(self, number: int, departs_ms: int, now_ms: int) -> None:
        self.heartbeat(number, now_ms)
        if now_ms + self.heartbeat_ms < departs_ms:
            self.clock.at(now_ms + self.heartbeat_ms, number, partial(self._beat, number, departs_ms))

    def regularly(self, every_ms: int, action: Callable[[int], None]) -> None:
        """Have something done over and over."""

        def again(now_ms: int) -> None:
            action(now_ms)
            self.clock.at(now_ms + every_ms, FIRST, again)

        self.clock.at(BEGINS_MS + every_ms, FIRST, again)

    # --- Counting ---------------------------------------------------------------------------------------------

    @property
    def period_ms(self) -> int:
        """The longest time after which somebody does the same thing again."""
        return self.heartbeat_ms or SECOND_MS

    def counts(self) -> dict[str, float]:
        """Say what was counted so far."""
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
        """Count until it is known well.

        Everybody comes at a moment of their own. Exponential stays do not remember when they began, so after one round of what is done
        regularly the crowd is as it will always be; reports that follow changes of mood take a stay.

        Args:
            wanted: What has to be known well.
            error: The standard error that each of them may have, as a share of it.
            person_s: How much of people's time a batch is, where the error may be ``ERROR``; it grows with the square of what is asked for.
            least_s: How long a batch is at least.
            whole_s: What its length is a multiple of: the time between two of whatever a clock does, so that it is done as often in each.
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
            assert len(batches) < BATCHES_MAX, "what varies so much cannot be counted"
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
    """The standard error of a mean, as a share of it."""
    mean = _mean(batches, name)
    return stdev(batch.get(name, 0.0) for batch in batches) / sqrt(len(batches)) / mean if mean else 0.0


class Keys(Part):
    """People whose every report rewrites one key of a store."""

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
        self._legacy = Deck(self.rng)
        self._sample = sample
        self._tells_moods = moods
        self._tells_joins = joins

    def enter(self, number: int, now_ms: int, departs_ms: int) -> None:
        """Somebody comes; whether that is a report by itself is the strategy's affair."""
        super().enter(number, now_ms, departs_ms)
        if self._tells_joins:
            self._report()

    def mood(self, number: int, now_ms: int) -> None:
        """Somebody feels otherwise."""
        super().mood(number, now_ms)
        if self._tells_moods:
            self._report()

    def heartbeat(self, number: int, now_ms: int) -> None:
        """Flip the coin."""
        super().heartbeat(number, now_ms)
        if self._legacy.draw() < self._sample:
            self._report()

    def _report(self) -> None:
        self.tally["reports"] += 1
        finish(self._store.put("presence", b"{}"))


class Pollers(Part):
    """People who poll, and are not asked; or who are all asked, and report.

    Args:
        people: How many.
        crowd: How they live.
        seed: Where chance comes from.
        poll_ms: How often they poll.
        report_ms: How often they give a sign of life.
        asked: Whether they are in the sample.
        cache_ms: How long a copy at the edge answers; 0: there is no cache.
        config_ms: How long a copy of the config does.
        policy: What stands between their reports and a store.
        publish_ms: The least time between two publications that reports cause; 0: none.
    """

    def __init__(
        self,
        people: int,
        crowd: CrowdProfile,
        seed: int,
        *,
        poll_ms: int,
        report_ms: int = NEVER_MS,
        asked: bool = False,
        cache_ms: int = 0,
        config_ms: int = 300_000,
        policy: WritePolicy | None = None,
        publish_ms: int = 0,
    ) -> None:
        # Where reports publish, a goodbye and the join of the next one must not be one instant.
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
        """Who reports takes a stay until changes of mood have mixed with heartbeats."""
        visit_ms = round(self.visit_ms)
        return visit_ms if self._asked else min(self._poll_ms, self._config_ms, visit_ms)

    def enter(self, number: int, now_ms: int, departs_ms: int) -> None:
        """Somebody comes, reads the config and begins to poll."""
        super().enter(number, now_ms, departs_ms)
        self.edge.configs(1, [now_ms])
        self._poller_of[number] = Poller(
            f"visitor-{number:012}", room=ROOM, heartbeat_ms=self._report_ms, mood=MOODS[0], rng=self.rng, now_ms=now_ms
        )  # fmt: skip
        self._departs_ms[number] = departs_ms
        self._mood_of[number] = 0
        self._act(number, now_ms)

    def mood(self, number: int, now_ms: int) -> None:
        """Somebody feels otherwise, and says so if asked."""
        super().mood(number, now_ms)
        self._mood_of[number] = (self._mood_of[number] + 1) % len(MOODS)
        self._poller_of[number].feel(MOODS[self._mood_of[number]], now_ms)
        self._act(number, now_ms, kind="mood")

    def leave(self, number: int, now_ms: int, *, polite: bool) -> None:
        """Somebody goes; who reported says so, and most of that arrives."""
        super().leave(number, now_ms, polite=polite)
        del self._departs_ms[number], self._planned_ms[number]
        if self._poller_of.pop(number).leave() is not None and polite:
            self._arrive(number, "leave", now_ms)
        del self._mood_of[number]

    def _act(self, number: int, now_ms: int, *, kind: Kind = "heartbeat") -> None:
        """Do what is due, and come back when something else is."""
        poller = self._poller_of[number]
        for _ in range(4):  # An answer may make something else due at once, such as the first report.
            requests = poller.due(now_ms)
            for request in requests:
                if isinstance(request, PollRequest):
                    poller.heard(self.edge.presence(now_ms), now_ms)
                else:
                    self._arrive(number, kind if poller.is_acknowledged else "join", now_ms)
                    poller.acknowledged(self._presence, now_ms)
            if not requests:
                break
        poll_ms = self._planned_ms[number] = poller.next_at_ms
        if poll_ms < self._departs_ms[number]:
            self.clock.at(poll_ms, number, partial(self._act_if_planned, number))

    def _act_if_planned(self, number: int, now_ms: int) -> None:
        if self._planned_ms.get(number) == now_ms:
            self._act(number, now_ms)

    def _arrive(self, number: int, kind: Kind, now_ms: int) -> None:
        """Take a report."""
        self.tally["reports"] += 1
        if self._publish_ms and now_ms >= self._published_at_ms + self._publish_ms:
            self._published_at_ms = now_ms
            self.tally["published"] += 1
        if self._policy is not None:
            mood = None if kind == "leave" else MOODS[self._mood_of[number]]
            report = SeatReport(key_of(f"visitor-{number:012}"), 0.0, mood, kind)
            self._write(self._policy.report(report, now_ms=now_ms))

    def _write(self, writes: Writes) -> None:
        for order in writes.orders:
            if isinstance(order, Put):
                finish(self.store.put(order.key, order.value, ttl_ms=order.ttl_ms))
            else:
                finish(self.store.delete(order.key))
        if writes.wake_at_ms is not None:
            self.clock.at(writes.wake_at_ms, FIRST, partial(self._wake, writes.wake_at_ms))
        self._wakes_at_ms = writes.wake_at_ms

    def _wake(self, planned_ms: int, now_ms: int) -> None:
        if self._wakes_at_ms == planned_ms and self._policy is not None:
            self.tally["alarms"] += 1
            self._write(self._policy.wake(now_ms=now_ms))

    def list_keys(self, now_ms: int) -> None:
        """Put all together, as a job does: list the keys, and write what people read."""
        del now_ms
        keys = finish(self.store.list("lazy/"))
        self.tally["lists"] += max(1, ceil(len(keys) / KEYS_PER_LIST))
        finish(self.store.put("presence", b"{}"))
        self.tally["runs"] += 1


class Sockets(Part):
    """People on sockets of a real room, which tells everybody of every change."""

    def __init__(
        self, people: int, crowd: CrowdProfile, seed: int, *, push_ms: int, pushes_per_s: int
    ) -> None:
        super().__init__(people, crowd, seed, gap_ms=30 * SECOND_MS)
        self._mood_of: dict[int, int] = {}
        # A lease of a day: no pings are needed, which cost nothing here anyway.
        config = RoomConfig(lease_ms=DAY_MS, push_ms=push_ms, pushes_per_s=pushes_per_s)
        self._room = Room(ROOM, config, now_ms=BEGINS_MS)
        self._wakes_at_ms: int | None = None

    @property
    def period_ms(self) -> int:
        """Nothing is done regularly but announcements; but places must have been empty as often as they will be."""
        return 4 * self.gap_ms

    def enter(self, number: int, now_ms: int, departs_ms: int) -> None:
        """Somebody joins."""
        mood = self._mood_of[number] = self.rng.randrange(len(MOODS))
        self._feed(Joined(number, key_of(f"visitor-{number:012}"), MOODS[mood]), now_ms)
        super().enter(number, now_ms, departs_ms)

    def mood(self, number: int, now_ms: int) -> None:
        """Somebody feels otherwise."""
        super().mood(number, now_ms)
        mood = self._mood_of[number] = (self._mood_of[number] + self.rng.randrange(1, len(MOODS))) % len(
            MOODS
        )
        self._feed(MoodChanged(number, MOODS[mood]), now_ms)

    def leave(self, number: int, now_ms: int, *, polite: bool) -> None:
        """Somebody goes."""
        super().leave(number, now_ms, polite=polite)
        del self._mood_of[number]
        self._feed(Left(number) if polite else Disconnected(number), now_ms)

    def _feed(self, event: Event, now_ms: int) -> None:
        step = self._room.step(event, now_ms=now_ms)
        for effect in step.effects:
            if isinstance(effect, Broadcast):
                self.tally["broadcasts"] += 1
                self.tally["sent"] += self._room.connection_count
            elif isinstance(effect, Send):
                self.tally["sent"] += 1
        if step.next_timer_ms != self._wakes_at_ms and step.next_timer_ms is not None:
            self.clock.at(step.next_timer_ms, FIRST, self._wake)
        self._wakes_at_ms = step.next_timer_ms

    def _wake(self, now_ms: int) -> None:
        if self._wakes_at_ms is not None and self._wakes_at_ms <= now_ms:
            self._feed(TimerFired(), now_ms)


class Object(Part):
    """People on sockets of Durable Objects: who sends, how long an object is awake for it, and when its alarms ring.

    Args:
        people: How many.
        crowd: How they live.
        seed: Where chance comes from.
        way: How the objects are run.
        shards: How many there are.
    """

    def __init__(self, people: int, crowd: CrowdProfile, seed: int, *, way: Strategy, shards: int) -> None:
        knobs = way.settings
        super().__init__(people, crowd, seed, heartbeat_ms=ms(knobs["beat_s"]))
        self._knobs = knobs
        self._shards = shards
        self._tells = shards > 1 and bool(knobs["sums_s"])
        sums_s = sums_interval(figure(knobs["sums_s"]), figure(knobs["push_s"])).value
        for shard in range(shards):
            for every_s, action in (
                (knobs["push_s"], self._push),
                (knobs["snapshot_s"], partial(self._snapshot, shard)),
                (sums_s if self._tells else 0, partial(self._tell, shard)),
            ):
                if every_s:
                    self.regularly(ms(every_s), action)

    def enter(self, number: int, now_ms: int, departs_ms: int) -> None:
        """Somebody connects; their beats begin at some moment of the next minute."""
        self.tally["joins"] += 1
        self.tally["awake_us"] += round(self._knobs["connect_ms"] * 1_000)
        self._feel_later(number, now_ms, departs_ms)
        first_ms = now_ms + self.rng.randrange(self.heartbeat_ms)
        if first_ms < departs_ms:
            self.clock.at(first_ms, number, partial(self._beat, number, departs_ms))

    def mood(self, number: int, now_ms: int) -> None:
        """Somebody says how they feel."""
        super().mood(number, now_ms)
        self._message()

    def heartbeat(self, number: int, now_ms: int) -> None:
        """Somebody gives a sign of life."""
        super().heartbeat(number, now_ms)
        self._message()

    def _message(self) -> None:
        self.tally["messages"] += 1
        self.tally["awake_us"] += round(self._knobs["handler_ms"] * 1_000)

    def _push(self, now_ms: int) -> None:
        """Send to everybody who is on this object, keep what was said, and to whom apart, and set the next alarm: each a row."""
        del now_ms
        self.tally["rows"] += 2
        if not self._tells:
            self.tally["alarms"] += 1
            self.tally["rows"] += 1
        self.tally["awake_us"] += round(self._knobs["send_us"] * self.people / self._shards)

    def _snapshot(self, shard: int, now_ms: int) -> None:
        """Keep a snapshot, the averages, when that was, and that there is news again; the first object puts its own into KV."""
        del now_ms
        self.tally["snapshots"] += not shard
        self.tally["rows"] += 4
        if not (self._knobs["push_s"] or self._tells):  # Nothing else sets an alarm.
            self.tally["alarms"] += 1
            self.tally["rows"] += 1

    def _tell(self, shard: int, now_ms: int) -> None:
        """Tell the first object, and keep what it said; that one keeps what it heard. The next alarm is a row, too."""
        del now_ms
        self.tally["alarms"] += 1
        self.tally["rows"] += 2
        if shard:
            self.tally["sums"] += 1
            self.tally["awake_us"] += round(2 * self._knobs["handler_ms"] * 1_000)


class Connections(Part):
    """People with a connection to a service: who comes, how long, and what is pushed to them."""

    def __init__(self, people: int, crowd: CrowdProfile, seed: int, *, push_ms: int) -> None:
        super().__init__(people, crowd, seed)
        self._came_at_ms: dict[int, int] = {}
        self._ages = Deck(self.rng)
        self.regularly(push_ms, self._push)

    def enter(self, number: int, now_ms: int, departs_ms: int) -> None:
        """Count a connection, and when it began: those of the beginning have been there for a while."""
        super().enter(number, now_ms, departs_ms)
        # What is over of an exponential stay has the law of the whole, as has what is left. Without it, minutes would be too few
        # until the last connection of the beginning has ended.
        age_ms = self._ages.exponential(self.visit_ms) if number <= self.people else 0.0
        self._came_at_ms[number] = now_ms - round(age_ms)

    def leave(self, number: int, now_ms: int, *, polite: bool) -> None:
        """Somebody is gone; a minute that was begun counts whole."""
        super().leave(number, now_ms, polite=polite)
        self.tally["minutes"] += ceil((now_ms - self._came_at_ms.pop(number)) / 60_000)

    def _push(self, now_ms: int) -> None:
        del now_ms
        self.tally["pushes"] += 1
        self.tally["deliveries"] += len(self._came_at_ms)


# --- Strategies ---------------------------------------------------------------------------------------------------


def ms(seconds: object) -> int:
    """Take seconds as whole milliseconds."""
    return round(float(str(seconds)) * SECOND_MS)


def count(way: Strategy, crowd: CrowdProfile, seed: int, *, error: float = ERROR) -> dict[str, Count]:
    """Act a strategy out, and count what it takes of each item of the price book, in a second.

    Args:
        way: The strategy.
        crowd: Who is there.
        seed: Where chance comes from.
        error: The standard error that a count may have, as a share of it. Half of it takes four times as long.
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
    """Count what people ask who poll and are not asked, and what a cache lets through."""
    asking = Pollers(people, crowd, seed, poll_ms=ms(poll_s), cache_ms=ms(cache_s))
    whole_s = max(1.0, float(str(cache_s)))
    return asking.run(("polls", "presence_reads"), error=error, person_s=40_000, least_s=0, whole_s=whole_s)


def _keys(way: Strategy, crowd: CrowdProfile, seed: int, error: float) -> dict[str, Count]:
    knobs = way.settings
    minimal, naive = way.reporting.kind == "changes", way.reporting.kind == "heartbeats"
    reporting = Keys(
        crowd.people, crowd, seed, heartbeat_ms=0 if minimal else ms(knobs["beat_s"]), sample=float(knobs.get("sample", 1)),
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
        report_ms=ms(knobs["beat_s"]),
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
        seats, crowd, seed, poll_ms=ms(knobs["poll_s"]), report_ms=ms(knobs["beat_s"]), asked=True,
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
    # Those of the panel poll too, and so do the others; one cache answers all.
    polling = _polls(crowd.people, crowd, seed + 1, error, poll_s=knobs["poll_s"], cache_s=knobs["cache_s"])
    coming = Pollers(crowd.people, crowd, seed + 2, poll_ms=NEVER_MS, config_ms=ms(knobs["config_s"]))
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
            seats, crowd, seed, poll_ms=ms(knobs["poll_s"]), report_ms=ms(knobs["beat_s"]), asked=True
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
            told = joins + found["leaves"] + moods
            busy_ms = (told + pushes) * float(knobs["function_ms"]) + found["deliveries"] * float(
                knobs["call_ms"]
            )
            return {
                "websocket_messages": found["deliveries"] + moods,
                "websocket_minutes": found["minutes"],
                "lambda_requests": told + pushes,
                "lambda_gb_s": busy_ms * (float(knobs["function_gb"]) / SECOND_MS),
                "dynamodb_writes": told,
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
    """Say what the model computes, in a second."""
    usage = way.usage(CrowdFigures(crowd))
    seconds = MONTH_DAYS * float(crowd.hours) * 3_600
    return {key: float(used.value) / seconds for key, used in usage.items()}
